//! Serving from a registry: aliases that move are followed, and nothing is served that should not be.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use modelyard_testkit::models;
use serde_json::{Value, json};

use crate::harness::{Folder, Server, modelyard, request, run, serve_arguments};
use crate::training::{refused, report};

/// Loading is as nice as the rest here: where tests run beside other work, it would take for ever.
const SERVE: [&str; 6] = ["--registry", "r", "--set", "load_nice=0", "--set", "registry_poll=50ms"];

fn registry(arguments: &[&str], folder: &Folder) -> Value {
    report(&[&["registry", "--registry", "r"], arguments].concat(), folder)
}

/// Publishes a model that differs from others by a note in it.
fn push(folder: &Folder, note: &str, arguments: &[&str]) -> u64 {
    let mut model = models::mlp();
    model.metadata.insert("note".into(), note.into());
    fs::write(folder.path("m.onnx"), model.encode()).unwrap();
    let pushed = registry(&[&["push", "m.onnx"], arguments].concat(), folder);
    pushed["version"].as_u64().unwrap()
}

fn body() -> String {
    let image = vec![0.25; 784];
    let input = json!({"name": "input", "datatype": "FP32", "shape": [1, 784], "data": image});
    json!({ "inputs": [input] }).to_string()
}

/// The version that answers a request that names none.
fn answers(server: &Server) -> Option<String> {
    let answer = server.post("/v2/models/m/infer", &body());
    let version = (answer.status == 200).then(|| answer.json()["model_version"].clone())?;
    Some(version.as_str()?.to_owned())
}

fn reason(server: &Server, version: &str) -> String {
    let index = server.post("/v2/repository/index", "").json();
    let entry = index.as_array().unwrap().iter().find(|entry| entry["version"] == version).cloned();
    entry.unwrap_or_default()["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn an_alias_that_moves_is_followed_and_no_request_fails() {
    let folder = Folder::new();
    push(&folder, "one", &["--alias", "stable"]);
    let mut server =
        Server::start(&[&SERVE[..], &["--from-registry", "m:stable"]].concat(), &folder);
    let (address, body) = (server.http(), body());
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let path = "/v2/models/m/infer";
                    let answer = request(address, "POST", path, &[], body.as_bytes()).unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        assert_eq!(push(&folder, "two", &["--alias", "canary"]), 2);
        registry(&["promote", "m:canary"], &folder);
        server.wait_until("promoted", |server| answers(server).as_deref() == Some("2"));
        registry(&["rollback", "m"], &folder);
        server.wait_until("rolled back", |server| answers(server).as_deref() == Some("1"));
        stop.store(true, Ordering::Release);
    });
    assert!(answered.load(Ordering::Relaxed) > 10);
    assert_eq!(server.get("/v2/health/ready").status, 200);

    // What is served is not removed, even when no alias is left.
    registry(&["alias", "m:1", "kept"], &folder);
    registry(&["promote", "m:2"], &folder);
    server.wait_until("promoted again", |server| answers(server).as_deref() == Some("2"));
    server.wait_until("told", |_| {
        let served = registry(&["versions", "m"], &folder);
        served["versions"][1]["served_by"].as_array().is_some_and(|served| served.len() == 1)
    });
    for alias in ["stable", "canary"] {
        registry(&["alias", "--remove", &format!("m:{alias}")], &folder);
    }
    let remove = ["registry", "--registry", "r", "rm", "m:2"];
    refused(&remove, &folder, 1, &["cannot be removed", "serves it"]);
    // The alias that it follows is gone; it goes on.
    assert_eq!(answers(&server).as_deref(), Some("2"));
    assert_eq!(server.terminate().code(), Some(0));
    registry(&["rm", "m:2"], &folder);
}

