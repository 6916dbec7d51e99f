//! Which models are served when some are broken, and what readiness says.

use modelyard_testkit::{broken, external, models};

use crate::harness::{Folder, Server, run, serve_arguments};

fn one_broken_beside_a_good_one() -> Folder {
    Folder::new()
        .model("repository/good/1/model.onnx", &models::mlp())
        .model("repository/bad/1/model.onnx", &broken::cycle())
        .file("repository/empty/readme", "")
        .file("repository/lost+found/x", "")
        .model("repository/my model/1/model.onnx", &models::mlp())
}

#[test]
fn a_broken_model_leaves_the_others_serving_and_the_server_not_ready() {
    let folder = one_broken_beside_a_good_one();
    let mut server = Server::listening(&["--repository", "repository"], &folder);
    server.wait_until("loaded", |server| server.log().contains("lifecycle: not ready"));
    let log = server.log();
    let said = "not ready: 3 of 4 models are unavailable: bad, empty, my model (";
    assert!(log.contains(said) && !log.contains("lifecycle: ready"), "{log}");
    assert!(log.contains("model is not available: repository/empty"), "{log}");
    assert!(log.contains("rename the folder"), "{log}");
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_ne!(server.get("/v2/health/ready").status, 200);
    assert_eq!(server.get("/v2/models/good/ready").status, 200);
    assert_ne!(server.get("/v2/models/bad/ready").status, 200);
    let index = server.post("/v2/repository/index", "{}").json();
    let entry = |name: &str| {
        index.as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap().clone()
    };
    assert_eq!(entry("good")["state"], "READY");
    assert_eq!(entry("bad")["state"], "UNAVAILABLE");
    assert!(entry("bad")["reason"].as_str().unwrap().contains("no cycle"));
    assert!(entry("empty")["reason"].as_str().unwrap().contains("version folder"));
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn without_strict_readiness_one_good_model_is_enough() {
    let folder = one_broken_beside_a_good_one();
    let server =
        Server::start(&["--repository", "repository", "--strict-readiness", "false"], &folder);
    assert_eq!(server.get("/v2/models/good/ready").status, 200);
    assert_ne!(server.get("/v2/models/bad/ready").status, 200);
}

#[test]
fn when_no_model_loads_the_server_ends_and_says_why() {
    let folder = Folder::new().model("bad.onnx", &broken::cycle());
    let off = "off";
    let arguments =
        ["serve", "bad.onnx", "gone.onnx", "--http-address", "127.0.0.1:0", "--grpc-address", off];
    let arguments = [&arguments[..], &["--metrics-address", off]].concat();
    let (code, _, said) = run(&arguments, &folder);
    assert_eq!(code, 3, "{said}");
    for expected in ["error: no model could be loaded", "bad 1: ", "gone.onnx"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn an_engine_that_is_not_there_has_the_exit_code_that_help_promises() {
    let folder = Folder::new().model("m.onnx", &models::mlp());
    let (code, _, said) = run(&serve_arguments(&["m.onnx", "--engine", "onnxruntime"]), &folder);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("modelyard engine install onnxruntime"), "{said}");
    assert!(!folder.path("addresses.json").exists());
}

#[test]
fn told_to_go_on_it_serves_without_any_model() {
    let folder = Folder::new().model("bad.onnx", &broken::cycle());
    let mut server = Server::listening(&["bad.onnx", "--exit-on-error=false"], &folder);
    server.wait_until("loaded", |server| server.log().contains("not ready: 1 of 1 models"));
    assert_eq!(server.get("/v2/health/live").status, 200);
    assert_ne!(server.get("/v2/health/ready").status, 200);
}

#[test]
fn names_versions_labels_and_external_data_come_from_where_they_lie() {
    let labels: Vec<String> = (0..10).map(|digit| format!("digit-{digit}")).collect();
    let folder = Folder::new()
        .model("mlp.onnx", &models::mlp())
        .model("repository/digits/1/model.onnx", &models::mlp())
        .model("repository/digits/2/model.onnx", &models::mlp())
        .file("repository/digits/model.toml", "version_policy = 'all'")
        .file("repository/digits/labels.txt", labels.join("\n"))
        .model(
            "repository/heavy/1/model.onnx/model.onnx",
            &external::with_location("weights.data", Some(8 * 4 * 4)),
        )
        .file("repository/heavy/1/model.onnx/weights.data", external::data());
    let server = Server::start(&["--repository", "repository", "net=mlp.onnx"], &folder);
    let metadata = server.get("/v2/models/digits").json();
    assert_eq!(metadata["versions"], serde_json::json!(["1", "2"]));
    assert_eq!(server.get("/v2/models/net/ready").status, 200);
    assert_eq!(server.get("/v2/models/heavy/ready").status, 200);
    let image = vec!["0.5"; 784].join(",");
    let answer = server.post("/predict/digits", &format!("{{\"image\":[{image}]}}")).json();
    assert!(answer.to_string().contains("digit-"), "{answer}");
}
