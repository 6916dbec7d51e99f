//! Models that bear small integers better, by examples.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_optimize::Noise;
use modelyard_optimize::calibrate::{Along, PerChannel};
use modelyard_optimize::improve::bias::{self, Site};
use modelyard_optimize::improve::rounding::{self, Learned};
use modelyard_optimize::improve::{self, Alpha, Equalized, Smoothed};
use modelyard_optimize::quantize::{Given, Options, Plan, Quantized};

use super::observe::{Channelled, Probe, by_channel};
use super::sample::Sample;
use super::workshop::Workshop;
use crate::observe::progress::Progress;

/// Examples that means are taken from: each has many numbers for each channel.
const FEW: usize = 64;
/// Examples that layers are compared on: each has many numbers, and both models give up all that makes
/// them fast to be looked into.
const COMPARED: usize = 8;
/// Bytes that second moments of inputs take at once.
const MOMENTS_BYTES_MAX: usize = 512 << 20;

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
    /// the plan. Second: how many layers were corrected, and how many have no bias and can be given
    /// none.
    pub(crate) fn corrected(
        &self,
        model: &Model,
        plan: &Plan,
        mut insert: impl FnMut(&Model) -> anyhow::Result<Quantized>,
    ) -> anyhow::Result<(Quantized, [usize; 2])> {
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
        Ok((insert(&corrected)?, [all.len(), without.len()]))
    }

    /// Rounding of weights that is learned in so many steps a layer, until the deadline; the integers
    /// that weights have so far become better ones. Second: names of the layers where it cannot be
    /// learned.
    pub(crate) fn rounded(
        &self,
        (model, plan): (&Model, &Plan),
        grids: &mut BTreeMap<String, Given>,
        (steps, deadline): (usize, Option<Instant>),
    ) -> anyhow::Result<(Vec<Learned>, Vec<String>)> {
        let (mut layers, without) = rounding::layers(model, plan);
        let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let mut bar = self.progress.bar("learning to round", layers.len() as u64);
        let mut found = Vec::with_capacity(layers.len());
        let mut start = 0;
        while start < layers.len() && !is_late() {
            // As many layers at once as memory is for.
            let mut bytes = 0;
            let fits = layers[start..].iter().take_while(|layer| {
                bytes += layer.bytes();
                bytes <= MOMENTS_BYTES_MAX
            });
            let count = fits.count().max(1);
            let some = &mut layers[start..start + count];
            self.moments(model, some)?;
            for layer in some {
                found.extend(layer.learn(grids, (steps, &is_late)));
                bar.step();
            }
            start += count;
        }
        Ok((found, without))
    }

    /// Shows layers what they take.
    fn moments(&self, model: &Model, layers: &mut [rounding::Layer]) -> anyhow::Result<()> {
        let mut names: Vec<String> = layers.iter().map(|layer| layer.input.clone()).collect();
        names.sort();
        names.dedup();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let probe = Probe::new(model, &names, self.workshop)?;
        self.sample.each(|inputs| {
            probe.look(inputs, |seen| {
                for layer in layers.iter_mut() {
                    if let Ok(place) = names.binary_search(&layer.input.as_str()) {
                        let (dims, numbers) = &seen[place];
                        layer.observe(dims, numbers);
                    }
                }
                Ok(())
            })
        })
    }

    /// Notes how far what layers of a quantized model give is from what they give in the model of
    /// floats.
    pub(crate) fn compare(&self, model: &Model, made: &mut Quantized) -> anyhow::Result<()> {
        let nodes = model.graph.nodes.iter().enumerate();
        let numbers: HashMap<&str, usize> =
            nodes.map(|(number, node)| (node.label(), number)).collect();
        let found = made.layers.iter().map(|layer| numbers.get(layer.node.as_str()).copied());
        let found: Vec<usize> = found.collect::<Option<_>>().context("layers keep their names")?;
        let before = found.iter().map(|&number| model.graph.nodes[number].output(0));
        let before: Vec<&str> = before.collect::<Option<_>>().context("layers have outputs")?;
        let after = bias::outputs(&made.model, &found).into_iter();
        let after: Vec<&str> = after.collect::<Option<_>>().context("layers have outputs")?;
        let one = Probe::new(model, &before, self.workshop)?;
        let few = one.bounded(&self.sample.few(COMPARED))?;
        let two = Probe::new(&made.model, &after, self.workshop)?;
        let mut noises = vec![Noise::default(); before.len()];
        few.each(|inputs| {
            one.look(inputs, |before| {
                two.look(inputs, |after| {
                    let both = before.iter().zip(after);
                    for (noise, ((_, truth), (_, rounded))) in noises.iter_mut().zip(both) {
                        noise.add(truth, rounded);
                    }
                    Ok(())
                })
            })
        })?;
        for (layer, noise) in made.layers.iter_mut().zip(noises) {
            layer.output_sqnr_db = Some(noise.decibels()).filter(|found| found.is_finite());
        }
        Ok(())
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
