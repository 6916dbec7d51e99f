//! What flows through a model.

use std::borrow::Cow;

use anyhow::{Context, anyhow};
use modelyard_graph::Model;
use modelyard_optimize::calibrate::{Calibration, Place, watched};
use modelyard_tensor::Tensor;

use super::sample::Sample;
use super::workshop::Workshop;
use crate::commands::local_model;
use crate::observe::progress::Progress;

/// Runs a model on a sample and looks at some of its tensors.
pub(crate) fn observe(
    (model, tensors): (&Model, &[&str]),
    (sample, workshop): (&Sample<'_>, &Workshop),
    mut calibration: Calibration,
    progress: &Progress,
) -> anyhow::Result<Calibration> {
    let (watched, places) = watched(model, tensors)?;
    let loaded = progress.spin("loading the model", || workshop.load(&watched))?;
    let outputs: Vec<usize> = places
        .iter()
        .filter_map(|place| match place {
            Place::Output(position) => Some(*position),
            Place::Input(_) => None,
        })
        .collect();
    let mut bar = progress.bar("calibrating", sample.batches() as u64);
    sample.each(|inputs| {
        let given = local_model::run(loaded.session.as_ref(), &inputs.tensors, &outputs)?;
        let mut given = given.iter();
        let mut batch = Vec::with_capacity(tensors.len());
        for (&name, place) in tensors.iter().zip(&places) {
            let tensor = match place {
                Place::Input(position) => inputs.tensors.get(*position),
                Place::Output(_) => given.next(),
            };
            batch.push((name, floats(tensor, name)?));
        }
        let batch: Vec<(&str, &[f32])> =
            batch.iter().map(|(name, numbers)| (*name, numbers.as_ref())).collect();
        calibration.observe(&batch);
        bar.step();
        Ok(())
    })?;
    Ok(calibration)
}

fn floats<'a>(tensor: Option<&'a Tensor>, name: &str) -> anyhow::Result<Cow<'a, [f32]>> {
    let tensor = tensor.ok_or_else(|| anyhow!("the engine did not give tensor '{name}'"))?;
    tensor.values::<f32>().with_context(|| format!("failed to look at tensor '{name}'"))
}
