//! Models that layers make: valid, runnable, and of the shape they say.

use modelyard_graph::Model;
use modelyard_tensor::DataType;

use super::{Input, build, parse};
use crate::array::Array;
use crate::buffers::Buffers;
use crate::program::{Mode, Program};
use crate::testing::run;
use crate::workers::Workers;

fn input(shape: &[usize]) -> Input {
    Input { name: "x".into(), shape: shape.to_vec(), data_type: DataType::Fp32 }
}

fn model(layers: &str, input: &Input) -> Result<Model, String> {
    let layers = parse(layers).map_err(|error| error.to_string())?;
    build(&layers, input, 1).map_err(|error| error.to_string())
}

/// Runs a model on zeros in training mode; gives the shape of its output for a batch of 2.
fn output_shape(layers: &str, input: &Input) -> Vec<usize> {
    let model = model(layers, input).unwrap_or_else(|error| panic!("{layers}: {error}"));
    let program = Program::compile(&model).unwrap();
    let output = model.graph.outputs[0].name.clone();
    let trained = crate::trainer::trainable(&model);
    let trained: Vec<&str> = trained.iter().map(String::as_str).collect();
    let plan = program.plan(&[&output], &trained).unwrap();
    let mut shape = vec![2];
    shape.extend(&input.shape);
    let shape = modelyard_tensor::Shape::new(&shape);
    let len = shape.elements().unwrap();
    let array = match input.data_type {
        DataType::Int64 => Array::ints(shape, vec![1; len]),
        _ => Array::floats(shape, vec![0.5; len]),
    };
    let (mut buffers, workers) = (Buffers::default(), Workers::new(1).unwrap());
    let mut run = run(&mut buffers, &workers, Mode::Train { seed: 1 });
    let mut pass = program.forward(&plan, program.weights(), vec![("x", array)], &mut run).unwrap();
    let found = pass.value(&output).shape().to_vec();
    let seed =
        Array::floats(pass.value(&output).shape().clone(), vec![1.0; pass.value(&output).len()]);
    let gradients = pass.backward(vec![(&output, seed)], &mut run).unwrap();
    assert!(gradients.iter().all(Option::is_some), "{layers}: a weight has no gradient");
    let stated = model.signature().unwrap().outputs[0].dims.clone().unwrap();
    assert!(stated.iter().zip(&found).all(|(dim, &size)| dim.accepts(size)), "{layers}");
    found
}

#[test]
fn every_layer_makes_a_model_that_runs_and_learns() {
    let image = input(&[3, 8, 8]);
    for (layers, expected) in [
        ("dense(5, relu), dense(4, softmax)", vec![2, 4]),
        ("dense(5, gelu, bias=false, init=glorot), silu, dense(1, sigmoid)", vec![2, 1]),
        ("conv2d(4, 3, relu), maxpool2d(2), dense(2)", vec![2, 2]),
        ("conv2d(4, 3, stride=2, padding=same), batchnorm, relu", vec![2, 4, 4, 4]),
        ("conv2d(6, 3, groups=3, dilation=2), avgpool2d(2, padding=same)", vec![2, 6, 2, 2]),
        ("conv2d(4, 1), globalavgpool, dropout(0.3), dense(2)", vec![2, 2]),
        ("globalmaxpool, layernorm, dense(2, tanh)", vec![2, 2]),
        ("residual(conv2d(3, 3, padding=same), batchnorm, activation=relu)", vec![2, 3, 8, 8]),
        ("residual(conv2d(5, 3, stride=2, padding=same), batchnorm)", vec![2, 5, 4, 4]),
        ("flatten, residual(dense(7, relu)), dense(2, leaky_relu)", vec![2, 2]),
        ("hardswish, elu, softplus, flatten, dense(2)", vec![2, 2]),
    ] {
        assert_eq!(output_shape(layers, &image), expected, "{layers}");
    }
    let sequence = input(&[5, 3]);
    for (layers, expected) in [
        ("lstm(4), dense(2)", vec![2, 2]),
        ("lstm(4, sequences=true, bidirectional=true)", vec![2, 5, 8]),
        ("gru(4, sequences=true), gru(3, bidirectional=true)", vec![2, 6]),
        ("conv1d(4, 2), maxpool1d(2), flatten, dense(2)", vec![2, 2]),
    ] {
        assert_eq!(output_shape(layers, &sequence), expected, "{layers}");
    }
    let tokens = Input { data_type: DataType::Int64, ..input(&[6]) };
    assert_eq!(output_shape("embedding(10, 4), lstm(3), dense(2)", &tokens), [2, 2]);
    assert_eq!(output_shape("conv2d(2, 3), flatten, dense(1)", &input(&[6, 6])), [2, 1]);
}

#[test]
fn mistakes_are_explained() {
    let check = |layers: &str, input: &Input, expected: &str| {
        let error = model(layers, input).unwrap_err();
        assert!(error.contains(expected), "{layers}: {error}");
    };
    let image = input(&[3, 8, 8]);
    check("dense", &image, "units is missing; it is written dense(units, activation=none");
    check("dense(1.5)", &image, "expected a whole number of at least 1 for units, found 1.5");
    check("dense(2, rilu)", &image, "expected one of none, relu");
    check("dense(2, relu, true, auto, 7)", &image, "found 7 more than it takes");
    check("dense(2, unit=3)", &image, "it has no argument unit");
    check("dance(2)", &image, "there is no layer 'dance'; expected one of dense, conv1d");
    check("conv2d(4, 9)", &image, "expected an input of at least 9 along every axis of space");
    check("conv2d(4, 3, groups=2)", &image, "expected 2 groups to divide 3 channels");
    check("conv1d(4, 3)", &image, "expected an input of channels and length, found shape [3,8,8]");
    check("lstm(4)", &image, "expected an input of steps and features");
    check("embedding(10, 4)", &image, "expected an input of whole numbers (INT64)");
    check("dropout(1)", &image, "expected a number from 0 to below 1 for ratio, found 1");
    check("residual(conv2d(3, 3))", &image, "which cannot be added");
    check("residual(2)", &image, "expected layers");
    check("dense(100000), dense(100000)", &image, "more than 536870912 parameters");
    let tokens = Input { data_type: DataType::Int64, ..input(&[6]) };
    check("dense(2)", &tokens, "put an embedding before it");
}
