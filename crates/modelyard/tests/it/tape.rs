//! `serve --tape` and `replay`: what a server was asked is recorded, and asked another model.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::digits;
use crate::harness::{Folder, Server, run};
use crate::training::{refused, report};

/// A server that records all of its requests; `more` are further arguments.
fn recording(folder: &Folder, more: &[&str]) -> Server {
    let model = format!("digits={}", digits::model());
    let all = ["--tape", "tape", "--set", "tape.sample=1", &model];
    Server::start(&[&all[..], more].concat(), folder)
}

/// Sends the first digits, each with an id.
fn send(server: &Server, count: usize) {
    for (index, (pixels, _)) in digits::first(count).iter().enumerate() {
        let body = format!(
            r#"{{"id":"digit-{index}","inputs":[{{"name":"image","datatype":"FP32","shape":[1,784],"data":{}}}]}}"#,
            digits::json(pixels)
        );
        let answer = server.post("/v2/models/digits/infer", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// A tape of so many digits, and a model of integers beside it.
fn taped(count: usize) -> Folder {
    let folder = Folder::new();
    let mut server = recording(&folder, &[]);
    send(&server, count);
    assert!(server.terminate().success(), "{}", server.log());
    assert_eq!(files(&folder).len(), 1, "{}", server.log());
    folder
}

fn files(folder: &Folder) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path("tape")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).collect()
}

fn replay(arguments: &[&str], folder: &Folder) -> Value {
    report(&[&["replay", "tape", "--engine", "rten"], arguments].concat(), folder)
}

#[test]
fn a_tape_replayed_against_the_same_model_shows_no_difference() {
    let folder = taped(30);
    let model = digits::model();
    let strict = ["--max-class-changes", "0", "--max-errors", "0", "--max-abs-diff", "1e-5"];
    let found = replay(&[&["--against", &model], &strict[..]].concat(), &folder);
    assert_eq!((&found["requests"], &found["model"]), (&30.into(), &"digits".into()));
    assert_eq!(found["skipped"], serde_json::json!({}));
    let output = found["outputs"].as_object().unwrap().values().next().unwrap();
    assert_eq!((&output["compared"], &output["class_changes"]), (&30.into(), &0.0.into()));
    assert!(found["latency"]["baseline"]["p50_us"].as_f64().unwrap() > 0.0, "{found}");

    let both = ["--against", &model, "--baseline", &model, "--concurrency", "3", "--limit", "20"];
    let found = replay(&[&both[..], &["--max-rel-diff", "0"]].concat(), &folder);
    assert_eq!(found["requests"], 20);
    assert_eq!(found["exceeded"], serde_json::json!([]));

    let (code, text, _) = run(&["replay", "tape", "--against", &model], &folder);
    assert!(code == 0 && text.contains("30 requests for model 'digits' against"), "{text}");
    assert!(text.contains("errors: 0 before, 0 now") && text.contains("latency p95"), "{text}");
}

#[test]
fn another_model_differs_and_thresholds_decide() {
    let folder = taped(30);
    let (model, other) = (digits::model(), "int8.onnx");
    let quantize = ["quantize", &model, "-o", other, "--mode", "dynamic"];
    assert_eq!(run(&quantize, &folder).0, 0);
    let found = replay(&["--against", other, "--max-abs-diff", "0.5"], &folder);
    let output = found["outputs"].as_object().unwrap().values().next().unwrap();
    assert!(output["max_abs_diff"].as_f64().unwrap() > 1e-6, "{found}");
    let limits = ["--max-abs-diff", "1e-9", "--max-latency-ratio", "0.000001"];
    let gate = ["replay", "tape", "--against", other, "--baseline", &model];
    let (code, stdout, stderr) = run(&[&gate[..], &limits, &["--json"]].concat(), &folder);
    assert_eq!(code, 6, "{stderr}");
    assert!(stderr.contains("past 2 of its thresholds"), "{stderr}");
    assert!(stderr.contains("--max-abs-diff 0.000000001: found"), "{stderr}");
    let found: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(found["exceeded"][1]["threshold"], "--max-latency-ratio");
}

#[test]
fn versions_of_a_registry_and_models_of_a_server_are_replayed_too() {
    let folder = Folder::new();
    let model = digits::model();
    let push = ["registry", "--registry", "r", "push", &format!("digits={model}")];
    report(&[&push[..], &["--alias", "stable"]].concat(), &folder);
    let mut server = recording(&folder, &["--set", "tape.file_age=1s"]);
    send(&server, 5);
    server.wait_until("a file", |_| !files(&folder).is_empty());
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("modelyard_tape_samples_total 5"), "{metrics}");
    let url = format!("http://{}/v2/models/digits", server.http());
    let against = ["--against", "digits:stable", "--registry", "r", "--baseline", &url];
    let found = replay(&[&against[..], &["--max-rel-diff", "1e-5"]].concat(), &folder);
    assert_eq!((&found["requests"], &found["baseline"]["by"]), (&5.into(), &"server".into()));
    assert!(server.terminate().success());
    refused(&["replay", "tape", "--against", &url], &folder, 5, &["failed to connect"]);
    let missing = ["replay", "tape", "--registry", "r", "--against", "digits:9"];
    refused(&missing, &folder, 1, &["there is no file 'digits:9'", "has no version 9"]);
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let folder = taped(3).model("other.onnx", &modelyard_testkit::models::mlp());
    let model = digits::model();
    let refuse = |arguments: &[&str], code: i32, texts: &[&str]| {
        refused(&[&["replay"], arguments].concat(), &folder, code, texts);
    };
    refuse(
        &["tape", "--against", "other.onnx"],
        1,
        &["could be run", "3 passed over", "other.onnx"],
    );
    let named = ["tape", "--against", &model, "--model", "net"];
    refuse(&named, 2, &["no requests for model 'net', but for digits"]);
    refuse(&["tape", "--against", &model, "--since", "0s"], 1, &["since then could be run"]);
    refuse(&["none", "--against", &model], 2, &["failed to open the tape 'none'"]);
    refuse(&["tape", "--against", "none.onnx"], 3, &["none.onnx"]);
    fs::create_dir(folder.path("empty")).unwrap();
    refuse(&["empty", "--against", &model], 2, &["there is no tape in 'empty'"]);
    fs::write(folder.path("text.parquet"), "hello").unwrap();
    refuse(&["text.parquet", "--against", &model], 1, &["is no tape, or a damaged one"]);
    let mut bytes = fs::read(&files(&folder)[0]).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 64].fill(0xff);
    fs::write(folder.path("torn.parquet"), bytes).unwrap();
    refuse(&["torn.parquet", "--against", &model], 1, &["torn.parquet"]);
}

