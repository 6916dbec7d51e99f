//! `modelyard serve`: configuration → logging → `App::build` → `App::run`.

use std::path::PathBuf;

use anyhow::{anyhow, bail};

use crate::app::App;
use crate::app::parent::Parent;
use crate::cli::{EngineArgs, Globals, LibraryArgs};
use crate::config::{Config, ControlMode, Overrides, keys};
use crate::exit::{Exit, ExitWith};
use crate::follow::Following;
use crate::observe::logging;
use crate::observe::otlp::Exporter;
use crate::observe::progress::Progress;
use crate::source::{self, Catalogue, ModelSource};

/// Serve models over REST and gRPC
///
/// Listens on this machine only (127.0.0.1) unless told otherwise: nobody is asked for a password.
/// In a container use --http-address 0.0.0.0:8000 and the like, or MODELYARD_HTTP_ADDRESS.
///
/// Every option is also a key of modelyard.toml and an environment variable: --drain-delay is
/// drain_delay and MODELYARD_DRAIN_DELAY. `modelyard validate --keys` lists them all.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) models: ModelArgs,
    /// Where HTTP listens, or 'off'; port 0 is any free one [default: 127.0.0.1:8000]
    #[arg(long, value_name = "HOST:PORT")]
    http_address: Option<String>,
    /// Where gRPC listens, or 'off' [default: 127.0.0.1:8001]
    #[arg(long, value_name = "HOST:PORT")]
    grpc_address: Option<String>,
    /// Where metrics listen, or 'off' [default: 127.0.0.1:8002]
    #[arg(long, value_name = "HOST:PORT")]
    metrics_address: Option<String>,
    /// File that gets the bound addresses as JSON once all listen
    #[arg(long, value_name = "PATH")]
    address_file: Option<PathBuf>,
    /// End when the process that started this one ends [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    exit_with_parent: Option<String>,
    /// How long requests are still accepted after SIGTERM, while readiness is false already
    /// [default: 0s]
    #[arg(long, value_name = "DURATION")]
    drain_delay: Option<String>,
    /// How long requests under way may take to finish after that [default: 30s]
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Be ready only while every model is available [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    strict_readiness: Option<String>,
    /// End when no model could be loaded [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    exit_on_error: Option<String>,
    /// Who decides which models are loaded: the start (none), clients by request (explicit), or the
    /// repository folders as they change (poll) [default: none]
    #[arg(long, value_name = "MODE")]
    model_control_mode: Option<String>,
    /// A model that is loaded at the start in mode explicit; '*' is all; may be repeated
    #[arg(long, value_name = "NAME")]
    load_model: Vec<String>,
    /// How often repositories are looked at in mode poll; where the system tells of changes, they
    /// are seen at once [default: 15]
    #[arg(long, value_name = "SECONDS")]
    repository_poll_secs: Option<String>,
    /// Memory that all models may take together, such as 2GiB: each is loaded by its first request, and
    /// those used least recently make room [default: off]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<String>,
    /// Serve a model of the registry: digits:stable (an alias, followed when it moves), digits:3, or
    /// digits; may be repeated
    #[arg(long, value_name = "MODEL[:VERSION]")]
    from_registry: Vec<String>,
    /// The registry: a folder, or postgres://USER@HOST/DATABASE [default: registry in the data folder]
    #[arg(long, value_name = "DIR|URL")]
    registry: Option<String>,
    /// Where contents of a registry in PostgreSQL are: a folder, s3://BUCKET/PREFIX or the like
    #[arg(long, value_name = "PLACE")]
    registry_contents: Option<String>,
    /// Serve nothing of the registry that this public key, or one in this folder, did not sign; may
    /// be repeated
    #[arg(long, value_name = "FILE")]
    trust: Vec<String>,
    /// Serve nothing of the registry that is not signed; takes --trust [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    require_signed: Option<String>,
    /// Log every request [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
        require_equals = true)]
    access_log: Option<String>,
    /// Record a share of the requests, with their answers, as Parquet files into this folder; a
    /// hundredth unless --set tape.sample says otherwise
    #[arg(long, value_name = "DIR")]
    tape: Option<String>,
    /// OpenTelemetry collector (OTLP/HTTP) that gets spans, such as http://localhost:4318
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
}

/// Which models, and which engine runs them: also for `validate`.
#[derive(clap::Args)]
pub(crate) struct ModelArgs {
    /// Models: a .onnx file or a model folder, with a name of your own as NAME=PATH
    #[arg(value_name = "[NAME=]PATH")]
    pub(crate) models: Vec<String>,
    /// Model repository folder in Triton's layout: `<model>/<version>/model.onnx`
    #[arg(long, value_name = "DIR")]
    pub(crate) repository: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

impl ModelArgs {
    /// The flags as configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        self.engine.overrides().flag("repository", keys::REPOSITORY.name, self.repository.as_ref())
    }
}

impl EngineArgs {
    /// The flags as configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        self.library.overrides().flag("engine", keys::ENGINE.name, self.engine.as_ref()).flag(
            "threads",
            keys::THREADS.name,
            self.threads.as_ref(),
        )
    }
}

