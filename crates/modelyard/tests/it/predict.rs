//! `modelyard predict`: inputs in every form, outputs in every form, and what is wrong with them.

use std::process::Stdio;

use serde_json::Value;

use crate::digits;
use crate::harness::{Folder, Server, modelyard, run};

/// Runs `predict` with `--json` and gives what it prints.
fn predict(arguments: &[&str], folder: &Folder) -> Value {
    let mut all = vec!["predict", "--json"];
    all.extend(arguments);
    let (code, stdout, stderr) = run(&all, folder);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// The highest class of the first row.
fn class(answer: &Value) -> u64 {
    answer["classes"][0]["rows"][0][0]["class"].as_u64().unwrap()
}

/// Exit code and the last line of stderr.
fn refusal(arguments: &[&str], folder: &Folder) -> (i32, String) {
    let mut all = vec!["predict"];
    all.extend(arguments);
    let (code, stdout, stderr) = run(&all, folder);
    assert_eq!(stdout, "", "{arguments:?}");
    (code, stderr.lines().last().unwrap_or_default().trim().to_owned())
}

#[test]
fn pictures_of_digits_are_recognized() {
    let model = digits::model();
    let mut right = 0;
    for (pixels, label) in digits::first(10) {
        let folder = Folder::new()
            .file("white.pgm", digits::picture(&pixels, false))
            .file("black.pgm", digits::picture(&pixels, true));
        let white = class(&predict(&[&model, "--input", "white.pgm"], &folder));
        let black = class(&predict(&[&model, "--input", "black.pgm", "--invert"], &folder));
        assert_eq!(white, black);
        right += u32::from(white == u64::from(label));
    }
    assert!(right >= 9, "{right} of the first ten");
}

#[test]
fn json_from_anywhere_gives_the_same_answer() {
    let model = digits::model();
    let (pixels, _) = digits::first(4).remove(3);
    let array = digits::json(&pixels);
    let named = format!("{{\"image\": {array}}}");
    let folder = Folder::new().file("x.json", &named);
    let expected = predict(&[&model, "--input", &array], &folder)["outputs"].clone();
    let same = |argument: &str| {
        assert_eq!(predict(&[&model, "--input", argument], &folder)["outputs"], expected);
    };
    same("x.json");
    same(&named);
    same(&format!("image={array}"));
    let mut command = modelyard(&["predict", &model, "--json", "--input", "-"], &folder);
    let file = std::fs::File::open(folder.path("x.json")).unwrap();
    let output = command.stdin(Stdio::from(file)).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["outputs"], expected);
}

#[test]
fn outputs_written_to_a_file_can_be_inputs_again() {
    let folder = Folder::new().model("add.onnx", &modelyard_testkit::models::add());
    for extension in ["npy", "npz"] {
        let file = format!("sum.{extension}");
        let inputs = ["--input", "a=[1, 2, 3, 4]", "--input", "b=[1.5, 0, 0, -4]"];
        let mut arguments = vec!["predict", "add.onnx", "--output", &file];
        arguments.extend(inputs);
        let (code, stdout, stderr) = run(&arguments, &folder);
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.trim_end().ends_with(&format!("-> {file}")), "{stdout}");
    }
    let arguments = ["add.onnx", "--input", "a=sum.npy", "--input", "b=sum.npy"];
    let sum = predict(&arguments, &folder);
    assert_eq!(sum["outputs"][0]["data"], serde_json::json!([5.0, 4.0, 6.0, 0.0]));
    let (code, said) =
        refusal(&["add.onnx", "--input", "sum.npz", "--input", "a=sum.npy"], &folder);
    assert_eq!(code, 2);
    assert!(said.contains("no input 'sum', it takes 'a', 'b'"), "{said}");
}

#[test]
fn a_server_answers_as_this_process_does() {
    let folder = Folder::new();
    let model = digits::model();
    let server = Server::start(&[&model], &folder);
    let url = format!("http://{}", server.http());
    let (pixels, label) = digits::first(8).remove(7);
    let input = digits::json(&pixels);
    let local = predict(&[&model, "--input", &input], &folder);
    let remote = predict(&["--url", &url, "--input", &input], &folder);
    assert_eq!(remote["outputs"], local["outputs"]);
    assert_eq!(remote["model_name"], "digits");
    assert_eq!(class(&remote), u64::from(label));
    let named = predict(&["--url", &url, "--model", "digits", "--input", &input], &folder);
    assert_eq!(named["outputs"], local["outputs"]);
    let (code, said) = refusal(&["--url", &url, "--model", "none", "--input", &input], &folder);
    assert_eq!(code, 5);
    assert!(said.contains("404") && said.contains("none"), "{said}");
}

#[test]
fn the_grpc_port_is_recognized_where_rest_is_spoken() {
    let folder = Folder::new();
    let server = Server::start(&[&digits::model()], &folder);
    let url = format!("http://{}", server.grpc());
    let arguments = ["predict", "--url", &url, "--model", "digits", "--input", "[1]"];
    let (code, _, said) = run(&arguments, &folder);
    assert_eq!(code, 5);
    assert!(said.contains("is this the gRPC port?"), "{said}");
}

#[test]
fn without_a_model_a_server_is_suggested_too() {
    let (code, _, said) = run(&["predict", "--input", "[1]"], &Folder::new());
    assert_eq!(code, 2);
    assert!(said.contains("<MODEL|--url <URL>>"), "{said}");
}

#[test]
fn mistakes_are_told_with_their_own_exit_codes() {
    let folder = Folder::new().file("no.onnx", "not a model");
    let model = digits::model();
    let check = |arguments: &[&str], code: i32, text: &str| {
        let (found, said) = refusal(arguments, &folder);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    };
    let shape = "input 'image' takes shape [batch,784], but [3] was given";
    check(&[&model, "--input", "[1, 2, 3]"], 2, shape);
    check(&[&model, "--input", "[1, 2, \"x\"]"], 2, "expected FP32, found \"x\"");
    check(&[&model, "--input", "none.npy"], 2, "No such file");
    check(&[&model, "--input", "[1]", "--output", "x.txt"], 2, ".npy, .npz or .json");
    check(&["no.onnx", "--input", "[1]"], 3, "not an ONNX model");
    let engine = ["--engine", "onnxruntime"];
    check(&[&[model.as_str(), "--input", "[1]"], &engine[..]].concat(), 4, "engine install");
    check(&[&model, "--input", "[[NaN, 1]]"], 2, "but [1,2] was given");
    check(&[&model, "--input", "[1]", "--timeout", "30"], 2, "but [1] was given");
    check(&[&model, "--input", "[1]", "--timeout", "30s"], 2, "but [1] was given");
    check(&["--url", "grpc://127.0.0.1:1", "--input", "[1]"], 5, "REST is on port 8000");
    check(&["--url", "http://127.0.0.1:1", "--input", "[1]"], 5, "refused");
    check(&["--url", "https://localhost", "--input", "[1]"], 5, "http://");
}
