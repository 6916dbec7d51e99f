//! A model as passes leave it, ready to be changed.

use std::path::Path;

use anyhow::Context;
use modelyard_graph::rewrite::Target;
use modelyard_graph::{Limits, Model, file, opset, rewrite};

use crate::exit::{Exit, ExitWith};

/// The oldest operator set in which a weight's channels have scales of their own.
const OLDEST_OPSET: i64 = 13;

/// The oldest operator set that has LayerNormalization.
const FUSED_OPSET: i64 = 17;

/// The model at a path with all its weights in memory.
pub(crate) fn read(path: &Path, limits: &Limits) -> anyhow::Result<Model> {
    let read = || anyhow::Ok(file::read_whole(path, limits)?);
    read()
        .with_context(|| format!("failed to use the model '{}'", path.display()))
        .exit_with(Exit::Model)
}

/// The same model with its graph cleaned, batch normalization folded into weights, and in an operator
/// set that has what quantization needs. Answers differ by rounding.
pub(crate) fn prepared(model: &Model, limits: &Limits) -> anyhow::Result<Model> {
    cleaned(raised(model, OLDEST_OPSET).exit_with(Exit::Model)?, limits, None)
}

/// The same, with one operator in the place of several where this target has them.
pub(crate) fn fused(model: &Model, limits: &Limits, target: Target) -> anyhow::Result<Model> {
    // Where a newer operator set cannot be reached, less is fused.
    let model = raised(model, FUSED_OPSET).or_else(|_| raised(model, OLDEST_OPSET));
    cleaned(model.exit_with(Exit::Model)?, limits, Some(target))
}

fn raised(model: &Model, least: i64) -> anyhow::Result<Model> {
    match model.opset("") {
        Some(found) if found < least => Ok(opset::convert(model.clone(), least)?),
        _ => Ok(model.clone()),
    }
}

fn cleaned(model: Model, limits: &Limits, fuse: Option<Target>) -> anyhow::Result<Model> {
    let options = rewrite::Options { fold_batch_norm: true, fuse };
    rewrite::clean(model, &options)
        .verified(limits)
        .context("the passes left a model that is not valid, which is a mistake in modelyard")
}