#[test]
fn a_tape_that_cannot_be_written_holds_up_nobody() {
    let folder = Folder::new().file("tape", "a file where the folder should be");
    let mut server = recording(&folder, &[]);
    send(&server, 3);
    server.wait_until("the loss", |server| {
        server.get("/metrics").body.contains("modelyard_tape_dropped_samples_total 3")
    });
    assert!(server.get("/metrics").body.contains("modelyard_tape_errors_total 1"));
    assert!(server.terminate().success());
    let said = server.log().matches("not all are recorded").count();
    assert_eq!(said, 1, "{}", server.log());
}

#[test]
fn a_killed_server_leaves_a_tape_that_goes_on() {
    let folder = Folder::new();
    let mut server = recording(&folder, &[]);
    send(&server, 3);
    server.signal("KILL");
    server.end();
    drop(server);
    fs::write(folder.path("tape/.tape-0000000000000001.parquet.tmp"), "torn").unwrap();
    fs::remove_file(folder.path("addresses.json")).unwrap();
    let mut server = recording(&folder, &[]);
    send(&server, 4);
    assert!(server.terminate().success());
    assert!(!folder.path("tape/.tape-0000000000000001.parquet.tmp").exists());
    assert_eq!(replay(&["--against", &digits::model()], &folder)["requests"], 4);
}

#[test]
fn recorded_inputs_warm_the_next_start() {
    let folder = taped(3);
    let mut server = recording(&folder, &["--log-level", "debug"]);
    let said = "warmed with recorded inputs";
    server.wait_until("warm", |server| server.log().contains(said));
    assert!(server.terminate().success());
}
