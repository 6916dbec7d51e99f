//! What makes models bear integers: `quantize --equalize`, `--smooth`, `--correct-bias`, `--adaround`,
//! `--qat` and `--keep-sensitive`, on small networks that lose much without.

use modelyard_graph::file::{WriteOptions, write};
use modelyard_graph::{Constant, Model};
use serde_json::Value;

use crate::digits;
use crate::harness::Folder;
use crate::training::{few_digits, metadata, model, refused, report};

const ALL: [u8; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// A small network of convolutions that knows some digits, its channels scaled apart: the same answers,
/// but one scale for a whole weight is too coarse for most of them.
fn spoiled() -> Folder {
    let folder = few_digits(Folder::new(), 400, &ALL);
    let layers = "--layers=conv2d(8, 3, relu, stride=2), conv2d(8, 3, relu, stride=2), flatten, \
                  dense(10, softmax)";
    report(&["train", layers, "--data", "digits", "--epochs", "12", "-o", "whole.onnx"], &folder);
    let mut net = model("whole.onnx", &folder);
    let factor = |channel: usize| 10f32.powi(i32::try_from(channel % 4).unwrap());
    scale(&mut net, "conv2d1.weight", |index, dims| factor(index / (dims[1] * 9)));
    scale(&mut net, "conv2d1.bias", |index, _| factor(index));
    scale(&mut net, "conv2d2.weight", |index, dims| factor(index / 9 % dims[1]).recip());
    save(&net, "net.onnx", &folder);
    let [before, after] = ["whole.onnx", "net.onnx"].map(|path| accuracy(path, &folder));
    assert!((before - after).abs() < 0.03 && after > 0.7, "{before} {after}");
    folder
}

fn scale(model: &mut Model, name: &str, factor: impl Fn(usize, &[usize]) -> f32) {
    let found = model.graph.initializers.iter_mut().find(|constant| constant.name == name);
    let constant = found.unwrap_or_else(|| panic!("no weight {name}"));
    let tensor = constant.to_tensor().unwrap();
    let values = tensor.values::<f32>().unwrap();
    let dims = constant.dims.clone();
    let scaled: Vec<f32> =
        values.iter().enumerate().map(|(index, x)| x * factor(index, &dims)).collect();
    *constant = Constant::floats(name, &dims, &scaled);
}

fn save(model: &Model, path: &str, folder: &Folder) {
    let model = model.clone().check().unwrap();
    write(&model, &folder.path(path), &WriteOptions::default()).unwrap();
}

/// Accuracy on the test digits beside the model.
fn accuracy(path: &str, folder: &Folder) -> f64 {
    let told = report(&["evaluate", path, "--data", "digits", "--engine", "rten"], folder);
    told["accuracy"].as_f64().unwrap()
}

/// Quantizes `net.onnx`: what is told, what the metadata says, and the accuracy.
fn quantized(more: &[&str], folder: &Folder) -> (Value, String, f64) {
    let start = ["quantize", "net.onnx", "-o", "out.onnx", "--data", "digits"];
    let told = report(&[&start[..], &["--engine", "rten"], more].concat(), folder);
    let said = model("out.onnx", folder).metadata["modelyard.quantized"].clone();
    (told, said, accuracy("out.onnx", folder))
}

fn notes(told: &Value) -> String {
    told["notes"].to_string()
}

fn sqnr(told: &Value) -> f64 {
    told["agreement"]["sqnr_db"].as_f64().unwrap()
}

#[test]
fn channels_that_lie_apart_lose_little_when_repaired() {
    let folder = spoiled();
    let quantized = |more: &[&str]| quantized(&[&["--per-tensor"], more].concat(), &folder);
    let floats = accuracy("net.onnx", &folder);
    let (plain, said, lost) = quantized(&[]);
    assert!(lost < floats - 0.05, "nothing to repair: {lost} of {floats}");
    assert!(!said.contains("equalized") && plain["notes"].as_array().unwrap().is_empty());

    let (told, said, found) = quantized(&["--equalize"]);
    assert!(found > floats - 0.03, "{found} of {floats}: {told}");
    assert!(sqnr(&told) > sqnr(&plain) + 10.0, "{told}");
    assert!(said.ends_with(", equalized") && notes(&told).contains("equalized 2 pairs"), "{told}");

    let (told, said, found) = quantized(&["--qat", "--epochs", "8", "--learning-rate", "0.003"]);
    assert!(found > lost + 0.05, "{found}, {lost} untrained: {told}");
    assert!(said.ends_with(", trained"), "{said}");
    assert_eq!(metadata(&model("out.onnx", &folder), "training")["command"], "quantize");

    let (told, said, _) = quantized(&["--adaround", "200"]);
    let rounded = told["rounded"].as_array().unwrap();
    assert_eq!(rounded.len(), 3, "{told}");
    assert!(rounded.iter().all(|layer| layer["error"].as_f64().unwrap() < 1.0), "{told}");
    assert!(sqnr(&told) > sqnr(&plain), "{told} {plain}");
    assert!(said.ends_with(", rounding learned"), "{said}");

    let (told, said, _) = quantized(&["--correct-bias"]);
    assert!(notes(&told).contains("corrected biases of 3 layers"), "{told}");
    assert!(sqnr(&told) > sqnr(&plain), "{told} {plain}");
    assert!(said.ends_with(", biases corrected"), "{said}");

    let (told, _, found) = quantized(&["--keep-sensitive", "1"]);
    let ranked = told["sensitivities"].as_array().unwrap();
    assert_eq!((ranked.len(), told["layers"].as_array().unwrap().len()), (3, 2), "{told}");
    let losses: Vec<f64> = ranked.iter().map(|node| node["sqnr_db"].as_f64().unwrap()).collect();
    assert!(losses.is_sorted(), "{told}");
    assert_eq!(
        (&told["kept"][0]["node"], &told["kept"][0]["reason"]),
        (&ranked[0]["node"], &"excluded".into())
    );
    assert!(sqnr(&told) > sqnr(&plain) && found > lost - 0.02, "{told} {plain}");
}

#[test]
fn outliers_of_activations_move_into_weights() {
    let folder = few_digits(Folder::new(), 200, &ALL);
    let mut net = model(&digits::model(), &folder);
    // One neuron of 128 says all much louder, and is heard as much less.
    let factor = |neuron: usize| if neuron == 5 { 300.0 } else { 1.0 };
    scale(&mut net, "dense1.weight", |index, dims| factor(index % dims[1]));
    scale(&mut net, "dense1.bias", |index, _| factor(index));
    scale(&mut net, "dense2.weight", |index, dims| factor(index / dims[1]).recip());
    save(&net, "net.onnx", &folder);
    let (plain, _, _) = quantized(&[], &folder);
    let (told, said, found) = quantized(&["--smooth"], &folder);
    assert!(notes(&told).contains("smoothed "), "{told}");
    assert!(!told["smoothed"].as_array().unwrap().is_empty(), "{told}");
    assert!(sqnr(&told) > sqnr(&plain) + 6.0, "{told} {plain}");
    assert!(found >= accuracy("net.onnx", &folder) - 0.02, "{found}");
    assert!(said.ends_with(", smoothed"), "{said}");
}

#[test]
fn what_does_not_go_together_is_said() {
    let folder = Folder::new();
    let (net, data) = (digits::model(), digits::folder().display().to_string());
    let quantize = |more: &[&str], text: &str| {
        let start = ["quantize", &net, "-o", "out.onnx", "--data", &data];
        refused(&[&start[..], more].concat(), &folder, 2, &[text]);
        assert!(!folder.path("out.onnx").exists());
    };
    quantize(
        &["--mode", "dynamic", "--equalize"],
        "--equalize goes with --mode static, found dynamic",
    );
    quantize(&["--mode", "fp16", "--smooth"], "--smooth goes with --mode static");
    quantize(&["--mode", "int4", "--adaround"], "--adaround goes with --mode static");
    quantize(&["--mode", "int4", "--correct-bias"], "--correct-bias goes with --mode static");
    quantize(&["--mode", "dynamic", "--keep-sensitive", "1"], "--keep-sensitive goes with");
    quantize(&["--mode", "dynamic", "--qat"], "--qat goes with --mode static");
    quantize(&["--qat", "--adaround"], "cannot be used with");
    quantize(&["--qat", "--correct-bias"], "cannot be used with");
    quantize(&["--unclip"], "--equalize");
    quantize(&["--smooth", "2"], "expected auto or 0 to 1, found '2'");
    quantize(&["--adaround", "0"], "expected 1 to 100000 steps, found '0'");
    quantize(&["--epochs", "2"], "--qat");
    refused(&["quantize", &net, "-o", "out.onnx", "--qat"], &folder, 2, &["--data"]);
}
