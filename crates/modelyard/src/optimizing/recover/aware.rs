//! Quantization-aware training: weights learn to be integers.
//!
//! The quantized model is trained with its weights as floats that are rounded on the way; gradients pass
//! rounding as if it were not there. In the end the weights become the integers that they were rounded
//! to. Ranges stay as they are.

use std::collections::BTreeMap;

use modelyard_graph::Model;
use modelyard_optimize::calibrate::Range;
use modelyard_optimize::quantize::{self, Options, Plan, Quantized, Weights};
use modelyard_train::trainer::trainable;

use super::teacher::Teacher;
use super::{Lessons, Training, refused};
use crate::training::record::Outcome;
use crate::training::session::Trained;

/// The model of integers that `plan` makes of a model of floats, after training. `original` is whose
/// answers are learned, where the lessons are to learn answers.
pub(crate) fn train_integers(
    original: &Model,
    (model, plan): (&Model, &Plan),
    (ranges, options): (&BTreeMap<String, Range>, &Options),
    lessons: &Lessons<'_>,
) -> anyhow::Result<(Quantized, Outcome)> {
    let mut grids = quantize::grids(model, plan, ranges, options).map_err(refused)?;
    let rounded = quantize::insert_with(model, plan, (ranges, Weights::Trained), options);
    let (trained, outcome) = trained(original, (model, rounded.map_err(refused)?.model), lessons)?;
    for (name, given) in &mut grids {
        if let Some(found) = floats(&trained, name) {
            given.numbers = found;
        }
    }
    let weights = (ranges, Weights::Given(&grids));
    let made = quantize::insert_with(&trained, plan, weights, options).map_err(refused)?;
    Ok((made, outcome))
}

/// The model of floats with what its weights have become in the rounded one.
fn trained(
    original: &Model,
    (model, rounded): (&Model, Model),
    lessons: &Lessons<'_>,
) -> anyhow::Result<(Model, Outcome)> {
    let names: Vec<String> = trainable(&rounded)
        .into_iter()
        .filter(|name| model.graph.initializer(name).is_some())
        .collect();
    let teacher = Teacher::of(original, lessons)?;
    let how = Training { only: Some(&names), deadline: lessons.deadline, ..Training::default() };
    let Trained { model: found, outcome, .. } = lessons.train(rounded, teacher.as_ref(), how)?;
    let mut model = model.clone();
    for constant in &mut model.graph.initializers {
        if let Some(now) = found.graph.initializer(&constant.name)
            && names.contains(&constant.name)
        {
            constant.clone_from(now);
        }
    }
    model.metadata = found.metadata;
    Ok((model.check()?, outcome))
}

fn floats(model: &Model, name: &str) -> Option<Vec<f32>> {
    let tensor = model.graph.initializer(name)?.to_tensor()?;
    Some(tensor.values::<f32>().ok()?.into_owned())
}
