//! What the original answers, for others to learn.

use anyhow::{Context, anyhow, bail};
use modelyard_graph::Model;
use modelyard_train::Array;
use modelyard_train::trainer::LossKind;

use super::{Lessons, Recovery};
use crate::commands::distill::logits_only;
use crate::commands::local_model;
use crate::data::Task;
use crate::exit::{Exit, ExitWith};
use crate::optimizing::sample::Sample;

/// The original's answers to all examples, and how they are taught.
pub(super) struct Teacher {
    logits: Array,
    loss: LossKind,
}

impl Teacher {
    /// `None` where the original is not asked.
    pub(super) fn of(original: &Model, lessons: &Lessons<'_>) -> anyhow::Result<Option<Teacher>> {
        let Recovery::Distill { temperature, alpha } = lessons.recovery else { return Ok(None) };
        let (data, _) = lessons.data;
        let labels = match &data.task {
            Task::Regression { .. } => {
                return Err(anyhow!(
                    "distillation is for classes: --recover finetune learns values"
                ))
                .exit_with(Exit::Usage);
            }
            Task::Classification { labels } => Some(labels.len()),
            Task::Unlabelled => None,
        };
        let cut = logits_only(original.clone()).exit_with(Exit::Model)?;
        let logits = answers(&cut, lessons)?;
        let columns = logits.shape()[1];
        if labels.is_some_and(|labels| labels != columns) {
            return Err(anyhow!(
                "the model gives {columns} scores, the data has {} classes: --recover finetune",
                labels.unwrap_or_default()
            ))
            .exit_with(Exit::Usage);
        }
        Ok(Some(Teacher { logits, loss: LossKind::Distillation(temperature, alpha) }))
    }

    /// The answers, and the loss that they are learned by.
    pub(super) fn taught(&self) -> (&Array, LossKind) {
        (&self.logits, self.loss)
    }
}

/// The first output of a model for all examples to learn from, a row each.
fn answers(model: &Model, lessons: &Lessons<'_>) -> anyhow::Result<Array> {
    const BATCH: usize = 64;
    let (data, _) = lessons.data;
    let options = lessons.recipe.taught(&data.task).exit_with(Exit::Usage)?;
    let limit_bytes = options.memory_limit_bytes;
    let sample = Sample::new(data, data.train.as_ref(), model, (usize::MAX, BATCH, 0))?;
    let loaded = lessons.workshop.load(model)?;
    let mut bar = lessons.progress.bar("asking the original", sample.batches() as u64);
    let (mut values, mut rows) = (Vec::new(), 0);
    sample.each(|inputs| {
        let outputs = local_model::run(loaded.session.as_ref(), &inputs.tensors, &[0])?;
        let output = outputs.first().context("the engine gave no output")?;
        let given = output.values::<f32>().context("the model's answers are no floats")?;
        values.extend_from_slice(&given[..given.len() / inputs.rows.max(1) * inputs.count]);
        rows += inputs.count;
        if 4 * values.len() > limit_bytes {
            bail!("the original's answers outgrow the memory limit of {limit_bytes} bytes");
        }
        bar.step();
        Ok(())
    })?;
    let columns = values.len() / rows.max(1);
    if rows == 0 || values.len() != rows * columns {
        bail!("the model gave {} numbers for {rows} examples", values.len());
    }
    Ok(Array::floats([rows, columns], values))
}
