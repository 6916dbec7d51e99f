//! Models that come, change and go while the server runs.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use modelyard_graph::Model;
use modelyard_testkit::{broken, models};
use serde_json::{Value, json};

use crate::harness::{Answer, Folder, Server, request, run, serve_arguments};

/// Loading is as nice as the rest here: where tests run beside other work, it would take for ever.
const EXPLICIT: [&str; 5] =
    ["--repository=repository", "--model-control-mode", "explicit", "--set", "load_nice=0"];
const POLL: [&str; 6] = [
    "--repository=repository",
    "--model-control-mode=poll",
    "--repository-poll-secs",
    "1",
    "--set",
    "load_nice=0",
];

fn image() -> String {
    format!("{{\"image\":[{}]}}", vec!["0.25"; 784].join(","))
}

fn load(server: &Server, model: &str) -> Answer {
    server.post(&format!("/v2/repository/models/{model}/load"), "")
}

fn unload(server: &Server, model: &str) -> Answer {
    server.post(&format!("/v2/repository/models/{model}/unload"), "")
}

/// State and reason of a version in the index.
fn standing(server: &Server, model: &str, version: u64) -> (String, String) {
    let index = server.post("/v2/repository/index", "").json();
    let is_it =
        |entry: &&Value| entry["name"] == model && entry["version"] == version.to_string().as_str();
    let entry = index.as_array().unwrap().iter().find(is_it).cloned().unwrap_or_default();
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

fn is_ready(server: &Server, model: &str, version: u64) -> bool {
    standing(server, model, version) == ("READY".to_owned(), String::new())
}

/// Whether it was taken out, be it that its last request has not ended yet.
fn is_unloaded(server: &Server, model: &str, version: u64) -> bool {
    let standing = standing(server, model, version);
    matches!((&*standing.0, &*standing.1), ("UNLOADING", "") | ("UNAVAILABLE", "unloaded"))
}

/// Puts a version where it is served from, in one step, as careful people do.
fn publish(folder: &Folder, model: &str, version: u64, content: &[u8]) {
    let made = folder.path("made");
    fs::create_dir_all(&made).unwrap();
    fs::write(made.join("model.onnx"), content).unwrap();
    let place = folder.path(&format!("repository/{model}/{version}"));
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::rename(&made, place).unwrap();
}

#[test]
fn fifty_switches_under_load_fail_no_request() {
    let mlp = models::mlp().encode();
    let folder = Folder::new().file("repository/m/1/model.onnx", &mlp);
    let mut server = Server::start(&[&EXPLICIT[..], &["--load-model", "m"]].concat(), &folder);
    let (address, body) = (server.http(), image());
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let answer = request(address, "POST", "/predict/m", &[], body.as_bytes());
                    let answer = answer.unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for version in 2..=51 {
            publish(&folder, "m", version, &mlp);
            let answer = load(&server, "m");
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(is_ready(&server, "m", version));
            assert!(is_unloaded(&server, "m", version - 1));
            fs::remove_dir_all(folder.path(&format!("repository/m/{}", version - 1))).unwrap();
        }
        stop.store(true, Ordering::Release);
    });
    assert!(answered.load(Ordering::Relaxed) > 50);
    server.wait_until("all unloaded", |server| server.log().matches(": unloaded").count() == 50);
    assert_eq!(server.get("/v2/health/ready").status, 200);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_broken_version_leaves_the_old_one_serving_and_says_why() {
    let folder = Folder::new().model("repository/m/1/model.onnx", &models::mlp());
    let mut server = Server::start(&POLL, &folder);
    publish(&folder, "m", 2, &broken::cycle().encode());
    server.wait_until("refused", |server| standing(server, "m", 2).1.contains("no cycle"));
    assert!(is_ready(&server, "m", 1));
    assert_eq!(server.post("/predict/m", &image()).status, 200);
    assert_eq!(server.get("/v2/health/ready").status, 200);
    // The same version, mended.
    fs::write(folder.path("new"), models::mlp().encode()).unwrap();
    fs::rename(folder.path("new"), folder.path("repository/m/2/model.onnx")).unwrap();
    server.wait_until("mended", |server| is_ready(server, "m", 2));
    assert!(is_unloaded(&server, "m", 1));
    // What serves is broken in its place: it goes on as it was loaded.
    fs::write(folder.path("repository/m/2/model.onnx"), "noise").unwrap();
    server.wait_until("kept", |server| !standing(server, "m", 2).1.is_empty());
    assert_eq!(standing(&server, "m", 2).0, "READY");
    assert_eq!(server.post("/predict/m", &image()).status, 200);
    assert_eq!(server.get("/v2/health/ready").status, 200);
}

