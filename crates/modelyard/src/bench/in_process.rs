//! Loads a model to be measured in this process.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use modelyard_engine::{LoadError, Loaded, ModelFile, Parallelism};
use modelyard_serving::{
    ModelConfig, Phase, Service, ServiceConfig, Version, VersionSpec, VersionState,
};

use super::args::{Args, Protocol};
use super::inputs::Example;
use super::local::{EngineModel, ServedModel};
use super::measure::Transport;
use super::prepare::{self, Prepared};
use crate::cli::Globals;
use crate::config::Config;
use crate::exit::{self, Exit, ExitWith};
use crate::observe::progress::Progress;

/// Loads the model, into the serving core or bare, and makes its inputs.
pub(crate) fn prepare(
    args: &Args,
    globals: &Globals,
    protocol: Protocol,
) -> anyhow::Result<Prepared> {
    let path = Path::new(&args.target);
    let config = Config::load(globals, args.engine.overrides()).exit_with(Exit::Usage)?;
    let progress = Progress::unless(args.json);
    let read = || modelyard_graph::file::read_file(path, &config.model_limits);
    let model = progress
        .spin("reading the model", read)
        .with_context(|| format!("failed to read the model {}", path.display()))
        .exit_with(Exit::Model)?;
    let file = ModelFile { path: path.to_owned(), model };
    let name = path.file_stem().map_or("model".into(), |stem| stem.to_string_lossy().into_owned());
    let config = config.engine;
    let threads = config.threads;
    let (engines, choice, options) = (config.engines(), config.choice, config.load_options());
    let load = move || engines.load(choice, &file, &options);
    let start = || match protocol {
        Protocol::Engine => bare(args, exit::loaded(load())?),
        _ => served(args, &name, threads, Box::new(load)),
    };
    let (transport, rows) = progress.spin("loading the model", start)?;
    let plan = prepare::plan(args, transport, rows, threads);
    Ok(Prepared { plan, protocol, model: Some(name), request_bytes: 0, connections: None })
}

fn bare(args: &Args, loaded: Loaded) -> anyhow::Result<(Transport, Vec<usize>)> {
    let examples = prepare::examples(args, &loaded.session.signature().inputs)?;
    let parallelism = if args.parallel_calls { Parallelism::All } else { Parallelism::One };
    let model = EngineModel::new(loaded.session, parallelism, &examples);
    Ok((Transport::Engine(Arc::new(model)), prepare::rows(&examples)))
}

type Load = Box<dyn Fn() -> Result<Loaded, LoadError> + Send + Sync>;

fn served(
    args: &Args,
    name: &str,
    threads: usize,
    load: Load,
) -> anyhow::Result<(Transport, Vec<usize>)> {
    let service = Service::new(ServiceConfig { threads, strict_readiness: true })
        .context("failed to start the threads that run models")?;
    let spec = VersionSpec {
        model: name.to_owned(),
        number: 1,
        config: ModelConfig::default(),
        labels: Vec::new(),
        load,
    };
    let version = Arc::new(exit::loaded(Version::load(spec))?);
    service.set_version(name, 1, VersionState::Ready(version.clone()));
    service.set_phase(Phase::Ready);
    let examples: Vec<Example> = prepare::examples(args, &version.signature().inputs)?;
    let model = ServedModel::new(service, version, &examples);
    Ok((Transport::Service(Arc::new(model)), prepare::rows(&examples)))
}