impl LibraryArgs {
    /// The flag as configuration.
    pub(crate) fn overrides(&self) -> Overrides {
        let library = self.onnxruntime_lib.as_ref();
        Overrides::default().flag("onnxruntime-lib", keys::ONNXRUNTIME_LIB.name, library)
    }
}

impl Args {
    fn overrides(&self) -> Overrides {
        let address_file = self.address_file.as_ref().map(|path| path.display().to_string());
        let load_models = Some(self.load_model.join(",")).filter(|names| !names.is_empty());
        let poll_secs = self.repository_poll_secs.as_ref();
        let from_registry = Some(self.from_registry.join(",")).filter(|names| !names.is_empty());
        let trust = Some(self.trust.join(",")).filter(|paths| !paths.is_empty());
        self.models
            .overrides()
            .flag(
                "model-control-mode",
                keys::MODEL_CONTROL_MODE.name,
                self.model_control_mode.as_ref(),
            )
            .flag("load-model", keys::LOAD_MODEL.name, load_models.as_ref())
            .flag("repository-poll-secs", keys::REPOSITORY_POLL_SECS.name, poll_secs)
            .flag("memory-budget", keys::MEMORY_BUDGET.name, self.memory_budget.as_ref())
            .flag("from-registry", keys::FROM_REGISTRY.name, from_registry.as_ref())
            .flag("registry", keys::REGISTRY.name, self.registry.as_ref())
            .flag(
                "registry-contents",
                keys::REGISTRY_CONTENTS.name,
                self.registry_contents.as_ref(),
            )
            .flag("trust", keys::TRUST.name, trust.as_ref())
            .flag("require-signed", keys::REQUIRE_SIGNED.name, self.require_signed.as_ref())
            .flag("http-address", keys::HTTP_ADDRESS.name, self.http_address.as_ref())
            .flag("grpc-address", keys::GRPC_ADDRESS.name, self.grpc_address.as_ref())
            .flag("metrics-address", keys::METRICS_ADDRESS.name, self.metrics_address.as_ref())
            .flag("address-file", keys::ADDRESS_FILE.name, address_file.as_ref())
            .flag("exit-with-parent", keys::EXIT_WITH_PARENT.name, self.exit_with_parent.as_ref())
            .flag("drain-delay", keys::DRAIN_DELAY.name, self.drain_delay.as_ref())
            .flag("drain-timeout", keys::DRAIN_TIMEOUT.name, self.drain_timeout.as_ref())
            .flag("strict-readiness", keys::STRICT_READINESS.name, self.strict_readiness.as_ref())
            .flag("exit-on-error", keys::EXIT_ON_ERROR.name, self.exit_on_error.as_ref())
            .flag("access-log", keys::LOG_ACCESS.name, self.access_log.as_ref())
            .flag("tape", keys::TAPE_FOLDER.name, self.tape.as_ref())
            .flag("otlp-endpoint", keys::OTLP_ENDPOINT.name, self.otlp_endpoint.as_ref())
    }
}

/// Serves until told to stop.
pub(crate) fn run(args: &Args, globals: &Globals) -> anyhow::Result<()> {
    let parent = Parent::now();
    let config = Config::load(globals, args.overrides()).exit_with(Exit::Usage)?;
    let catalogue = Catalogue::new(&args.models.models, &config);
    let sources = catalogue.all().exit_with(Exit::Usage)?;
    source::refuse_unknown(&config.control.load_models, &sources).exit_with(Exit::Usage)?;
    let explicit = config.control.mode == ControlMode::Explicit;
    let following = Following::read(&config.registry).exit_with(Exit::Usage)?;
    if let Some(following) = &following {
        refuse_twice(following, &sources).exit_with(Exit::Usage)?;
    }
    let is_nothing = sources.is_empty() && config.repositories.is_empty() && following.is_none();
    if is_nothing && !explicit {
        let message = "nothing to serve: name a model (modelyard serve model.onnx), a repository \
                       (modelyard serve --repository DIR) or a model of the registry (modelyard \
                       serve --from-registry digits:stable)";
        return Err(anyhow!(message)).exit_with(Exit::Usage);
    }
    let progress = Progress::new();
    let (_exporter, spans) = match &config.otlp {
        Some(otlp) => {
            Exporter::start(otlp).map(|(exporter, spans)| (Some(exporter), Some(spans)))?
        }
        None => (None, None),
    };
    logging::start(&config.log, spans, &progress)?;
    for mistake in source::empty_repositories(&sources, &config) {
        tracing::warn!("{mistake}");
    }
    let mut app = App::build(&config, catalogue, sources, progress)?;
    if let Some(following) = following {
        app.follow(following, &config)?;
    }
    app.run(parent).map(drop)
}

/// A model is from the registry or from a file, not both.
fn refuse_twice(following: &Following, sources: &[ModelSource]) -> anyhow::Result<()> {
    for name in following.names() {
        if let Some(source) = sources.iter().find(|source| source.name == name) {
            let other = source.folder.display();
            bail!("model '{name}' of the registry is there already, from '{other}'");
        }
    }
    Ok(())
}
