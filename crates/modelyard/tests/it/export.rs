//! `modelyard export`: an ONNX model for another runtime that computes the same, or nothing is
//! written.

use serde_json::Value;

use crate::harness::{Folder, run};

fn digits() -> String {
    format!("{}/../../examples/digits/digits.onnx", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn digits_go_to_tensorflow_lite_and_back() {
    let folder = Folder::new();
    let model = digits();
    let arguments = ["export", &model, "--to", "tflite", "-o", "digits.tflite", "--json"];
    let (code, stdout, stderr) = run(&arguments, &folder);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["operators"]["FULLY_CONNECTED"], 2, "{report}");
    assert_eq!(report["proof"]["legs"][0]["against"], "the reference evaluator");
    assert!(
        report["proof"]["legs"][0]["worst"][0]["difference"].as_f64().unwrap() < 1e-5,
        "{report}"
    );
    let (code, _, stderr) = run(&["convert", "digits.tflite", "-o", "back.onnx"], &folder);
    assert_eq!(code, 0, "{stderr}");
}

#[test]
fn digits_go_to_tensorflow_and_back() {
    let folder = Folder::new();
    let model = digits();
    let arguments = ["export", &model, "--to", "savedmodel", "-o", "saved", "--json"];
    let (code, stdout, stderr) = run(&arguments, &folder);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["proof"]["legs"][0]["sensitive"], 0, "{report}");
    let (code, stdout, stderr) = run(&["convert", "saved", "-o", "back.onnx", "--json"], &folder);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["inputs"][0]["shape"], "[batch,784]", "{report}");
    assert_eq!(report["outputs"][0]["name"], "probabilities", "{report}");
}

#[test]
fn what_is_refused_leaves_nothing() {
    let folder = Folder::new();
    let model = digits();
    let arguments = ["export", &model, "--to", "tflite", "-o", "no/such/folder/digits.tflite"];
    let (code, _, stderr) = run(&arguments, &folder);
    assert!(code != 0 && stderr.contains("'no/such/folder' is no folder"), "{stderr}");
    let (code, _, stderr) = run(&["export", &model, "--to", "tflite", "-o", "new/"], &folder);
    assert!(code != 0 && stderr.contains("--output is the file to write"), "{stderr}");
    let arguments = ["export", "missing.onnx", "--to", "tflite"];
    let (code, _, stderr) = run(&arguments, &folder);
    assert!(code != 0 && stderr.contains("missing.onnx"), "{stderr}");
    assert_eq!(folder.path("").read_dir().unwrap().count(), 0);
}

#[test]
fn the_operators_of_a_target_are_listed() {
    let folder = Folder::new();
    let (code, page, _) = run(&["export", "--list-ops", "tflite"], &folder);
    assert_eq!(code, 0);
    assert!(page.lines().any(|line| line == "Conv"), "{page}");
}
