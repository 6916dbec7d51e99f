//! Configuration in two steps: raw values in [`layer`]s (flags over environment over file), then
//! [`Config`], where everything is checked. All mistakes are reported at once.

pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod kind;
pub(crate) mod layer;
mod limits;
pub(crate) mod mistake;
pub(crate) mod model;
mod models;
mod place;
mod sections;
pub(crate) mod units;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use modelyard_engine::{EngineChoice, Engines, LoadOptions};
use modelyard_server::Limits;

use crate::cli::Globals;
use crate::observe::otlp::Endpoint;
use key::{AnyKey, Stack, refuse_unknown};
use keys::LogFormat;
use layer::Layer;
use mistake::{Mistake, Mistakes};
pub(crate) use model::ModelSettings;
pub(crate) use models::ModelLayers;
pub(crate) use place::Place;
use value::Value;

/// Everything about one run of the server, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Model repositories.
    pub(crate) repositories: Vec<PathBuf>,
    /// Models listed under `[models.NAME]` with a path, by name.
    pub(crate) listed_models: BTreeMap<String, PathBuf>,
    /// Which engine, with what.
    pub(crate) engine: EngineConfig,
    /// Where to listen.
    pub(crate) listen: ListenConfig,
    /// The network side's bounds.
    pub(crate) limits: Limits,
    /// From start to stop.
    pub(crate) lifecycle: LifecycleConfig,
    /// Logs.
    pub(crate) log: LogConfig,
    /// Where spans go, if anywhere.
    pub(crate) otlp: Option<OtlpConfig>,
    /// What is said about models, to be put together model by model.
    pub(crate) models: ModelLayers,
}

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
        LoadOptions { threads: self.threads }
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
    /// Accepting after SIGTERM.
    pub(crate) drain_delay: Duration,
    /// Finishing after that.
    pub(crate) drain_timeout: Duration,
    /// End with the parent process.
    pub(crate) exit_with_parent: bool,
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

/// What the process was started with, apart from the global flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides(Vec<(&'static str, String, String)>);

impl Overrides {
    /// A flag of its own, where it was given: its name, the key, the value.
    pub(crate) fn flag(mut self, flag: &str, key: &'static str, value: Option<&String>) -> Self {
        self.0.extend(value.map(|value| (key, format!("--{flag}"), value.clone())));
        self
    }

    /// A flag that is there or not.
    pub(crate) fn switch(self, flag: &str, key: &'static str, given: bool) -> Self {
        self.flag(flag, key, given.then(|| "true".to_owned()).as_ref())
    }
}

impl Config {
    /// Reads flags, environment and file, and checks everything.
    pub(crate) fn load(globals: &Globals, overrides: Overrides) -> Result<Config, Mistakes> {
        let mut mistakes = Mistakes::default();
        let config = Config::read(globals, overrides, &mut mistakes);
        mistakes.or(config)
    }

    /// The same, going on with defaults after mistakes, so that more can be found.
    pub(crate) fn read(globals: &Globals, overrides: Overrides, mistakes: &mut Mistakes) -> Config {
        let file = read_file(globals, mistakes);
        let names = known_names();
        // A variable that is not Unicode cannot be one of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment = Layer::from_environment(variables, &names, mistakes);
        let flags = flag_layer(globals, overrides, mistakes);
        Config::check([&flags, &environment, &file], mistakes)
    }

    fn check(layers: [&Layer; 3], mistakes: &mut Mistakes) -> Config {
        let [flags, environment, file] = layers;
        for layer in [flags, file] {
            refuse_unknown_keys(layer, mistakes);
        }
        let stack = Stack { layers: layers.to_vec() };
        let models = ModelLayers {
            flags: flags.clone(),
            environment: environment.clone(),
            file: file.clone(),
        };
        let listed_models = models.listed(mistakes);
        let listen = sections::listen(&stack, mistakes);
        Config {
            repositories: stack.take(&keys::REPOSITORY, mistakes),
            listed_models,
            engine: sections::engine(&stack, mistakes),
            listen,
            limits: limits::check(&stack, mistakes),
            lifecycle: sections::lifecycle(&stack, mistakes),
            log: sections::log(&stack, mistakes),
            otlp: sections::otlp(&stack, mistakes),
            models,
        }
    }
}

/// All keys outside `[model]` and `[models.NAME]`, in the order of the documentation.
pub(crate) fn global_keys() -> impl Iterator<Item = &'static dyn AnyKey> {
    keys::ALL.iter().chain(limits::ALL).copied()
}

/// The names of all keys outside `[models.NAME]`.
fn known_names() -> Vec<&'static str> {
    let model = model::ALL.iter().map(|key| key.name()).filter(|name| *name != "path");
    // Leaked once a process: names live as long as keys do.
    let model = model.map(|name| &*format!("model.{name}").leak());
    global_keys().map(|key| key.name()).chain(model).collect()
}

