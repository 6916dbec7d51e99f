//! `modelyard quantize`: the digits with integers, and what goes wrong.

use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::{Constant, GraphBuilder, Node};
use modelyard_tensor::{DataType, Dim};

use crate::digits;
use crate::harness::Folder;
use crate::training::{model, refused, report};

#[test]
fn digits_with_integers_answer_alike_in_a_quarter_of_the_bytes() {
    let folder = Folder::new();
    let (model_path, data) = (digits::model(), digits::folder().display().to_string());
    for (mode, most) in [("static", 0.27), ("dynamic", 0.27), ("int4", 0.18), ("fp16", 0.51)] {
        let output = format!("{mode}.onnx");
        let mut arguments =
            vec!["quantize", &model_path, "-o", &output, "--mode", mode, "--engine", "rten"];
        // The built-in engine has no products of 4-bit weights: such a model is written unseen.
        if mode != "int4" {
            arguments.extend(["--data", &data]);
        }
        let told = report(&arguments, &folder);
        let bytes = |key: &str| told[key].as_f64().unwrap();
        let ratio = bytes("bytes_after") / bytes("bytes_before");
        assert!(ratio <= most, "{mode}: {ratio}");
        let written = model(&output, &folder);
        assert!(written.metadata["modelyard.quantized"].starts_with(mode), "{mode}");
        if mode != "int4" {
            assert!(told["agreement"]["top_1"].as_f64().unwrap() >= 0.99, "{told}");
            let arguments = ["evaluate", &output, "--data", &data, "--engine", "rten"];
            let evaluated = report(&arguments, &folder);
            assert!(evaluated["accuracy"].as_f64().unwrap() > 0.96, "{mode}: {evaluated}");
        }
    }
}

#[test]
fn layers_that_are_left_alone_are_told() {
    let folder = Folder::new();
    let data = digits::folder().display().to_string();
    let arguments = ["quantize", &digits::model(), "-o", "q.onnx", "--data", &data];
    let told = report(&[&arguments[..], &["--exclude", "dense2*"]].concat(), &folder);
    assert_eq!(told["layers"].as_array().unwrap().len(), 1);
    assert_eq!(told["kept"][0]["node"], "dense2.sum");
    assert_eq!(told["kept"][0]["reason"], "excluded");
}

#[test]
fn what_cannot_be_quantized_says_why_and_leaves_no_file() {
    let folder = Folder::new();
    let data = digits::folder().display().to_string();
    let digits = digits::model();
    let start = ["quantize", &digits, "-o", "q.onnx"];
    let with = |more: &[&'static str]| [&start[..], more].concat();
    refused(&with(&["--mode", "static"]), &folder, 2, &["give --data"]);
    refused(&with(&["--operators", "Conv3"]), &folder, 2, &["'Conv3'", "expected some of"]);
    std::fs::write(folder.path("narrow.csv"), "a,b,label\n1,2,x\n3,4,y\n").unwrap();
    refused(&with(&["--data", "narrow.csv"]), &folder, 2, &["takes shape", "784"]);
    std::fs::write(folder.path("empty.csv"), "a,b,label\n").unwrap();
    refused(&with(&["--data", "empty.csv"]), &folder, 2, &["empty.csv", "no usable examples"]);
    assert!(!folder.path("q.onnx").exists());

    let quantized = ["quantize", &digits, "-o", "int8.onnx", "--data", &data];
    report(&quantized, &folder);
    let again = ["quantize", "int8.onnx", "-o", "q.onnx", "--data", &data];
    refused(&again, &folder, 3, &["quantized already"]);
}

#[test]
fn weights_and_activations_that_are_no_numbers_are_named() {
    let folder = Folder::new();
    let build = |name: &str, weight: f32, scale: f32| {
        let dims = [Dim::Symbol("batch".into()), Dim::Fixed(2)];
        let built = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .initializer(Constant::floats("w", &[2, 2], &[1.0, weight, 0.5, -1.0]))
            .initializer(Constant::floats("s", &[], &[scale]))
            .node(Node::new("Mul", &["x", "s"], &["m"]))
            .node(Node::new("MatMul", &["m", "w"], &["y"]))
            .output("y", DataType::Fp32, &dims)
            .model()
            .check()
            .unwrap();
        write(&built, &folder.path(name), &WriteOptions::default()).unwrap();
    };
    build("weights.onnx", f32::NAN, 1.0);
    build("activations.onnx", 1.0, f32::INFINITY);
    std::fs::write(folder.path("x.csv"), "a,b,label\n1,2,0\n3,4,1\n").unwrap();
    let quantize = |path| ["quantize", path, "-o", "q.onnx", "--data", "x.csv", "--engine", "rten"];
    refused(&quantize("weights.onnx"), &folder, 3, &["NaN or infinity: w"]);
    refused(&quantize("activations.onnx"), &folder, 3, &["'m' (4 of 4 numbers)"]);
    assert!(!folder.path("q.onnx").exists());
}