#[test]
fn watched_folders_come_change_and_go() {
    let folder = Folder::new().model("repository/m/1/model.onnx", &models::mlp());
    let mut server = Server::start(&POLL, &folder);
    publish(&folder, "n", 7, &models::mlp().encode());
    server.wait_until("come", |server| is_ready(server, "n", 7));
    publish(&folder, "m", 2, &models::mlp().encode());
    server.wait_until("a new version", |server| is_ready(server, "m", 2));
    fs::write(folder.path("repository/m/model.toml"), "version_policy = 'all'").unwrap();
    server
        .wait_until("a new policy", |server| is_ready(server, "m", 1) && is_ready(server, "m", 2));
    fs::write(folder.path("repository/m/config.pbtxt"), "max_batch_size: 6").unwrap();
    server.wait_until("new settings", |server| {
        server.get("/v2/models/m/config").json()["max_batch_size"] == 6
    });
    let labels: Vec<String> = (0..10).map(|digit| format!("digit-{digit}")).collect();
    fs::write(folder.path("repository/m/labels.txt"), labels.join("\n")).unwrap();
    server
        .wait_until("labels", |server| server.post("/predict/m", &image()).body.contains("digit-"));
    fs::remove_dir_all(folder.path("repository/m/2")).unwrap();
    server.wait_until("a version gone", |server| is_unloaded(server, "m", 2));
    assert!(is_ready(&server, "m", 1));
    fs::remove_dir_all(folder.path("repository/n")).unwrap();
    server.wait_until("gone", |server| is_unloaded(server, "n", 7));
    assert_eq!(server.get("/v2/models/n/ready").status, 404);
    assert_eq!(server.get("/v2/health/ready").status, 200);
}

#[test]
fn a_version_that_is_being_written_is_not_loaded_half() {
    let folder = Folder::new().model("repository/m/1/model.onnx", &models::mlp());
    let mut server = Server::start(&POLL, &folder);
    let content = models::mlp().encode();
    let place = folder.path("repository/m/2/model.onnx");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    for part in 1..=10 {
        fs::write(&place, &content[..content.len() * part / 10]).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    server.wait_until("loaded", |server| is_ready(server, "m", 2));
    assert!(!server.log().contains("is not available"), "{}", server.log());
}

#[test]
fn unloading_gives_memory_back() {
    // 64 MB of weights.
    let folder = Folder::new().model("repository/big/1/model.onnx", &models::slow(1, 4096));
    let mut server = Server::start(&EXPLICIT, &folder);
    let before = server.resident_mb();
    let mut after = Vec::new();
    for cycle in 1..=6 {
        assert_eq!(load(&server, "big").status, 200);
        let loaded = server.resident_mb();
        assert!(loaded > before + 48, "{loaded} MB with the model, {before} MB before");
        assert_eq!(unload(&server, "big").status, 200);
        assert!(is_unloaded(&server, "big", 1));
        server.wait_until("unloaded", |server| {
            server.log().matches(": unloaded").count() == cycle
                && server.resident_mb() < before + 32
        });
        after.push(server.resident_mb());
    }
    assert!(after[5] <= after[0] + 16, "{after:?} MB after each, {before} MB before");
}

#[test]
fn a_load_under_way_does_not_hold_up_the_end() {
    let folder = Folder::new().model("repository/never/1/model.onnx", &models::mlp());
    // A named pipe that nobody writes to keeps the loader waiting.
    let pipe = folder.path("repository/never/labels");
    assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    fs::write(folder.path("repository/never/model.toml"), "label_filename = 'labels'").unwrap();
    let mut server = Server::start(&EXPLICIT, &folder);
    let address = server.http();
    let order = |model: &'static str| {
        let path = format!("/v2/repository/models/{model}/load");
        std::thread::spawn(move || request(address, "POST", &path, &[], b"").unwrap())
    };
    // The second waits for the first.
    let orders = [order("never"), order("never")];
    server.wait_until("loading", |server| standing(server, "never", 1).0 == "LOADING");
    server.signal("TERM");
    for order in orders {
        let answer = order.join().unwrap();
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(answer.body.contains("stopping"), "{}", answer.body);
    }
    assert_eq!(server.end().code(), Some(0));
}

