//! Models that bear small integers better, by examples.

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_optimize::calibrate::{Along, PerChannel};
use modelyard_optimize::improve::bias::{self, Site};
use modelyard_optimize::improve::{self, Alpha, Equalized, Smoothed};
use modelyard_optimize::quantize::{Options, Plan, Quantized};

use super::observe::{Channelled, by_channel};
use super::sample::Sample;
use super::workshop::Workshop;
use crate::observe::progress::Progress;

/// Examples that means are taken from: each has many numbers for each channel.
const FEW: usize = 64;

/// What methods need besides a model.
#[derive(Clone, Copy)]
pub(crate) struct Improver<'a> {
    pub(crate) sample: &'a Sample<'a>,
    pub(crate) workshop: &'a Workshop,
    pub(crate) progress: &'a Progress,
}

impl Improver<'_> {
    /// Ranges of channels made alike across layers, and biases that are never near zero moved on.
    /// Second: names of the layers whose biases moved.
    pub(crate) fn equalized(
        &self,
        model: &Model,
        unclip: bool,
    ) -> anyhow::Result<(Equalized, Vec<String>)> {
        let mut equalized = improve::equalize(model, unclip)?;
        let tensors = improve::absorbable(&equalized.model);
        let tensors: Vec<Channelled> =
            tensors.into_iter().map(|(tensor, along)| own(tensor, along)).collect();
        if tensors.is_empty() {
            return Ok((equalized, Vec::new()));
        }
        let seen = self.channels(&equalized.model, &tensors)?;
        let (model, layers) = improve::absorb(&equalized.model, &seen)?;
        equalized.model = model;
        Ok((equalized, layers))
    }

    /// Outliers of activations moved into weights.
    pub(crate) fn smoothed(
        &self,
        model: &Model,
        options: &Options,
        how: (Alpha, bool),
    ) -> anyhow::Result<Smoothed> {
        let plan = Plan::new(model, options)?;
        let tensors: Vec<Channelled> = improve::smoothable(model, &plan)
            .into_iter()
            .map(|tensor| own(tensor, Along::Last))
            .collect();
        let seen = match tensors.is_empty() {
            true => PerChannel::default(),
            false => self.channels(model, &tensors)?,
        };
        Ok(improve::smooth(model, (&plan, options), &seen, how)?)
    }

    /// Biases that make up for what rounding does to the mean. `insert` makes integers of a model by
    /// the plan. Second: names of the layers that have no bias and can be given none.
    pub(crate) fn corrected(
        &self,
        model: &Model,
        plan: &Plan,
        mut insert: impl FnMut(&Model) -> anyhow::Result<Quantized>,
    ) -> anyhow::Result<(Quantized, Vec<String>)> {
        let (waves, without) = bias::waves(model, plan);
        let few = self.sample.few(FEW);
        let passes = few.batches() * (waves.len() + 1);
        let mut bar = self.progress.bar("correcting biases", passes as u64);
        let all: Vec<Channelled> =
            waves.iter().flatten().map(|site| own(site.output.clone(), site.along)).collect();
        let truth = by_channel((model, &all), (&few, self.workshop), || bar.step())?;
        let mut corrected = model.clone();
        for wave in &waves {
            let quantized = insert(&corrected)?;
            let tensors = in_quantized(&quantized.model, wave)?;
            let seen =
                by_channel((&quantized.model, &tensors), (&few, self.workshop), || bar.step())?;
            corrected = bias::corrected(&corrected, wave, (&truth, &seen))?;
        }
        Ok((insert(&corrected)?, without))
    }

    fn channels(&self, model: &Model, tensors: &[Channelled]) -> anyhow::Result<PerChannel> {
        let mut bar = self.progress.bar("looking at channels", self.sample.batches() as u64);
        by_channel((model, tensors), (self.sample, self.workshop), || bar.step())
    }
}

/// A tensor under its own name.
fn own(tensor: String, along: Along) -> Channelled {
    Channelled { called: tensor.clone(), tensor, along }
}

/// What layers give in the quantized model, under the names that it has in the model of floats.
fn in_quantized(quantized: &Model, sites: &[Site]) -> anyhow::Result<Vec<Channelled>> {
    let nodes: Vec<usize> = sites.iter().map(|site| site.node).collect();
    let outputs = bias::outputs(quantized, &nodes);
    let both = sites.iter().zip(outputs);
    both.map(|(site, output)| {
        let tensor = output.context("a quantized model keeps the nodes it was made of")?;
        Ok(Channelled { tensor: tensor.to_owned(), called: site.output.clone(), along: site.along })
    })
    .collect()
}
