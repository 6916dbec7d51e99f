//! The sections of the configuration, checked one by one.

use std::path::PathBuf;

use modelyard_engine::threads;

use super::key::Stack;
use super::mistake::{Mistake, Mistakes};
use super::{EngineConfig, LifecycleConfig, ListenConfig, LogConfig, OtlpConfig, keys};
use crate::observe::otlp::Endpoint;

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
        drain_delay: stack.take(&keys::DRAIN_DELAY, mistakes),
        drain_timeout: stack.take(&keys::DRAIN_TIMEOUT, mistakes),
        exit_with_parent: stack.take(&keys::EXIT_WITH_PARENT, mistakes),
    }
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
