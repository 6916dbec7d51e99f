//! `modelyard inspect`: what it says about good models, and about files that are none.

use modelyard_graph::{GraphBuilder, Node};
use modelyard_tensor::{DataType, Dim};
use serde_json::{Value, json};

use crate::digits;
use crate::harness::{Folder, run};

fn inspect(arguments: &[&str], folder: &Folder) -> Value {
    let mut all = vec!["inspect", "--json"];
    all.extend(arguments);
    let (code, stdout, stderr) = run(&all, folder);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn the_digits_model_is_described() {
    let folder = Folder::new();
    let report = inspect(&[&digits::model()], &folder);
    assert_eq!(report["inputs"][0]["name"], "image");
    assert_eq!(report["inputs"][0]["shape"], json!([-1, 784]));
    assert_eq!(report["outputs"][0]["shape_text"], "[batch,10]");
    assert_eq!(report["opsets"], json!({"": 17}));
    assert_eq!(report["operators"], json!({"Gemm": 2, "Relu": 1, "Softmax": 1}));
    // (784 + 1) * 128 + (128 + 1) * 10
    assert_eq!(report["cost"]["parameters"], 101_770);
    // Two for each weight, and some for biases, ReLU and softmax.
    let flops = report["cost"]["flops"].as_u64().unwrap();
    assert!((2 * (784 * 128 + 128 * 10)..205_000).contains(&flops), "{flops}");
    assert_eq!(report["cost"]["assumed_one"], json!(["batch"]));
    let batch = inspect(&[&digits::model(), "--dim", "batch=8"], &folder);
    assert_eq!(batch["cost"]["flops"].as_u64().unwrap(), 8 * flops);
    let shape = inspect(&[&digits::model(), "--shape", "image=8,784"], &folder);
    assert_eq!(shape["cost"]["flops"].as_u64().unwrap(), 8 * flops);
}

#[test]
fn sizes_that_the_model_does_not_leave_open_are_refused() {
    let folder = Folder::new();
    for (argument, expected) in [
        ("--dim=foo=3", "--dim foo: no input has such a dimension, expected batch"),
        ("--shape=image=2,785", "--shape image: expected [batch,784], found [2, 785]"),
        ("--shape=imag=2,784", "--shape imag: there is no such input, expected image"),
    ] {
        let (code, _, said) = run(&["inspect", &digits::model(), argument], &folder);
        assert_eq!(code, 2);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn people_get_a_page() {
    let (code, page, _) = run(&["inspect", &digits::model()], &Folder::new());
    assert_eq!(code, 0);
    for part in ["opset 17", "FP32    [batch,784]", "101,770", "rten         runs it", "labels"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn what_stops_an_engine_is_named() {
    let model = GraphBuilder::new("unusual")
        .input("x", DataType::Fp32, &[Dim::Fixed(2), Dim::Fixed(2)])
        .output("y", DataType::Fp32, &[])
        .node(Node::new("Det", &["x"], &["y"]))
        .model();
    let folder = Folder::new().model("det.onnx", &model);
    let report = inspect(&["det.onnx"], &folder);
    let engines = report["engines"].as_array().unwrap();
    let of = |name: &str| engines.iter().find(|engine| engine["engine"] == name).unwrap();
    assert_eq!(of("rten")["runs"], false);
    assert_eq!(of("rten")["refusals"][0]["operator"], "Det");
    let hint = of("onnxruntime")["unusable"].as_str().unwrap();
    assert!(hint.contains("modelyard engine install onnxruntime"), "{hint}");
    assert!(!hint.contains("not usable"), "said twice: {hint}");
    let page = run(&["inspect", "det.onnx"], &folder).1;
    assert!(page.contains("Det at node '"), "{page}");
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = Folder::new().file("no.onnx", "not a model");
    let (code, _, stderr) = run(&["inspect", "no.onnx"], &folder);
    assert_eq!(code, 3);
    assert!(stderr.contains("'no.onnx' is not usable"), "{stderr}");
    let (code, _, stderr) = run(&["inspect", "missing.onnx"], &folder);
    assert_eq!(code, 3);
    assert_eq!(stderr, "error: missing.onnx: there is no such model file\n");
}