fn refuse_unknown_keys(layer: &Layer, mistakes: &mut Mistakes) {
    let (models, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
        layer.entries.clone().into_iter().partition(|(key, _)| key.starts_with("models."));
    refuse_unknown(&Layer { entries: rest }, &known_names(), mistakes);
    let names: Vec<&str> = model::ALL.iter().map(|key| key.name()).collect();
    for model in models::names(&Layer { entries: models }) {
        refuse_unknown(&layer.under(&format!("models.{model}")), &names, mistakes);
    }
}

fn read_file(globals: &Globals, mistakes: &mut Mistakes) -> Layer {
    let default = Path::new("modelyard.toml");
    match &globals.config {
        Some(path) => Layer::from_file(path, mistakes),
        None if default.exists() => Layer::from_file(default, mistakes),
        None => Layer::default(),
    }
}

fn flag_layer(globals: &Globals, overrides: Overrides, mistakes: &mut Mistakes) -> Layer {
    let mut layer = Layer::default();
    for pair in &globals.set {
        let place = Place::Flag(format!("--set {pair}"));
        match pair.split_once('=') {
            Some((key, value)) => layer.insert(key.trim(), Value::Text(value.into()), place),
            None => mistakes.push(Mistake::general(place, "expected KEY=VALUE")),
        }
    }
    let overrides = overrides
        .flag("data-dir", keys::DATA_DIR.name, globals.data_dir.as_ref())
        .flag("log-level", keys::LOG_LEVEL.name, globals.log_level.as_ref())
        .flag("log-format", keys::LOG_FORMAT.name, globals.log_format.as_ref());
    for (key, flag, value) in overrides.0 {
        layer.insert(key, Value::Text(value), Place::Flag(flag));
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a `modelyard.toml` with `--set` flags.
    fn check(toml: &str, set: &[&str]) -> (Config, Vec<String>) {
        let mut mistakes = Mistakes::default();
        let file = Layer::from_toml(toml, Path::new("modelyard.toml"), &mut mistakes);
        let globals = Globals {
            set: set.iter().map(|pair| (*pair).to_owned()).collect(),
            ..Globals::default()
        };
        let flags = flag_layer(&globals, Overrides::default(), &mut mistakes);
        let config = Config::check([&flags, &Layer::default(), &file], &mut mistakes);
        (config, mistakes.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_default_is_valid() {
        for key in keys::ALL {
            assert!(key.default_is_valid(), "{}", key.name());
        }
        assert!(check("", &[]).1.is_empty());
    }

    #[test]
    fn each_mistake_names_key_value_expectation_and_place() {
        let cases = [
            (
                "drain_timeout = 30",
                "modelyard.toml:1: drain_timeout = 30: expected a duration from 0ns to 86400s, \
                 such as \"30s\" or \"250ms\"",
            ),
            (
                "\nhtp_address = 'x'",
                "modelyard.toml:2: htp_address: unknown key, did you mean 'http_address'?",
            ),
            (
                "engine = 'tensorrt'",
                "modelyard.toml:1: engine = \"tensorrt\": expected one of auto, rten, onnxruntime",
            ),
            (
                "[log]\nlevel = 'loud=very'",
                "modelyard.toml:2: log.level = \"loud=very\": expected off, error, warn, info, \
                 debug, trace, or levels by target such as \"info,hyper=warn\"",
            ),
            (
                "[models.digits]\nmax_bach_size = 3",
                "modelyard.toml:2: max_bach_size: unknown key, did you mean 'max_batch_size'?",
            ),
            (
                "[otlp]\nendpoint = 'https://collector'",
                "modelyard.toml:2: otlp.endpoint = \"https://collector\": expected a plain \
                 http:// address (put a collector beside the server to go further)",
            ),
            (
                "threads = 1979-05-27",
                "modelyard.toml:1: threads: expected text, a number, true, false or a list of them",
            ),
        ];
        for (toml, expected) in cases {
            assert_eq!(check(toml, &[]).1, [expected]);
        }
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let toml = "threads = 0\nhttp_address = '8000'\nnonsense = 1\n[log]\nformat = 'xml'\n";
        let (_, mistakes) = check(toml, &["drain_delay=soon", "novalue"]);
        assert_eq!(mistakes.len(), 6, "{mistakes:#?}");
        assert!(mistakes.iter().any(|text| text.starts_with("--set drain_delay=soon: ")));
        assert!(mistakes.iter().any(|text| text == "--set novalue: expected KEY=VALUE"));
    }

    #[test]
    fn a_flag_is_stronger_than_the_environment_and_that_than_the_file() {
        let mut mistakes = Mistakes::default();
        let file = "drain_delay = '1s'\nthreads = 1\nstrict_readiness = false";
        let file = Layer::from_toml(file, Path::new("m.toml"), &mut mistakes);
        let variables = [("MODELYARD_DRAIN_DELAY", "2s"), ("MODELYARD_THREADS", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = Layer::from_environment(variables, &known_names(), &mut mistakes);
        let overrides = Overrides::default().flag("threads", "threads", Some(&"3".to_owned()));
        let flags = flag_layer(&Globals::default(), overrides, &mut mistakes);
        let config = Config::check([&flags, &environment, &file], &mut mistakes);
        assert_eq!(mistakes, Mistakes::default());
        assert_eq!(config.engine.threads, 3);
        assert_eq!(config.lifecycle.drain_delay, Duration::from_secs(2));
        assert!(!config.lifecycle.strict_readiness);
        assert_eq!(config.lifecycle.drain_timeout, Duration::from_secs(30));
    }

    #[test]
    fn a_model_takes_its_own_settings_over_those_of_all() {
        let toml = "[model]\nmax_batch_size = 8\ninstances = 2\n\
                    [models.'a.b']\nmax_batch_size = 16\npath = 'nets/a.onnx'\n";
        let (config, mistakes) = check(toml, &["model.queue.max_requests=5"]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let mut mistakes = Mistakes::default();
        let own = Layer::from_toml("instances = 3", Path::new("model.toml"), &mut mistakes);
        let model = config.models.settings("a.b", &[&own], &mut mistakes).serving;
        assert_eq!(model.batching.max_batch_size, Some(16));
        assert_eq!(model.instances, Some(3));
        assert_eq!(model.queue.max_requests, 5);
        let other = config.models.settings("other", &[], &mut mistakes).serving;
        assert_eq!(other.batching.max_batch_size, Some(8));
        assert_eq!(other.instances, Some(2));
        assert_eq!(config.listed_models["a.b"], Path::new("nets/a.onnx"));
    }
}