#[test]
fn only_what_is_named_is_loaded_at_the_start_in_mode_explicit() {
    let folder = Folder::new()
        .model("repository/a/1/model.onnx", &models::mlp())
        .model("repository/b/1/model.onnx", &models::mlp());
    let mut server = Server::start(&EXPLICIT, &folder);
    assert!(is_unloaded(&server, "a", 1) && is_unloaded(&server, "b", 1));
    server.terminate();
    let named = [&EXPLICIT[..], &["--load-model", "a"]].concat();
    let mut server = Server::start(&named, &folder);
    assert!(is_ready(&server, "a", 1) && is_unloaded(&server, "b", 1));
    assert_eq!(load(&server, "b").status, 200);
    assert!(is_ready(&server, "b", 1));
    server.terminate();
    let all = [&EXPLICIT[..], &["--load-model", "*"]].concat();
    let mut server = Server::start(&all, &folder);
    assert!(is_ready(&server, "a", 1) && is_ready(&server, "b", 1));
    server.terminate();
    let wrong = [&EXPLICIT[..], &["--load-model", "c"]].concat();
    let (code, _, said) = run(&serve_arguments(&wrong), &folder);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("load_model c: unknown model"), "{said}");
    let idle = ["--repository", "repository", "--load-model", "a"];
    let (code, _, said) = run(&serve_arguments(&idle), &folder);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("model_control_mode \"explicit\""), "{said}");
}

#[test]
fn other_modes_refuse_orders_and_name_the_flag() {
    let folder = Folder::new().model("repository/m/1/model.onnx", &models::mlp());
    let server = Server::start(&["--repository", "repository"], &folder);
    for answer in [load(&server, "m"), unload(&server, "m")] {
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("--model-control-mode explicit"), "{}", answer.body);
    }
    assert!(is_ready(&server, "m", 1));
}

#[test]
fn orders_that_cannot_be_carried_out_say_why() {
    let folder = Folder::new()
        .model("repository/m/1/model.onnx", &models::mlp())
        .model("repository/bad/1/model.onnx", &broken::cycle());
    let server = Server::start(&EXPLICIT, &folder);
    let check = |model: &str, parameters: Value, status: u16, expected: &str| {
        let path = format!("/v2/repository/models/{model}/load");
        let answer = server.post(&path, &json!({ "parameters": parameters }).to_string());
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(expected), "{}", answer.body);
    };
    check("gone", json!({}), 404, "there is no such model");
    check("..", json!({}), 400, "wrong model name");
    check("bad", json!({}), 400, "no cycle");
    check("m", json!({ "config": 3 }), 400, "JSON string");
    check("m", json!({ "config": "{" }), 400, "invalid JSON");
    check("m", json!({ "config": "{\"max_bach_size\": 3}" }), 400, "max_batch_size");
    check("m", json!({ "colour": "blue" }), 400, "'config'");
    check("m", json!({ "file:1/model.onnx": "AAAA" }), 400, "'config'");
    check("m", json!({ "config": "{}", "file:1/model.onnx": "*" }), 400, "base64");
    check("m", json!({ "config": "{}", "file:../model.onnx": "AAAA" }), 400, "wrong file path");
    check("m", json!({ "config": "{}", "file:1/model.onnx": "AAAA" }), 400, "failed to load 'm'");
    assert_eq!(unload(&server, "gone").status, 404);
    assert_eq!(server.get("/v2/health/ready").status, 200);
}

#[test]
fn a_model_is_loaded_again_only_when_it_changed_and_may_be_given_whole() {
    let folder = Folder::new().model("repository/m/1/model.onnx", &models::mlp());
    let server = Server::start(&EXPLICIT, &folder);
    let loads = |server: &Server| server.log().matches("model is ready").count();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(load(&server, "m").status, 200));
        }
    });
    assert_eq!(loads(&server), 1, "{}", server.log());
    let post = |parameters: Value| {
        let body = json!({ "parameters": parameters }).to_string();
        let answer = server.post("/v2/repository/models/m/load", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let largest = || server.get("/v2/models/m/config").json()["max_batch_size"].clone();
    post(json!({ "config": "{\"max_batch_size\": 3}" }));
    assert_eq!(largest(), 3);
    // What the server says of a model is what it takes.
    let config = server.get("/v2/models/m/config").body;
    post(json!({ "config": config }));
    assert_eq!(largest(), 3);
    let whole = |model: &Model| BASE64_STANDARD.encode(model.encode());
    post(json!({ "config": "{}", "file:5/model.onnx": whole(&models::slow(1, 16)) }));
    assert!(is_ready(&server, "m", 5) && is_unloaded(&server, "m", 1));
    assert_eq!(server.post("/predict/m", &image()).status, 400, "another model");
    post(json!({}));
    assert!(is_ready(&server, "m", 1) && is_unloaded(&server, "m", 5));
    assert_eq!(server.post("/predict/m", &image()).status, 200);
}
