//! The configuration as a whole: what is wrong with it, and which source is the strongest.

use std::time::Duration;

use super::*;

/// Checks a `modelyard.toml` with `--set` flags.
fn check(toml: &str, set: &[&str]) -> (Config, Vec<String>) {
    let mut mistakes = Mistakes::default();
    let file = Layer::from_toml(toml, Path::new("modelyard.toml"), &mut mistakes);
    let globals =
        Globals { set: set.iter().map(|pair| (*pair).to_owned()).collect(), ..Globals::default() };
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
