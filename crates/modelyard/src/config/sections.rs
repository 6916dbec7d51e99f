//! The sections of the configuration: what each holds, and how it is checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use modelyard_engine::{EngineChoice, Engines, LoadOptions, threads};
use modelyard_registry::{EncryptionKey, Place, RegistryError};
use modelyard_tape::Limits;

use super::key::Stack;
use super::keys::{self, ControlMode, LogFormat};
use super::mistake::{Mistake, Mistakes};
use crate::observe::otlp::Endpoint;

/// Which engine, with what.
#[derive(Clone, Debug)]
pub(crate) struct EngineConfig {
    /// Which one.
    pub(crate) choice: EngineChoice,
    /// The ONNX Runtime library, where it is given.
    pub(crate) onnxruntime_lib: Option<PathBuf>,
    /// Threads that run models.
    pub(crate) threads: usize,
    /// Where engines are installed.
    pub(crate) data_dir: PathBuf,
}

impl EngineConfig {
    /// All engines, none loaded yet.
    pub(crate) fn engines(&self) -> Engines {
        let variable = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty());
        Engines::new(modelyard_engine::EngineConfig {
            onnxruntime_lib: self.onnxruntime_lib.clone(),
            ort_dylib_path: variable.map(PathBuf::from),
            data_dir: self.data_dir.clone(),
        })
    }

    /// How to load models.
    pub(crate) fn load_options(&self) -> LoadOptions {
        LoadOptions { threads: self.threads, lone: false }
    }
}

/// Where to listen.
#[derive(Clone, Debug)]
pub(crate) struct ListenConfig {
    /// HTTP.
    pub(crate) http: Option<String>,
    /// gRPC.
    pub(crate) grpc: Option<String>,
    /// Metrics.
    pub(crate) metrics: Option<String>,
    /// Threads that read, answer and run cheap models.
    pub(crate) io_threads: usize,
    /// The model that `POST /predict` without a name means.
    pub(crate) default_model: Option<String>,
    /// File that gets the bound addresses.
    pub(crate) address_file: Option<PathBuf>,
}

/// From start to stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LifecycleConfig {
    /// End when no model could be loaded.
    pub(crate) exit_on_error: bool,
    /// Not ready while one model is unavailable.
    pub(crate) strict_readiness: bool,
    /// Models loaded at the same time.
    pub(crate) load_concurrency: usize,
    /// How nice threads are that load beside requests.
    pub(crate) load_nice: i32,
    /// Memory that models may take together; they are loaded by their first requests then.
    pub(crate) memory_budget: Option<u64>,
    /// Accepting after SIGTERM.
    pub(crate) drain_delay: Duration,
    /// Finishing after that.
    pub(crate) drain_timeout: Duration,
    /// End with the parent process.
    pub(crate) exit_with_parent: bool,
}

/// Which models are loaded, and when.
#[derive(Clone, Debug)]
pub(crate) struct ControlConfig {
    /// Who decides.
    pub(crate) mode: ControlMode,
    /// Loaded at the start in mode explicit.
    pub(crate) load_models: Vec<String>,
    /// Time between two looks in mode poll.
    pub(crate) poll_every: Duration,
}

/// The registry, and what is served from it.
#[derive(Clone, Debug)]
pub(crate) struct RegistryConfig {
    /// Its folder or database.
    registry: String,
    /// Where contents are, where they are not in its folder.
    contents: Option<String>,
    /// Keys of contents, or files that hold one.
    keys: Vec<String>,
    /// What is served: `MODEL:VERSION`, `MODEL:ALIAS` or `MODEL`.
    pub(crate) models: Vec<String>,
    /// Time between two looks.
    pub(crate) poll_every: Duration,
    /// Where versions are kept on this machine.
    pub(crate) cache: PathBuf,
    /// Keys, one of which must have signed what is served; all is served where there are none.
    pub(crate) trust: Vec<PathBuf>,
}

impl RegistryConfig {
    /// Where it is, with the keys that it takes.
    pub(crate) fn place(&self) -> Result<Place, RegistryError> {
        let place = Place::parse(&self.registry, self.contents.as_deref())?;
        let keys: Result<Vec<_>, _> = self.keys.iter().map(|text| key(text)).collect();
        Ok(place.with_environment(environment()).with_keys(keys?))
    }
}

