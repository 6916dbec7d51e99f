//! `modelyard convert`: models of other frameworks become ONNX that computes the same, or nothing is
//! written.

use serde_json::{Value, json};

use crate::harness::{Folder, run};

fn example(name: &str) -> String {
    format!("{}/../../examples/convert/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn digits() -> String {
    format!("{}/../../examples/digits", env!("CARGO_MANIFEST_DIR"))
}

/// Converts; gives what is reported.
fn convert(arguments: &[&str], folder: &Folder) -> Value {
    let mut all = vec!["convert", "--json"];
    all.extend(arguments);
    let (code, stdout, stderr) = run(&all, folder);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// Wants a conversion to be refused with this exit code and these words, and nothing to be left.
fn refused(arguments: &[&str], folder: &Folder, code: i32, words: &[&str]) {
    let mut all = vec!["convert", "-o", "out.onnx"];
    all.extend(arguments);
    let before = files(folder);
    let (found, _, said) = run(&all, folder);
    assert_eq!(found, code, "{said}");
    for word in words {
        assert!(said.contains(word), "expected '{word}' in: {said}");
    }
    assert_eq!(files(folder), before);
}

fn files(folder: &Folder) -> Vec<String> {
    let entries = folder.path("").read_dir().unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The framework is asked with the values that inputs were fixed to; a script stands for its Python.
#[cfg(unix)]
#[test]
fn the_framework_is_asked_with_the_values_that_inputs_were_fixed_to() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let python = folder.path("python");
    std::fs::write(&python, "#!/bin/sh\nprintf '%s' \"$2\" >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../convert/tests/fixtures/torchscript");
    let source = format!("{fixtures}/fixed.pt");
    let fixed = ["--shape", "x=2,8", "--value", "rate=16000", "--value", "mode=fast"];
    let mut arguments = vec![source.as_str(), "--against", "python", "--python", "./python"];
    arguments.extend(fixed);
    let asked = r#""fixed":{"mode":"fast","rate":"16000"}"#;
    refused(&arguments, &folder, 4, &[asked, r#""inputs":["x"]"#]);
}

#[test]
fn the_same_network_of_three_frameworks_reads_digits() {
    for (source, correct) in [("digits.keras", 0.96), ("digits.tflite", 0.96), ("digits.pt2", 0.96)]
    {
        let folder = Folder::new();
        let report = convert(&[&example(source), "-o", "model.onnx"], &folder);
        assert_eq!(report["inputs"][0]["name"], "image", "{source}");
        assert_eq!(report["inputs"][0]["shape"], "[batch,784]", "{source}");
        assert_eq!(report["proof"]["engine"], "rten", "{source}");
        assert_eq!(report["proof"]["legs"][0]["against"], "the reference evaluator");
        let data = digits();
        let arguments = ["evaluate", "model.onnx", "--data", &data, "--json"];
        let (code, stdout, stderr) = run(&arguments, &folder);
        assert_eq!(code, 0, "{stderr}");
        let measured: Value = serde_json::from_str(&stdout).unwrap();
        assert!(measured["accuracy"].as_f64().unwrap() > correct, "{source}: {measured}");
    }
}

#[test]
fn what_became_of_each_layer_is_explained() {
    let folder = Folder::new();
    let arguments = ["convert", &example("digits.keras"), "-o", "model.onnx", "--explain"];
    let (code, page, _) = run(&arguments, &folder);
    assert_eq!(code, 0);
    let line = page.lines().find(|line| line.starts_with("conv1 ")).unwrap();
    assert!(line.contains("Conv2D") && line.contains("Transpose Conv"), "{line}");
    assert!(page.contains("verified in rten against the reference evaluator"), "{page}");
}

#[test]
fn the_file_says_where_it_comes_from() {
    let folder = Folder::new();
    convert(&[&example("digits.tflite"), "-o", "model.onnx"], &folder);
    let (_, stdout, _) = run(&["inspect", "model.onnx", "--json"], &folder);
    let metadata = &serde_json::from_str::<Value>(&stdout).unwrap()["metadata"];
    assert_eq!(metadata["modelyard.source_file"], "digits.tflite");
    assert_eq!(metadata["modelyard.verified"], "reference evaluator");
    convert(&[&example("digits.tflite"), "-o", "model.onnx", "--no-verify"], &folder);
    let (_, stdout, _) = run(&["inspect", "model.onnx", "--json"], &folder);
    let metadata = &serde_json::from_str::<Value>(&stdout).unwrap()["metadata"];
    assert_eq!(metadata["modelyard.verified"], "no");
}

#[test]
fn the_output_is_named_after_the_source() {
    let folder = Folder::new();
    convert(&[&example("digits.tflite")], &folder);
    assert_eq!(files(&folder), ["digits.onnx"]);
    refused(&[&example("digits.tflite"), "-o", "no/such/folder/out.onnx"], &folder, 2, &[]);
}

#[test]
fn known_answers_that_differ_keep_the_result_from_being_written() {
    let folder = Folder::new()
        .file("in.json", json!({"image": [vec![0.5; 784]]}).to_string())
        .file("out.onnx", "what was there before");
    convert(&[&example("digits.tflite"), "-o", "model.onnx"], &folder);
    // The answers of one input, as `predict` writes them, are right for it and wrong for another.
    let npz = |value: f32| {
        let pixels: Vec<u8> = std::iter::repeat_n(value, 784).flat_map(f32::to_le_bytes).collect();
        npy("(1, 784)", &pixels)
    };
    let answer = {
        let (code, stdout, stderr) =
            run(&["predict", "model.onnx", "--input", "in.json", "--json"], &folder);
        assert_eq!(code, 0, "{stderr}");
        let answer: Value = serde_json::from_str(&stdout).unwrap();
        let numbers = answer["outputs"][0]["data"].as_array().unwrap().clone();
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| (number.as_f64().unwrap() as f32).to_le_bytes())
            .collect();
        npy("(1, 10)", &bytes)
    };
    let folder = folder
        .file("right.npz", archive("image", &npz(0.5)))
        .file("wrong.npz", archive("image", &npz(0.0)))
        .file("answers.npz", archive("output_0", &answer));
    let report = convert(
        &[&example("digits.tflite"), "-o", "a.onnx", "--reference", "right.npz", "answers.npz"],
        &folder,
    );
    assert_eq!(report["proof"]["legs"][1]["against"], "'answers.npz'");
    refused(
        &[&example("digits.tflite"), "--reference", "wrong.npz", "answers.npz"],
        &folder,
        3,
        &["the result disagrees with 'answers.npz' on output 'output_0', so it was not written"],
    );
    assert_eq!(std::fs::read(folder.path("out.onnx")).unwrap(), b"what was there before");
}

/// A `.npy` file of 32-bit floats.
fn npy(shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn archive(name: &str, array: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(array).unwrap();
    writer.finish().unwrap().into_inner()
}

#[test]
fn what_is_no_model_is_said_to_be_what_it_is() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let folder = Folder::new()
        .file("pointer.h5", pointer)
        .file("page.tflite", "<!DOCTYPE html><title>404</title>")
        .file("empty.pt2", "");
    refused(&["pointer.h5"], &folder, 3, &["'pointer.h5'", "Git LFS pointer", "git lfs pull"]);
    refused(&["page.tflite"], &folder, 3, &["an HTML page"]);
    refused(&["empty.pt2"], &folder, 3, &["an empty file"]);
    refused(&["missing.keras"], &folder, 3, &["failed to find 'missing.keras'"]);
}

#[test]
fn a_damaged_model_is_refused_by_name_and_leaves_nothing() {
    for name in ["digits.keras", "digits.tflite", "digits.pt2"] {
        let whole = std::fs::read(example(name)).unwrap();
        let folder = Folder::new().file(name, &whole[..whole.len() / 2]);
        refused(&[name], &folder, 3, &[&format!("failed to convert '{name}'")]);
    }
}

#[test]
fn operators_are_listed() {
    let folder = Folder::new();
    for (framework, operator) in [
        ("keras", "Conv2D"),
        ("tensorflow", "Conv2D"),
        ("tflite", "CONV_2D"),
        ("pytorch", "aten.conv2d"),
        ("mxnet", "Convolution"),
    ] {
        let (code, list, said) = run(&["convert", "--list-ops", framework], &folder);
        assert_eq!(code, 0, "{said}");
        assert!(list.lines().any(|line| line.starts_with(operator)), "{framework}: {list}");
    }
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let source = example("digits.tflite");
    refused(&[&source, "--shape", "image"], &folder, 2, &["--shape image", "expected INPUT=SHAPE"]);
    let words = "a shape was given for input 'x', but the model has 'image'";
    refused(&[&source, "--shape", "x=1,784"], &folder, 2, &[words]);
    refused(&[&source, "--shape", "image=1,28,28"], &folder, 2, &["'image'"]);
    refused(&[&source, "--opset", "99"], &folder, 3, &["ask for an opset from 7 to 28"]);
    refused(&[], &folder, 2, &["SOURCE"]);
    refused(&[&source, "--no-verify", "--against", "python"], &folder, 2, &["cannot be used with"]);
}
