//! Every key of `modelyard.toml`, with its default and what it does.
//!
//! Each is also an environment variable (`MODELYARD_` and the key in capitals, dots as
//! underscores) and a flag (`--set KEY=VALUE`); common ones have a flag of their own.
//! Limits of the server are in `super::limits`, keys of one model in `super::model`.

use std::time::Duration;

use modelyard_engine::{EngineChoice, onnxruntime, rten};

use super::key::keys;
use super::kind::{Address, Choice, Count, FilePath, ListOf, Maybe, Ratio, Switch, Text};
use super::units::{ByteSize, Span};

const DAY: Duration = Duration::from_secs(86_400);

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Who decides which models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ControlMode {
    /// The start: all that is there, once.
    None,
    /// Clients, by request.
    Explicit,
    /// The folders: what changes there is followed.
    Poll,
}

impl ControlMode {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        let words = CONTROL_MODES.0.iter();
        words.into_iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }
}

const CONTROL_MODES: Choice<ControlMode> = Choice(&[
    ("none", ControlMode::None),
    ("explicit", ControlMode::Explicit),
    ("poll", ControlMode::Poll),
]);

/// The words for engines.
pub(crate) const ENGINES: Choice<EngineChoice> = Choice(&[
    ("auto", EngineChoice::Auto),
    ("rten", EngineChoice::Named(rten::NAME)),
    ("onnxruntime", EngineChoice::Named(onnxruntime::NAME)),
]);

