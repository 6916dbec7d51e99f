//! What flows through a model.

use std::borrow::Cow;

use anyhow::{Context, anyhow};
use modelyard_engine::Loaded;
use modelyard_graph::Model;
use modelyard_optimize::calibrate::{Along, Calibration, PerChannel, Place, only, watched};
use modelyard_tensor::Tensor;

use super::sample::{Inputs, Sample};
use super::workshop::Workshop;
use crate::commands::local_model;
use crate::observe::progress::Progress;

/// Bytes of what is looked at in one batch that more examples do not add to. Larger batches are not
/// faster, and all that is looked at is in memory at once.
const BYTES_ENOUGH: usize = 64 << 20;

/// A loaded model, and tensors in it that are looked at.
pub(crate) struct Probe {
    loaded: Loaded,
    names: Vec<String>,
    places: Vec<Place>,
    /// Outputs that are asked for.
    outputs: Vec<usize>,
}

/// One tensor for one batch: its dimensions and numbers.
pub(crate) type Seen<'a> = (&'a [usize], Cow<'a, [f32]>);

impl Probe {
    /// Loads a model to look at some of its tensors. Nothing else of it is computed.
    pub(crate) fn new(
        model: &Model,
        tensors: &[&str],
        workshop: &Workshop,
    ) -> anyhow::Result<Probe> {
        let (_, places) = watched(model, tensors)?;
        let model = only(model, tensors)?;
        // The outputs are now those that were asked for, in this order.
        let mut count = 0..;
        let places = places.into_iter().map(|place| match place {
            Place::Output(_) => Place::Output(count.next().unwrap_or_default()),
            input => input,
        });
        let places: Vec<Place> = places.collect();
        let outputs = places.iter().filter_map(|place| match place {
            Place::Output(position) => Some(*position),
            Place::Input(_) => None,
        });
        Ok(Probe {
            loaded: workshop.load(&model)?,
            names: tensors.iter().map(|&name| name.to_owned()).collect(),
            outputs: outputs.collect(),
            places,
        })
    }

    /// The same examples in batches that keep what is looked at in bounds, if one example does.
    pub(crate) fn bounded<'a>(&self, sample: &Sample<'a>) -> anyhow::Result<Sample<'a>> {
        let bytes = self.look(&sample.few(1).first()?, |seen| {
            Ok(seen.iter().map(|(_, numbers)| size_of_val(&**numbers)).sum::<usize>())
        })?;
        Ok(sample.in_batches_of(BYTES_ENOUGH / bytes.max(1)))
    }

    /// Runs the model on one batch, and gives `act` what the tensors hold, in their order.
    pub(crate) fn look<T>(
        &self,
        inputs: &Inputs,
        act: impl FnOnce(&[Seen<'_>]) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let session = self.loaded.session.as_ref();
        let given = match self.outputs.is_empty() {
            true => Vec::new(),
            false => local_model::run(session, &inputs.tensors, &self.outputs)?,
        };
        let seen = self.names.iter().zip(&self.places).map(|(name, place)| {
            let tensor = match place {
                Place::Input(position) => inputs.tensors.get(*position),
                Place::Output(position) => given.get(*position),
            };
            floats(tensor, name)
        });
        act(&seen.collect::<anyhow::Result<Vec<_>>>()?)
    }
}

/// Runs a model on a sample and looks at some of its tensors.
pub(crate) fn observe(
    (model, tensors): (&Model, &[&str]),
    (sample, workshop): (&Sample<'_>, &Workshop),
    mut calibration: Calibration,
    progress: &Progress,
) -> anyhow::Result<Calibration> {
    let probe = progress.spin("loading the model", || Probe::new(model, tensors, workshop))?;
    let sample = probe.bounded(sample)?;
    let mut bar = progress.bar("calibrating", sample.batches() as u64);
    sample.each(|inputs| {
        probe.look(inputs, |seen| {
            let batch = tensors.iter().zip(seen).map(|(&name, (_, numbers))| (name, &numbers[..]));
            calibration.observe(&batch.collect::<Vec<_>>());
            Ok(())
        })?;
        bar.step();
        Ok(())
    })?;
    Ok(calibration)
}

/// A tensor whose channels are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Channelled {
    /// Its name in the model that is run.
    pub(crate) tensor: String,
    /// What to call it.
    pub(crate) called: String,
    /// Which dimension its channels are.
    pub(crate) along: Along,
}

/// Runs a model on a sample and looks at the channels of some of its tensors.
pub(crate) fn by_channel(
    (model, tensors): (&Model, &[Channelled]),
    (sample, workshop): (&Sample<'_>, &Workshop),
    mut step: impl FnMut(),
) -> anyhow::Result<PerChannel> {
    let names: Vec<&str> = tensors.iter().map(|it| it.tensor.as_str()).collect();
    let probe = Probe::new(model, &names, workshop)?;
    let mut channels = PerChannel::default();
    probe.bounded(sample)?.each(|inputs| {
        probe.look(inputs, |seen| {
            let batch = tensors.iter().zip(seen);
            let batch: Vec<(&str, Along, &[usize], &[f32])> = batch
                .map(|(it, (dims, numbers))| (it.called.as_str(), it.along, *dims, &numbers[..]))
                .collect();
            channels.observe(&batch);
            Ok(())
        })?;
        step();
        Ok(())
    })?;
    Ok(channels)
}

fn floats<'a>(tensor: Option<&'a Tensor>, name: &str) -> anyhow::Result<Seen<'a>> {
    let tensor = tensor.ok_or_else(|| anyhow!("the engine did not give tensor '{name}'"))?;
    let numbers = tensor.values::<f32>();
    let numbers = numbers.with_context(|| format!("failed to look at tensor '{name}'"))?;
    Ok((tensor.shape().dims(), numbers))
}
