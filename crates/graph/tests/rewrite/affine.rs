//! BatchNormalization and its like in weights.

use modelyard_graph::rewrite::{Options, clean};
use modelyard_graph::{Model, Node};

use crate::support::{Writer, count, same_answers};

#[track_caller]
fn folds(model: &Model, left: &[&str]) {
    let plain = clean(model.clone(), &Options::default()).check().unwrap();
    same_answers(model, &plain);
    let folded =
        clean(model.clone(), &Options { fold_batch_norm: true, fuse: None }).check().unwrap();
    same_answers(model, &folded);
    let operators: Vec<&str> = folded.graph.nodes.iter().map(|node| &*node.op_type).collect();
    assert_eq!(operators, left);
}

fn batch_norm(w: &mut Writer, x: &str, channels: usize) -> String {
    let [scale, bias, mean] = [(); 3].map(|()| w.floats(&[channels]));
    let variance: Vec<f32> = (0..channels).map(|index| 0.5 + index as f32).collect();
    let variance = w.these_floats(&[channels], &variance);
    w.add("BatchNormalization", &[x, &scale, &bias, &mean, &variance])
}

#[test]
fn convolutions_take_what_scales_their_channels() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 5, 5]);
    let (weight, bias) = (w.floats(&[6, 2, 3, 3]), w.floats(&[6]));
    let x = w.node(Node::new("Conv", &[&x, &weight, &bias], &[]).with("group", 2));
    let x = batch_norm(&mut w, &x, 6);
    let (factor, offset) = (w.floats(&[6, 1, 1]), w.floats(&[1, 6, 1, 1]));
    let x = w.add("Mul", &[&factor, &x]);
    let x = w.add("Sub", &[&offset, &x]);
    w.output(&x, 4);
    folds(&w.model(), &["Conv"]);
}

#[test]
fn transposed_convolutions_count_channels_by_group() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 3, 3]);
    let weight = w.floats(&[4, 3, 2, 2]);
    let x = w.node(Node::new("ConvTranspose", &[&x, &weight], &[]).with("group", 2));
    let x = batch_norm(&mut w, &x, 6);
    w.output(&x, 4);
    folds(&w.model(), &["ConvTranspose"]);
}

#[test]
fn products_with_biases_become_one() {
    let mut w = Writer::new();
    let x = w.input("x", &[4]);
    let x = w.dense(&x, [4, 5]);
    let x = batch_norm(&mut w, &x, 5);
    let x = w.add("Relu", &[&x]);
    let weight = w.floats(&[5, 3]);
    let x = w.add("MatMul", &[&x, &weight]);
    let x = batch_norm(&mut w, &x, 3);
    w.output(&x, 2);
    let model = w.model();
    folds(&model, &["Gemm", "Relu", "Gemm"]);
    let plain = clean(model, &Options::default());
    assert_eq!((count(&plain, "Gemm"), count(&plain, "BatchNormalization")), (1, 2));
}

#[test]
fn convolutions_take_their_biases() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 5, 5]);
    let (weight, bias) = (w.floats(&[6, 4, 3, 3]), w.floats(&[6, 1, 1]));
    let x = w.add("Conv", &[&x, &weight]);
    let x = w.add("Add", &[&bias, &x]);
    let (weight, bias) = (w.floats(&[6, 3, 2, 2]), w.floats(&[4]));
    let x = w.add("ConvTranspose", &[&x, &weight]);
    let x = w.add("Add", &[&x, &bias]);
    w.output(&x, 4);
    let clean = clean(w.model(), &Options::default());
    let operators: Vec<&str> = clean.graph.nodes.iter().map(|node| &*node.op_type).collect();
    // The last is a number for each column.
    assert_eq!(operators, ["Conv", "ConvTranspose", "Add"]);
}

#[test]
fn what_is_used_elsewhere_stays() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 5, 5]);
    let weight = w.floats(&[6, 4, 3, 3]);
    let x = w.add("Conv", &[&x, &weight]);
    let y = batch_norm(&mut w, &x, 6);
    let row = w.floats(&[1, 1, 3]);
    let z = w.add("Add", &[&x, &row]);
    w.output(&y, 4);
    w.output(&z, 4);
    folds(&w.model(), &["Conv", "BatchNormalization", "Add"]);
}