/// What stores of objects take their credentials from.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A key, or a file that holds one.
fn key(text: &str) -> Result<EncryptionKey, RegistryError> {
    let is_key = text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
    match is_key || !Path::new(text).exists() {
        // It may be a key with a typing mistake: it is not repeated.
        true => EncryptionKey::parse(text).map_err(|_| {
            let wanted = "expected 64 hexadecimal digits, or a file that holds them";
            RegistryError::Invalid(format!("wrong encryption key, {wanted}"))
        }),
        false => EncryptionKey::read(Path::new(text)),
    }
}

/// Logs.
#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    /// Level or levels by target.
    pub(crate) level: tracing_subscriber::filter::Targets,
    /// Text or JSON.
    pub(crate) format: LogFormat,
    /// Log every request.
    pub(crate) access: bool,
}

/// Where requests are recorded.
#[derive(Clone, Debug)]
pub(crate) struct TapeConfig {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Share of requests, 0 to 1.
    pub(crate) sample: f64,
    /// How much the tape takes.
    pub(crate) limits: Limits,
}

/// Where spans go.
#[derive(Clone, Debug)]
pub(crate) struct OtlpConfig {
    /// The collector.
    pub(crate) endpoint: Endpoint,
    /// Name of this service.
    pub(crate) service_name: String,
    /// Share of requests traced when the caller did not decide.
    pub(crate) sample_ratio: f64,
    /// Longest export.
    pub(crate) timeout: Duration,
}

pub(super) fn engine(stack: &Stack<'_>, mistakes: &mut Mistakes) -> EngineConfig {
    EngineConfig {
        choice: stack.take(&keys::ENGINE, mistakes),
        onnxruntime_lib: stack.take(&keys::ONNXRUNTIME_LIB, mistakes),
        threads: stack.take(&keys::THREADS, mistakes).unwrap_or_else(threads::budget),
        data_dir: stack.take(&keys::DATA_DIR, mistakes).unwrap_or_else(default_data_dir),
    }
}

pub(super) fn listen(stack: &Stack<'_>, mistakes: &mut Mistakes) -> ListenConfig {
    let threads = stack.take(&keys::IO_THREADS, mistakes);
    let config = ListenConfig {
        http: stack.take(&keys::HTTP_ADDRESS, mistakes),
        grpc: stack.take(&keys::GRPC_ADDRESS, mistakes),
        metrics: stack.take(&keys::METRICS_ADDRESS, mistakes),
        io_threads: threads.unwrap_or_else(threads::budget),
        default_model: stack.take(&keys::DEFAULT_MODEL, mistakes),
        address_file: stack.take(&keys::ADDRESS_FILE, mistakes),
    };
    if config.http.is_none() && config.grpc.is_none() {
        let place = stack.place(&keys::GRPC_ADDRESS);
        let message = "http_address and grpc_address are both off: nobody could send a request";
        mistakes.push(Mistake::general(place, message));
    }
    config
}

pub(super) fn lifecycle(stack: &Stack<'_>, mistakes: &mut Mistakes) -> LifecycleConfig {
    LifecycleConfig {
        exit_on_error: stack.take(&keys::EXIT_ON_ERROR, mistakes),
        strict_readiness: stack.take(&keys::STRICT_READINESS, mistakes),
        load_concurrency: stack.take(&keys::LOAD_CONCURRENCY, mistakes),
        load_nice: i32::try_from(stack.take(&keys::LOAD_NICE, mistakes)).unwrap_or(19),
        memory_budget: stack.take(&keys::MEMORY_BUDGET, mistakes).map(|bytes| bytes as u64),
        drain_delay: stack.take(&keys::DRAIN_DELAY, mistakes),
        drain_timeout: stack.take(&keys::DRAIN_TIMEOUT, mistakes),
        exit_with_parent: stack.take(&keys::EXIT_WITH_PARENT, mistakes),
    }
}

