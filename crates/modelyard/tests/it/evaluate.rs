//! `modelyard evaluate`: measures on the real digits, through every way data comes, and what is
//! wrong with it.

use modelyard_testkit::models;
use serde_json::Value;

use crate::digits;
use crate::harness::{Folder, run};

/// Runs `evaluate` with `--json` and gives what it prints.
fn evaluate(arguments: &[&str], folder: &Folder) -> Value {
    let mut all = vec!["evaluate", "--json"];
    all.extend(arguments);
    let (code, stdout, stderr) = run(&all, folder);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

fn refusal(arguments: &[&str], folder: &Folder) -> (i32, String) {
    let mut all = vec!["evaluate"];
    all.extend(arguments);
    let (code, stdout, stderr) = run(&all, folder);
    assert_eq!(stdout, "", "{arguments:?}");
    (code, stderr)
}

#[test]
fn the_digits_are_told_as_their_readme_says() {
    let folder = Folder::new();
    let (model, data) = (digits::model(), digits::folder().display().to_string());
    let drawn = ["--confusion", "confusion.svg"];
    let report = evaluate(&[&[model.as_str(), "--data", &data], &drawn[..]].concat(), &folder);
    assert_eq!(report["task"], "classification");
    assert_eq!((&report["split"], &report["examples"]), (&"test".into(), &2000.into()));
    assert_eq!(report["accuracy"], 0.965);
    assert_eq!(report["top_k"]["1"], 0.965);
    assert!(report["top_k"]["5"].as_f64().unwrap() > 0.99);
    assert!(report["cross_entropy"].as_f64().unwrap() < 0.2);
    assert_eq!(report["skipped"], serde_json::json!([]));
    let classes = report["classes"].as_array().unwrap();
    assert_eq!((classes.len(), &classes[7]["support"]), (10, &200.into()));
    let confusion = report["confusion"].as_array().unwrap();
    let right = |digit: usize| confusion[digit][digit].as_u64().unwrap();
    assert_eq!((0..10).map(right).sum::<u64>(), 1930);
    let svg = std::fs::read_to_string(folder.path("confusion.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("1930 of 2000 right (96.50 %)"));
    let (code, text, _) = run(&["evaluate", &model, "--data", &data, "--batch", "1"], &folder);
    assert_eq!(code, 0);
    assert!(text.contains("2000 examples of the test part of"), "{text}");
    assert!(text.contains("96.50 %  1930 of 2000"), "{text}");
}

#[test]
fn folders_of_pictures_give_what_the_same_digits_give() {
    let mut folder = Folder::new();
    for (number, (pixels, digit)) in digits::first(30).into_iter().enumerate() {
        let path = format!("digits/{digit}/{number}.pgm");
        folder = folder.file(&path, digits::picture(&pixels, false));
    }
    let folder = folder.file("digits/3/notes.txt", "not a picture");
    let model = digits::model();
    let (code, said) = refusal(&[&model, "--data", "digits"], &folder);
    assert_eq!(code, 2);
    assert!(said.contains("1 entry cannot be used (--skip-bad"), "{said}");
    assert!(said.contains("3/notes.txt: not a PNG, JPEG or PGM picture"), "{said}");
    let report = evaluate(&[&model, "--data", "digits", "--skip-bad"], &folder);
    assert_eq!((&report["split"], &report["examples"]), (&"all".into(), &30.into()));
    assert_eq!(report["skipped"][0]["place"], "3/notes.txt");
    assert!(report["accuracy"].as_f64().unwrap() >= 0.9);
}

#[test]
fn values_are_measured_as_a_regression() {
    // The model adds its inputs a and b, four numbers each.
    let lines = "{\"a\": [1, 2, 3, 4], \"b\": [1, 1, 1, 1], \"y\": [2, 3, 4, 5]}\n\
                 {\"a\": [0, 0, 0, 0], \"b\": [1, 1, 1, 1], \"y\": [2, 1, 1, 1]}\n";
    let folder = Folder::new().model("add.onnx", &models::add()).file("x.jsonl", lines);
    let report = evaluate(&["add.onnx", "--data", "x.jsonl"], &folder);
    assert_eq!(report["task"], "regression");
    assert_eq!((&report["mse"], &report["mae"]), (&0.125.into(), &0.125.into()));
    assert_eq!(report["outputs"].as_array().unwrap().len(), 4);
    assert_eq!(report["outputs"][1]["r2"], 1.0);
    let drawn = ["add.onnx", "--data", "x.jsonl", "--confusion", "x.svg"];
    let (code, said) = refusal(&drawn, &folder);
    assert_eq!(code, 2);
    assert!(said.contains("the targets are values"), "{said}");
}

#[test]
fn what_does_not_go_together_is_told() {
    let folder = Folder::new()
        .file("empty/x.txt", "x")
        .file("table.csv", "a,b,label\n1,2,cat\n3,4,dog\n")
        .file("x.jsonl", "{\"image\": [0, 1]}\n");
    let model = digits::model();
    let check = |arguments: &[&str], code: i32, text: &str| {
        let (found, said) = refusal(arguments, &folder);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    };
    check(&[&model, "--data", "empty"], 2, "expected folders of pictures by class");
    check(&[&model, "--data", "none"], 2, "No such file");
    check(&[&model, "--data", "table.csv"], 2, "'image' takes shape [batch,784], but an example");
    check(&[&model, "--data", "x.jsonl"], 2, "'image' takes shape [batch,784]");
    check(&["none.onnx", "--data", "table.csv"], 3, "none.onnx");
    let data = digits::folder().display().to_string();
    check(&[&model, "--data", &data, "--output", "x"], 2, "it gives 'probabilities'");
    check(&[&model, "--data", "table.csv", "--split", "test"], 2, "no test part");
}
