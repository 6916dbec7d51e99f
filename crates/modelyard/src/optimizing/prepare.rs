//! A model as passes leave it, ready to be changed.

use std::path::Path;

use anyhow::Context;
use modelyard_graph::{Limits, Model, file, opset, rewrite};

use crate::exit::{Exit, ExitWith};

/// The oldest operator set in which a weight's channels have scales of their own.
const OLDEST_OPSET: i64 = 13;

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
    let raise = |model: &Model| match model.opset("") {
        Some(found) if found < OLDEST_OPSET => Ok(opset::convert(model.clone(), OLDEST_OPSET)?),
        _ => anyhow::Ok(model.clone()),
    };
    let model = raise(model).exit_with(Exit::Model)?;
    let options = rewrite::Options { fold_batch_norm: true, fuse: None };
    rewrite::clean(model, &options)
        .verified(limits)
        .context("the passes left a model that is not valid, which is a mistake in modelyard")
}
