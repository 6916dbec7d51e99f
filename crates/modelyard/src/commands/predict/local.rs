//! A prediction in this process.

use std::time::Instant;

use anyhow::{Context, bail};
use modelyard_engine::{Parallelism, RunError, Session};
use modelyard_tensor::{AlignedBuffer, Tensor, TensorView};

use super::answer::Answer;
use super::{Args, input};
use crate::cli::Globals;
use crate::config::Config;
use crate::exit::{self, Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::source::{self, ModelSource, VersionSource, check};

/// Loads the model at `path` and runs it once.
pub(super) fn answer(path: &str, args: &Args, globals: &Globals) -> anyhow::Result<Answer> {
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let source = source::one(None, path.as_ref(), &config)
        .map_err(anyhow::Error::msg)
        .exit_with(Exit::Model)?;
    let version = version(&source, args.model_version).exit_with(Exit::Model)?;
    let progress = Progress::unless(args.json);
    let checked = progress.spin("reading the model", || check::check(&source, version));
    let checked = checked.exit_with(Exit::Model)?;
    let engine = &config.engine;
    let choice = source.settings.engine.unwrap_or(engine.choice);
    let (engines, options) = (engine.engines(), engine.load_options());
    let load = || engines.load(choice, &checked.file, &options);
    let loaded = exit::loaded(progress.spin("loading the model", load))?;
    let session = loaded.session.as_ref();
    let signature = session.signature();
    let inputs = input::read(&args.inputs, signature, args.invert).exit_with(Exit::Usage)?;
    let start = Instant::now();
    let outputs = progress.spin("running the model", || run(session, &inputs))?;
    let names = signature.outputs.iter().map(|spec| spec.name.clone());
    Ok(Answer {
        model: source.name.clone(),
        version: (source.versions.len() > 1).then(|| version.number.to_string()),
        by: format!("engine {}", loaded.engine),
        outputs: names.zip(outputs).collect(),
        labels: checked.labels,
        time: start.elapsed(),
    })
}

/// The version with this number, or the newest.
fn version(source: &ModelSource, wanted: Option<u64>) -> anyhow::Result<&VersionSource> {
    let mut versions = source.versions.iter().rev();
    let found = versions.find(|version| wanted.is_none_or(|wanted| wanted == version.number));
    match (found, wanted) {
        (Some(version), _) => Ok(version),
        (None, Some(wanted)) => bail!("model '{}' has no version {wanted}", source.name),
        // A folder without versions: the mistakes say why.
        (None, None) => match source.mistakes.clone().or(()) {
            Ok(()) => bail!("model '{}' has no version", source.name),
            Err(mistakes) => Err(mistakes.into()),
        },
    }
}

/// Runs the model once, on all cores.
pub(crate) fn run(session: &dyn Session, inputs: &[Tensor]) -> anyhow::Result<Vec<Tensor>> {
    let buffers: Vec<AlignedBuffer> = inputs
        .iter()
        .map(|input| {
            let mut buffer = AlignedBuffer::zeroed(input.data().len());
            buffer.as_mut_slice().copy_from_slice(input.data());
            buffer
        })
        .collect();
    let views: Vec<TensorView<'_>> = inputs
        .iter()
        .zip(&buffers)
        .map(|(input, buffer)| TensorView {
            data_type: input.data_type(),
            shape: input.shape(),
            data: buffer.as_ref(),
        })
        .collect();
    let outputs: Vec<usize> = (0..session.signature().outputs.len()).collect();
    match session.run(&views, &outputs, Parallelism::All) {
        Ok(outputs) => Ok(outputs),
        Err(error @ RunError::Inputs(_)) => Err(error).exit_with(Exit::Usage),
        Err(error) => Err(error).context("failed to run the model"),
    }
}
