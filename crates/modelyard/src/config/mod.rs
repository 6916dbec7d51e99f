//! Configuration in two steps: raw values in [`layer`]s (flags over environment over file), then
//! [`Config`], where everything is checked. All mistakes are reported at once.

pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod kind;
pub(crate) mod layer;
mod limits;
pub(crate) mod mistake;
pub(crate) mod model;
mod model_limits;
mod models;
mod place;
mod sections;
pub(crate) mod units;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use modelyard_server::Limits;

use crate::cli::Globals;
use key::{AnyKey, Stack, refuse_unknown};
pub(crate) use keys::ControlMode;
use layer::Layer;
use mistake::{Mistake, Mistakes};
pub(crate) use model::ModelSettings;
pub(crate) use models::ModelLayers;
pub(crate) use place::Place;
pub(crate) use sections::{
    ControlConfig, EngineConfig, LifecycleConfig, ListenConfig, LogConfig, OtlpConfig,
    RegistryConfig, TapeConfig, environment,
};
use value::Value;

/// Everything about one run of the server, checked.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Model repositories.
    pub(crate) repositories: Vec<PathBuf>,
    /// Models listed under `[models.NAME]` with a path, by name.
    pub(crate) listed_models: BTreeMap<String, PathBuf>,
    /// Which models are loaded, and when.
    pub(crate) control: ControlConfig,
    /// The registry, and what is served from it.
    pub(crate) registry: RegistryConfig,
    /// Which engine, with what.
    pub(crate) engine: EngineConfig,
    /// Where to listen.
    pub(crate) listen: ListenConfig,
    /// The network side's bounds.
    pub(crate) limits: Limits,
    /// How large models may be.
    pub(crate) model_limits: modelyard_graph::Limits,
    /// From start to stop.
    pub(crate) lifecycle: LifecycleConfig,
    /// Logs.
    pub(crate) log: LogConfig,
    /// Where requests are recorded, if anywhere.
    pub(crate) tape: Option<TapeConfig>,
    /// Where spans go, if anywhere.
    pub(crate) otlp: Option<OtlpConfig>,
    /// What is said about models, to be put together model by model.
    pub(crate) models: ModelLayers,
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
        let engine = sections::engine(&stack, mistakes);
        Config {
            repositories: stack.take(&keys::REPOSITORY, mistakes),
            listed_models,
            control: sections::control(&stack, mistakes),
            registry: sections::registry(&stack, &engine.data_dir, mistakes),
            engine,
            listen,
            limits: limits::check(&stack, mistakes),
            model_limits: model_limits::check(&stack, mistakes),
            lifecycle: sections::lifecycle(&stack, mistakes),
            log: sections::log(&stack, mistakes),
            tape: sections::tape(&stack, mistakes),
            otlp: sections::otlp(&stack, mistakes),
            models,
        }
    }
}

/// All keys outside `[model]` and `[models.NAME]`, in the order of the documentation.
pub(crate) fn global_keys() -> impl Iterator<Item = &'static dyn AnyKey> {
    keys::ALL.iter().chain(limits::ALL).chain(model_limits::ALL).copied()
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
    // A variable that is set to nothing is not set.
    match globals.config.as_ref().filter(|path| !path.as_os_str().is_empty()) {
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
mod tests;
