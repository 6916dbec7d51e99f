//! `modelyard quantize`: the digits with integers, and what goes wrong.

use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::{Constant, GraphBuilder, Node};
use modelyard_tensor::{DataType, Dim};

use crate::digits;
use crate::harness::{Folder, run};
use crate::training::{few_digits, model, refused, report};

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

#[test]
fn labels_that_the_model_does_not_know_are_named_and_nothing_is_written() {
    let folder = few_digits(Folder::new(), 100, &[0, 1, 2]);
    let train = ["train", "--layers", "dense(3, softmax)", "--data", "digits", "--epochs", "1"];
    report(&[&train[..], &["-o", "three.onnx"]].concat(), &folder);
    let data = digits::folder().display().to_string();
    let with = ["three.onnx", "-o", "out.onnx", "--data", &data];
    let told = ["the model knows no class '3', '4'", "it has '0', '1', '2'"];
    refused(&[&["quantize"], &with[..]].concat(), &folder, 2, &told);
    refused(&[&["optimize"], &with[..]].concat(), &folder, 2, &told);
    let prune = ["--channels", "0.5", "--recover", "none"];
    let merge = ["merge", "three.onnx", "three.onnx", "-o", "out.onnx", "--fit", "--data", &data];
    refused(&merge, &folder, 2, &told);
    // Nothing can go of a single layer: that is said first, and is a matter of the model.
    refused(&[&["prune"], &with[..], &prune].concat(), &folder, 3, &["no channel can be removed"]);
    assert!(!folder.path("out.onnx").exists());
}

#[test]
fn branches_stay_as_they_are_and_the_rest_is_quantized() {
    let folder = Folder::new();
    let batch = |last| [Dim::Symbol("batch".into()), Dim::Fixed(last)];
    let mut random = fastrand::Rng::with_seed(5);
    let mut weights = |name: &str, dims: [usize; 2]| {
        let values: Vec<f32> = (0..dims[0] * dims[1]).map(|_| random.f32() - 0.5).collect();
        Constant::floats(name, &dims, &values)
    };
    let branch = |name: &str, weight| {
        GraphBuilder::new(name)
            .initializer(weight)
            .node(Node::new("MatMul", &["h", "v"], &["taken"]))
            .output("taken", DataType::Fp32, &batch(2))
            .build()
    };
    let choice = Node::new("If", &["positive"], &["y"])
        .with("then_branch", branch("then", weights("v", [64, 2])))
        .with("else_branch", branch("else", weights("v", [64, 2])));
    let model_of = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &batch(64))
        .initializer(weights("w", [64, 64]))
        .initializer(Constant::floats("zero", &[], &[0.0]))
        .node(Node::new("MatMul", &["x", "w"], &["h"]))
        .node(Node::new("ReduceSum", &["x"], &["sum"]).with("keepdims", 0))
        .node(Node::new("Greater", &["sum", "zero"], &["positive"]))
        .node(choice)
        .output("y", DataType::Fp32, &batch(2))
        .model()
        .check()
        .unwrap();
    write(&model_of, &folder.path("if.onnx"), &WriteOptions::default()).unwrap();
    let row = |sign: f32| {
        let cells: Vec<String> =
            (0..64).map(|cell| (sign * (cell % 7) as f32 / 7.0).to_string()).collect();
        cells.join(",")
    };
    let names: Vec<String> = (0..64).map(|cell| format!("x{cell}")).collect();
    let text = format!("{}\n{}\n{}\n", names.join(","), row(1.0), row(-1.0));
    std::fs::write(folder.path("x.csv"), text).unwrap();
    for mode in ["static", "dynamic"] {
        let data = ["--data", "x.csv", "--task", "unlabelled", "--batch", "1"];
        let command = ["quantize", "if.onnx", "-o", "q.onnx", "--engine", "rten", "--mode", mode];
        let told = report(&[&command[..], &data].concat(), &folder);
        assert_eq!(told["layers"].as_array().unwrap().len(), 1, "{told}");
        let kept = told["kept"].as_array().unwrap();
        let inside = "it is inside of control flow or a function";
        assert_eq!(kept.iter().filter(|kept| kept["reason"] == inside).count(), 2, "{told}");
        assert!(told["agreement"]["cosine"].as_f64().unwrap() > 0.999, "{told}");
    }
    let (code, _, stderr) =
        run(&["optimize", "if.onnx", "-o", "passes.onnx", "--passes-only"], &folder);
    assert_eq!(code, 0, "{stderr}");
    assert!(folder.path("passes.onnx").exists());
}
