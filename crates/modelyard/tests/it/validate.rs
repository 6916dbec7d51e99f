//! `modelyard validate`: offline, all mistakes at once.

use modelyard_testkit::{broken, models};

use crate::harness::{Folder, run};

#[test]
fn good_models_are_valid() {
    let folder = Folder::new()
        .model("repository/mlp/1/model.onnx", &models::mlp())
        .file("repository/mlp/config.pbtxt", "max_batch_size: 8 input { name: 'input' dims: 784 }")
        .model("net.onnx", &models::conv());
    let (code, report, said) =
        run(&["validate", "--repository", "repository", "net.onnx"], &folder);
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(report, "mlp 1: ok\nnet 1: ok\n");
}

#[test]
fn mistakes_of_configuration_and_models_are_reported_together() {
    let mlp = models::mlp();
    let folder = Folder::new()
        .file("modelyard.toml", "threads = 'many'")
        .model("repository/mlp/1/model.onnx", &mlp)
        .file("repository/mlp/config.pbtxt", "input { name: 'x' dims: 784 }\nresponse_cache {}")
        .file("repository/mlp/labels.txt", "zero\none\n")
        .model("repository/cycle/1/model.onnx", &broken::cycle())
        .file("repository/cycle/model.toml", "instances = 0")
        .file("repository/empty/readme", "")
        .model("good.onnx", &mlp);
    let (code, report, said) =
        run(&["validate", "--repository", "repository", "good.onnx", "--json"], &folder);
    assert_eq!(code, 3, "{said}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["valid"], false);
    assert_eq!(report["configuration"][0]["place"], "modelyard.toml:1");
    assert_eq!(report["configuration"][0]["key"], "threads");
    let mistakes = |name: &str| -> Vec<String> {
        let models = report["models"].as_array().unwrap();
        let model = models.iter().find(|model| model["model"] == name).unwrap();
        let text = |mistake: &serde_json::Value| {
            format!("{} {}", mistake["place"].as_str().unwrap(), mistake["message"])
        };
        model["mistakes"].as_array().unwrap().iter().map(text).collect()
    };
    assert_eq!(mistakes("good"), Vec::<String>::new());
    let all = mistakes("mlp");
    for expected in
        ["the model has no such input, only input", "expected 10 labels", "'input' is not declared"]
    {
        assert!(all.iter().any(|text| text.contains(expected)), "{expected}: {all:?}");
    }
    let all = mistakes("cycle");
    assert!(all.iter().any(|text| text.contains("no cycle")), "{all:?}");
    assert!(all[0].starts_with("repository/cycle/model.toml:1 "), "{all:?}");
    assert!(mistakes("empty")[0].contains("expected a version folder"));
    let warning = &report["models"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["model"] == "mlp")
        .unwrap()["warnings"][0];
    assert_eq!(warning["key"], "response_cache");
    assert_eq!(warning["place"], "repository/mlp/config.pbtxt:2");
}

#[test]
fn a_repository_without_models_is_not_valid() {
    let folder = Folder::new().model("flat/net.onnx", &models::mlp()).file("bare/readme", "");
    for (repository, expected) in [
        (
            "flat",
            "error: flat: there are no models, expected <model>/<version>/model.onnx: move \
                  'net.onnx' to 'net/1/model.onnx'\n",
        ),
        ("bare/", "error: bare/: there are no models, expected <model>/<version>/model.onnx\n"),
    ] {
        let (code, report, said) = run(&["validate", "--repository", repository], &folder);
        assert_eq!((code, report.as_str()), (2, expected), "{said}");
    }
}

#[test]
fn models_beyond_the_limits_are_refused() {
    let folder = Folder::new().model("net.onnx", &models::conv());
    let (code, report, _) =
        run(&["validate", "net.onnx", "--set", "limits.model.nodes=1"], &folder);
    assert_eq!(code, 3);
    assert!(report.contains("net.onnx: "), "{report}");
}

#[test]
fn every_broken_model_is_refused() {
    for broken in broken::all() {
        let folder = Folder::new().file("m.onnx", &broken.bytes);
        let (code, report, _) = run(&["validate", "m.onnx"], &folder);
        assert_eq!(code, 3, "{}: {report}", broken.name);
        assert!(report.contains("m 1: not valid\n  error: m.onnx: "), "{}: {report}", broken.name);
    }
}

#[test]
fn all_keys_are_listed_with_their_variables() {
    let (code, keys, _) = run(&["validate", "--keys", "--json"], &Folder::new());
    assert_eq!(code, 0);
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let key = |name: &str| keys.as_array().unwrap().iter().find(|key| key["key"] == name).cloned();
    assert_eq!(key("limits.body_bytes").unwrap()["environment"], "MODELYARD_LIMITS_BODY_BYTES");
    assert_eq!(key("model.queue.max_requests").unwrap()["default"], "1024");
    assert!(key("models.NAME.path").unwrap()["environment"].is_null());
}