pub(super) fn control(stack: &Stack<'_>, mistakes: &mut Mistakes) -> ControlConfig {
    let config = ControlConfig {
        mode: stack.take(&keys::MODEL_CONTROL_MODE, mistakes),
        load_models: stack.take(&keys::LOAD_MODEL, mistakes),
        poll_every: Duration::from_secs(stack.take(&keys::REPOSITORY_POLL_SECS, mistakes) as u64),
    };
    if !config.load_models.is_empty() && config.mode != ControlMode::Explicit {
        let expected = format!(
            "model_control_mode \"explicit\" beside it; in mode \"{}\" every model is loaded",
            config.mode.name()
        );
        let (place, names) = (stack.place(&keys::LOAD_MODEL), config.load_models.join(","));
        mistakes.push(Mistake::value(place, keys::LOAD_MODEL.name, names, &expected));
    }
    config
}

pub(super) fn registry(
    stack: &Stack<'_>,
    data_dir: &Path,
    mistakes: &mut Mistakes,
) -> RegistryConfig {
    let registry = stack.take(&keys::REGISTRY, mistakes);
    let cache = stack.take(&keys::REGISTRY_CACHE, mistakes);
    let config = RegistryConfig {
        registry: registry.unwrap_or_else(|| data_dir.join("registry").display().to_string()),
        contents: stack.take(&keys::REGISTRY_CONTENTS, mistakes),
        keys: stack.take(&keys::REGISTRY_ENCRYPTION_KEY, mistakes),
        models: stack.take(&keys::FROM_REGISTRY, mistakes),
        poll_every: stack.take(&keys::REGISTRY_POLL, mistakes),
        cache: cache.unwrap_or_else(|| data_dir.join("served")),
        trust: stack.take(&keys::TRUST, mistakes),
    };
    if stack.take(&keys::REQUIRE_SIGNED, mistakes) && config.trust.is_empty() {
        let place = stack.place(&keys::REQUIRE_SIGNED);
        let expected = "public keys to trust beside it (--trust team.pem.pub)";
        mistakes.push(Mistake::value(place, keys::REQUIRE_SIGNED.name, "true".into(), expected));
    }
    config
}

pub(super) fn log(stack: &Stack<'_>, mistakes: &mut Mistakes) -> LogConfig {
    let level = stack.take(&keys::LOG_LEVEL, mistakes);
    let level = level.parse().unwrap_or_else(|_| {
        let expected = "off, error, warn, info, debug, trace, or levels by target such as \
                        \"info,hyper=warn\"";
        let place = stack.place(&keys::LOG_LEVEL);
        let key = keys::LOG_LEVEL.name;
        mistakes.push(Mistake::value(place, key, format!("{level:?}"), expected));
        tracing_subscriber::filter::Targets::new()
    });
    LogConfig {
        level,
        format: stack.take(&keys::LOG_FORMAT, mistakes),
        access: stack.take(&keys::LOG_ACCESS, mistakes),
    }
}

pub(super) fn tape(stack: &Stack<'_>, mistakes: &mut Mistakes) -> Option<TapeConfig> {
    let folder = stack.take(&keys::TAPE_FOLDER, mistakes);
    let sample = stack.take(&keys::TAPE_SAMPLE, mistakes);
    let limits = Limits {
        max_bytes: stack.take(&keys::TAPE_MAX_BYTES, mistakes) as u64,
        file_bytes: stack.take(&keys::TAPE_FILE_BYTES, mistakes) as u64,
        file_age: stack.take(&keys::TAPE_FILE_AGE, mistakes),
    };
    Some(TapeConfig { folder: folder?, sample, limits })
}

pub(super) fn otlp(stack: &Stack<'_>, mistakes: &mut Mistakes) -> Option<OtlpConfig> {
    let written = stack.take(&keys::OTLP_ENDPOINT, mistakes);
    let service_name = stack.take(&keys::OTLP_SERVICE_NAME, mistakes);
    let sample_ratio = stack.take(&keys::OTLP_SAMPLE_RATIO, mistakes);
    let timeout = stack.take(&keys::OTLP_TIMEOUT, mistakes);
    let written = written?;
    let endpoint = Endpoint::parse(&written);
    if endpoint.is_none() {
        mistakes.push(Mistake::value(
            stack.place(&keys::OTLP_ENDPOINT),
            keys::OTLP_ENDPOINT.name,
            format!("{written:?}"),
            "a plain http:// address (put a collector beside the server to go further)",
        ));
    }
    Some(OtlpConfig { endpoint: endpoint?, service_name, sample_ratio, timeout })
}

fn default_data_dir() -> PathBuf {
    let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("XDG_DATA_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| folder("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(std::env::temp_dir)
        .join("modelyard")
}
