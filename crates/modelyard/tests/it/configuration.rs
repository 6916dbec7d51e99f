//! Mistakes in flags, environment and files, and what the exit code says.

use modelyard_testkit::models;

use crate::harness::{Folder, modelyard, run};

#[test]
fn nothing_to_serve_is_a_usage_error() {
    let (code, _, said) = run(&["serve"], &Folder::new());
    assert_eq!(code, 2);
    assert!(said.contains("modelyard serve model.onnx"), "{said}");
}

#[test]
fn every_mistake_of_flags_environment_and_file_is_reported_at_once() {
    let folder = Folder::new().file("modelyard.toml", "drain_timeout = 'later'\n[logs]\nx = 1\n");
    let output = modelyard(&["serve", "m.onnx", "--threads", "0"], &folder)
        .env("MODELYARD_HTTP_ADDRESS", "8000")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    for expected in [
        "error: 4 mistakes",
        "modelyard.toml:1: drain_timeout = \"later\": expected a duration",
        "modelyard.toml:3: logs.x: unknown key",
        "--threads: threads = \"0\": expected a whole number from 1 to 1024",
        "environment variable MODELYARD_HTTP_ADDRESS: http_address = \"8000\": expected HOST:PORT",
    ] {
        assert!(said.contains(expected), "expected {expected:?} in {said}");
    }
}

#[test]
fn a_configuration_variable_that_is_empty_is_not_set() {
    let folder = Folder::new();
    let mut command = modelyard(&["engine", "list"], &folder);
    let output = command.env("MODELYARD_CONFIG", "").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn an_unknown_flag_is_a_usage_error_with_a_suggestion() {
    let (code, _, said) = run(&["serve", "--http-adress", "x"], &Folder::new());
    assert_eq!(code, 2);
    assert!(said.contains("--http-address"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new().model("m.onnx", &models::mlp());
    let off = ["--grpc-address", "off", "--metrics-address", "off"];
    let arguments = [&["serve", "m.onnx", "--http-address", &address], &off[..]].concat();
    let (code, _, said) = run(&arguments, &folder);
    assert_eq!(code, 1);
    assert!(said.contains(&format!("error: failed to listen on {address} for HTTP")), "{said}");
    assert!(said.contains("caused by: "), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = modelyard(&["validate", "--keys"], &Folder::new())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn completions_name_every_command() {
    let (code, script, _) = run(&["completions", "bash"], &Folder::new());
    assert_eq!(code, 0);
    for command in ["serve", "predict", "inspect", "validate", "bench", "engine", "quickstart"] {
        assert!(script.contains(command), "{command}");
    }
}

#[test]
fn the_documented_keys_are_those_there_are() {
    let (_, keys, _) = run(&["validate", "--keys"], &Folder::new());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, documented) = document.rsplit_once("```text\n").unwrap();
    let documented = documented.strip_suffix("```\n").unwrap();
    // Not assert_eq: two long lists are of no use to anybody.
    assert!(documented == keys, "put what `modelyard validate --keys` prints into {path}");
}
