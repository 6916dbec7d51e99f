//! A model in this process: found, checked, loaded, run.

use anyhow::{Context, bail};
use modelyard_engine::{Loaded, Parallelism, RunError, Session};
use modelyard_serving::Labels;
use modelyard_tensor::{AlignedBuffer, Tensor, TensorView};

use crate::cli::{EngineArgs, Globals};
use crate::config::Config;
use crate::exit::{self, Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::source::{self, ModelSource, VersionSource, check};

/// A loaded model.
pub(crate) struct LocalModel {
    /// Its name.
    pub(crate) name: String,
    /// Its version, where there are several.
    pub(crate) version: Option<String>,
    /// Class names of its outputs.
    pub(crate) labels: Labels,
    /// The session, and what it took to load it.
    pub(crate) loaded: Loaded,
}

/// Loads the model at a path, in this version or its newest.
pub(crate) fn load(
    (path, version): (&str, Option<u64>),
    engine: &EngineArgs,
    globals: &Globals,
    progress: &Progress,
) -> anyhow::Result<LocalModel> {
    let config = Config::load(globals, engine.overrides()).exit_with(Exit::Usage)?;
    let source = source::one(None, path.as_ref(), &config)
        .map_err(anyhow::Error::msg)
        .exit_with(Exit::Model)?;
    let version = find_version(&source, version).exit_with(Exit::Model)?;
    let checked = progress.spin("reading the model", || check::check(&source, version));
    let checked = checked.exit_with(Exit::Model)?;
    let engine = &config.engine;
    let choice = source.settings.engine.unwrap_or(engine.choice);
    let (engines, options) = (engine.engines(), engine.load_options());
    let load = || engines.load(choice, &checked.file, &options);
    let loaded = exit::loaded(progress.spin("loading the model", load))?;
    Ok(LocalModel {
        version: (source.versions.len() > 1).then(|| version.number.to_string()),
        name: source.name,
        labels: checked.labels,
        loaded,
    })
}

/// The version with this number, or the newest.
fn find_version(source: &ModelSource, wanted: Option<u64>) -> anyhow::Result<&VersionSource> {
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

/// Runs a model once for these outputs, on all cores.
pub(crate) fn run(
    session: &dyn Session,
    inputs: &[Tensor],
    outputs: &[usize],
) -> anyhow::Result<Vec<Tensor>> {
    let ran = with_views(inputs, |views| session.run(views, outputs, Parallelism::All));
    match ran {
        Ok(outputs) => Ok(outputs),
        Err(error @ RunError::Inputs(_)) => Err(error).exit_with(Exit::Usage),
        Err(error) => Err(error).context("failed to run the model"),
    }
}

/// Lends inputs in the form that sessions take: aligned to their elements.
pub(crate) fn with_views<T>(inputs: &[Tensor], act: impl FnOnce(&[TensorView<'_>]) -> T) -> T {
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
    act(&views)
}