keys! { ALL:
    /// Model repository folders in Triton's layout: `<model>/<version>/model.onnx`.
    REPOSITORY: ListOf<FilePath> = "repository", "", ListOf(FilePath);
    /// Whether `serve` ends when no model could be loaded.
    EXIT_ON_ERROR: Switch = "exit_on_error", "true", Switch;
    /// Whether one model that is not available makes the server not ready.
    STRICT_READINESS: Switch = "strict_readiness", "true", Switch;
    /// Models that are loaded at the same time.
    LOAD_CONCURRENCY: Count = "load_concurrency", "4", Count { min: 1, max: 64 };
    /// How nice threads are that load models while requests are served: 19 lets everybody else go
    /// first; lower is faster on a machine that is always busy.
    LOAD_NICE: Count = "load_nice", "19", Count { min: 0, max: 19 };
    /// Memory that all models may take together. With it a model is loaded by its first request, and
    /// those used least recently make room.
    MEMORY_BUDGET: Maybe<ByteSize> = "memory_budget", "off",
        Maybe { none: "off", kind: ByteSize { min: 1 << 20, max: 1 << 50 } };
    /// Who decides which models are loaded: the start (none), clients by request (explicit), or the
    /// repository folders as they change (poll).
    MODEL_CONTROL_MODE: Choice<ControlMode> = "model_control_mode", "none", CONTROL_MODES;
    /// Models that are loaded at the start in mode explicit; * is all.
    LOAD_MODEL: ListOf<Text> = "load_model", "", ListOf(Text);
    /// How often the repositories are looked at in mode poll, in seconds. Where the system tells of
    /// changes, they are seen at once.
    REPOSITORY_POLL_SECS: Count = "repository_poll_secs", "15", Count { min: 1, max: 86_400 };

    /// The registry: a folder, or postgres://USER@HOST/DATABASE; auto is <data_dir>/registry.
    REGISTRY: Maybe<Text> = "registry", "auto", Maybe { none: "auto", kind: Text };
    /// Where contents of a registry in PostgreSQL are: a folder that all machines see,
    /// s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX.
    REGISTRY_CONTENTS: Maybe<Text> =
        "registry_contents", "none", Maybe { none: "none", kind: Text };
    /// Keys that contents of the registry are encrypted by, or files that hold one; the first
    /// encrypts, all decrypt.
    REGISTRY_ENCRYPTION_KEY: ListOf<Text> = "registry_encryption_key", "", ListOf(Text);
    /// Models that are served from the registry, such as digits:stable (an alias, followed when it
    /// moves), digits:3, or digits (what its version_policy asks for).
    FROM_REGISTRY: ListOf<Text> = "from_registry", "", ListOf(Text);
    /// How often the registry is looked at.
    REGISTRY_POLL: Span = "registry_poll", "2s", Span { min: Duration::from_millis(50), max: DAY };
    /// Where versions of the registry are kept on this machine; auto is <data_dir>/served.
    REGISTRY_CACHE: Maybe<FilePath> =
        "registry_cache", "auto", Maybe { none: "auto", kind: FilePath };
    /// Public keys, or folders of them: a version that none of these signed is not served.
    TRUST: ListOf<FilePath> = "trust", "", ListOf(FilePath);
    /// Whether to serve nothing that is not signed; takes keys to trust.
    REQUIRE_SIGNED: Switch = "require_signed", "false", Switch;

    /// Engine that runs models.
    ENGINE: Choice<EngineChoice> = "engine", "auto", ENGINES;
    /// ONNX Runtime library; without it $ORT_DYLIB_PATH, then <data_dir>/engines.
    ONNXRUNTIME_LIB: Maybe<FilePath> =
        "onnxruntime_lib", "auto", Maybe { none: "auto", kind: FilePath };
    /// Threads that run models; auto is what the cgroup quota and the CPU affinity allow.
    THREADS: Maybe<Count> =
        "threads", "auto", Maybe { none: "auto", kind: Count { min: 1, max: 1024 } };
    /// Where engines and downloads live; auto is $XDG_DATA_HOME/modelyard.
    DATA_DIR: Maybe<FilePath> = "data_dir", "auto", Maybe { none: "auto", kind: FilePath };

    /// Where HTTP listens. The default is this machine only; 0.0.0.0:8000 is every network.
    HTTP_ADDRESS: Maybe<Address> =
        "http_address", "127.0.0.1:8000", Maybe { none: "off", kind: Address };
    /// Where gRPC listens.
    GRPC_ADDRESS: Maybe<Address> =
        "grpc_address", "127.0.0.1:8001", Maybe { none: "off", kind: Address };
    /// Where metrics listen (they are on HTTP's /metrics too).
    METRICS_ADDRESS: Maybe<Address> =
        "metrics_address", "127.0.0.1:8002", Maybe { none: "off", kind: Address };
    /// Threads that read, answer and run cheap models; auto is what quota and affinity allow.
    IO_THREADS: Maybe<Count> =
        "io_threads", "auto", Maybe { none: "auto", kind: Count { min: 1, max: 1024 } };
    /// The model that POST /predict without a name means; auto is the only one there is.
    DEFAULT_MODEL: Maybe<Text> = "default_model", "auto", Maybe { none: "auto", kind: Text };
    /// File that gets the bound addresses as JSON once all listen.
    ADDRESS_FILE: Maybe<FilePath> = "address_file", "off", Maybe { none: "off", kind: FilePath };

    /// How long requests are still accepted after SIGTERM, while readiness is already false.
    DRAIN_DELAY: Span = "drain_delay", "0s", Span { min: Duration::ZERO, max: DAY };
    /// How long requests under way may take to finish after that.
    DRAIN_TIMEOUT: Span = "drain_timeout", "30s", Span { min: Duration::ZERO, max: DAY };
    /// Whether to end when the process that started this one ends.
    EXIT_WITH_PARENT: Switch = "exit_with_parent", "false", Switch;

    /// How much to log: a level (off, error, warn, info, debug, trace) or levels by target.
    LOG_LEVEL: Text = "log.level", "info", Text;
    /// How to log.
    LOG_FORMAT: Choice<LogFormat> =
        "log.format", "text", Choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    /// Whether to log every request.
    LOG_ACCESS: Switch = "log.access", "false", Switch;

    /// Folder that sampled requests are recorded to, with their answers: what clients sent is kept.
    TAPE_FOLDER: Maybe<FilePath> = "tape.folder", "off", Maybe { none: "off", kind: FilePath };
    /// Share of the requests that is recorded.
    TAPE_SAMPLE: Ratio = "tape.sample", "0.01", Ratio;
    /// Bytes of all files of the tape; the oldest go to make room.
    TAPE_MAX_BYTES: ByteSize = "tape.max_bytes", "1GiB", ByteSize { min: 1 << 20, max: 1 << 44 };
    /// Bytes of one file of the tape; a quarter of tape.max_bytes at most, whatever is said here.
    TAPE_FILE_BYTES: ByteSize = "tape.file_bytes", "64MiB", ByteSize { min: 1 << 16, max: 1 << 40 };
    /// How long records wait at most before their file is closed and can be read.
    TAPE_FILE_AGE: Span = "tape.file_age", "5m", Span { min: Duration::from_secs(1), max: DAY };

    /// OpenTelemetry collector that gets spans over OTLP/HTTP, such as http://localhost:4318.
    OTLP_ENDPOINT: Maybe<Text> = "otlp.endpoint", "off", Maybe { none: "off", kind: Text };
    /// Name of this service in spans.
    OTLP_SERVICE_NAME: Text = "otlp.service_name", "modelyard", Text;
    /// Share of requests that are traced when the caller did not decide.
    OTLP_SAMPLE_RATIO: Ratio = "otlp.sample_ratio", "1", Ratio;
    /// How long an export may take.
    OTLP_TIMEOUT: Span = "otlp.timeout", "10s",
        Span { min: Duration::from_millis(1), max: Duration::from_secs(600) };
}