#[test]
fn a_version_that_should_not_be_served_is_not_and_the_index_says_why() {
    let folder = Folder::new();
    assert_eq!(run(&["keys", "new", "team.pem"], &folder).0, 0);
    push(&folder, "one", &["--alias", "stable", "--key", "team.pem"]);
    let follow = ["--from-registry", "m:stable", "--trust", "team.pem.pub"];
    let mut server = Server::start(&[&SERVE[..], &follow].concat(), &folder);
    assert_eq!(answers(&server).as_deref(), Some("1"));

    push(&folder, "two", &["--alias", "stable"]);
    server.wait_until("unsigned", |server| reason(server, "2").contains("sign"));
    assert_eq!(answers(&server).as_deref(), Some("1"));

    // Signed afterwards, it is served after all.
    registry(&["sign", "m:2", "--key", "team.pem"], &folder);
    server.wait_until("signed", |server| answers(server).as_deref() == Some("2"));

    // Somebody changes a file of the registry behind its back.
    assert_eq!(push(&folder, "three", &["--key", "team.pem"]), 3);
    let shown = registry(&["show", "m:3"], &folder);
    let sha256 = shown["manifest"]["files"][0]["sha256"].as_str().unwrap().to_owned();
    let blobs = fs::read_dir(folder.path("r/blobs").join(&sha256[..2])).unwrap();
    for blob in blobs.map(|entry| entry.unwrap().path()) {
        if blob.to_string_lossy().contains(&sha256) {
            fs::write(&blob, "something else").unwrap();
        }
    }
    registry(&["promote", "m:3"], &folder);
    server.wait_until("tampered with", |server| reason(server, "3").contains("tampered with"));
    assert_eq!(answers(&server).as_deref(), Some("2"));
    assert_eq!(server.get("/v2/health/ready").status, 200);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_server_starts_and_serves_without_its_registry() {
    let folder = Folder::new();
    push(&folder, "one", &["--alias", "stable"]);
    let follow = [&SERVE[..], &["--from-registry", "m:stable"]].concat();
    let mut server = Server::start(&follow, &folder);
    assert_eq!(server.terminate().code(), Some(0));
    drop(server);

    fs::rename(folder.path("r"), folder.path("away")).unwrap();
    let mut server = Server::start(&follow, &folder);
    assert_eq!(answers(&server).as_deref(), Some("1"));
    assert!(server.log().contains("out of reach"), "{}", server.log());
    // It comes back, and has moved on.
    fs::rename(folder.path("away"), folder.path("r")).unwrap();
    push(&folder, "two", &["--alias", "stable"]);
    server.wait_until("caught up", |server| answers(server).as_deref() == Some("2"));
    assert_eq!(server.terminate().code(), Some(0));

    // Another model was never served here.
    fs::rename(folder.path("r"), folder.path("away")).unwrap();
    let other = [&SERVE[..], &["--from-registry", "other:stable"]].concat();
    let command = modelyard(&serve_arguments(&other), &folder).output().unwrap();
    let said = String::from_utf8_lossy(&command.stderr).into_owned();
    assert_eq!(command.status.code(), Some(3), "{said}");
    assert!(said.contains("there is no registry in"), "{said}");
}

#[test]
fn several_versions_of_a_model_are_served_and_the_first_named_leads() {
    let folder = Folder::new();
    push(&folder, "one", &["--alias", "stable"]);
    push(&folder, "two", &["--alias", "canary"]);
    let follow = ["--from-registry", "m:stable", "--from-registry", "m:canary"];
    let mut server = Server::start(&[&SERVE[..], &follow].concat(), &folder);
    assert_eq!(answers(&server).as_deref(), Some("1"));
    let second = server.post("/v2/models/m/versions/2/infer", &body());
    assert_eq!(second.json()["model_version"], "2");
    // Its policy is the model's where no version is named.
    assert_eq!(server.terminate().code(), Some(0));
    drop(server);
    let follow = ["--from-registry", "m", "--set", "model.version_policy=all"];
    let server = Server::start(&[&SERVE[..], &follow].concat(), &folder);
    assert_eq!(answers(&server).as_deref(), Some("2"));
    assert_eq!(server.get("/v2/models/m").json()["versions"], json!(["1", "2"]));
}

#[test]
fn what_cannot_be_followed_is_said_at_the_start() {
    let folder = Folder::new();
    push(&folder, "one", &["--alias", "stable"]);
    let serve = |arguments: &[&str]| {
        let arguments = [&SERVE[..], arguments].concat();
        let output = modelyard(&serve_arguments(&arguments), &folder).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = serve(&["--from-registry", "n:stable"]);
    assert!(code == Some(3) && said.contains("no model 'n'; there are 'm'"), "{code:?} {said}");
    let (code, said) = serve(&["--from-registry", "m:canary"]);
    assert!(code == Some(3) && said.contains("no alias 'canary'"), "{code:?} {said}");
    let (code, said) = serve(&["--from-registry", "../m"]);
    assert!(code == Some(2) && said.contains("'../m'"), "{code:?} {said}");
    let (code, said) = serve(&["--from-registry", "m", "m.onnx"]);
    assert!(code == Some(2) && said.contains("is there already"), "{code:?} {said}");
    let (code, said) = serve(&["--from-registry", "m", "--require-signed"]);
    assert!(code == Some(2) && said.contains("--trust"), "{code:?} {said}");
}
