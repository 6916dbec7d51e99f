//! A prediction in this process.

use std::time::Instant;

use super::answer::Answer;
use super::{Args, input};
use crate::cli::Globals;
use crate::commands::local_model;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;

/// Loads the model at `path` and runs it once.
pub(super) fn answer(path: &str, args: &Args, globals: &Globals) -> anyhow::Result<Answer> {
    let progress = Progress::unless(args.json);
    let model = local_model::load((path, args.model_version), &args.engine, globals, &progress)?;
    let session = model.loaded.session.as_ref();
    let signature = session.signature();
    let inputs = input::read(&args.inputs, signature, args.invert).exit_with(Exit::Usage)?;
    let all: Vec<usize> = (0..signature.outputs.len()).collect();
    let start = Instant::now();
    let run = || local_model::run(session, &inputs, &all);
    let outputs = progress.spin("running the model", run)?;
    let names = signature.outputs.iter().map(|spec| spec.name.clone());
    Ok(Answer {
        outputs: names.zip(outputs).collect(),
        model: model.name,
        version: model.version,
        by: format!("engine {}", model.loaded.engine),
        labels: model.labels,
        time: start.elapsed(),
    })
}
