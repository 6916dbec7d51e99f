//! Quantized models against the models of floats they were made of, both evaluated by the interpreter
//! that training uses.

use std::collections::BTreeMap;

use modelyard_graph::{Constant, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim, Shape};
use modelyard_train::{Array, Buffers, Mode, Program, Run, Workers};

use super::*;
use crate::calibrate::{Calibration, Method, Range};
use crate::floats::{floats, sqnr};
use crate::{Grid, OptimizeError};

/// Numbers from -1 to 1 that are the same in every run.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The values `names` of a model for these inputs.
pub(crate) fn evaluate(model: &Model, inputs: &[(&str, Array)], names: &[&str]) -> Vec<Vec<f32>> {
    let program = Program::compile(model).unwrap();
    let plan = program.plan(names, &[]).unwrap();
    let mut run = Run {
        buffers: &mut Buffers::default(),
        workers: &Workers::new(1).unwrap(),
        mode: Mode::Evaluate,
        memory_limit_bytes: 1 << 30,
    };
    let weights = program.weights().clone();
    let pass = program.forward(&plan, &weights, inputs.to_vec(), &mut run).unwrap();
    names.iter().map(|name| pass.value(name).as_floats().unwrap().to_vec()).collect()
}

fn weight(name: &str, dims: &[usize], seed: u64) -> Constant {
    let count = dims.iter().product();
    let fan = dims[1..].iter().product::<usize>() as f32;
    let values: Vec<f32> = numbers(count, seed).iter().map(|x| x / fan.sqrt() * 1.7).collect();
    Constant::floats(name, dims, &values)
}

/// Two convolutions with a branch around the second, and a dense layer.
fn residual() -> Model {
    let free = |dims: &[usize]| {
        let fixed = dims.iter().map(|&size| Dim::Fixed(size));
        std::iter::once(Dim::Symbol("n".into())).chain(fixed).collect::<Vec<_>>()
    };
    GraphBuilder::new("g")
        .input("x", DataType::Fp32, &free(&[3, 8, 8]))
        .initializer(weight("w1", &[8, 3, 3, 3], 1))
        .initializer(weight("b1", &[8], 2))
        .initializer(weight("w2", &[8, 8, 1, 1], 3))
        .initializer(weight("w3", &[8, 5], 4))
        .initializer(weight("b3", &[5], 5))
        .node(Node::new("Conv", &["x", "w1", "b1"], &["c1"]).with("pads", [1i64, 1, 1, 1]))
        .node(Node::new("Relu", &["c1"], &["r1"]))
        .node(
            Node::new("MaxPool", &["r1"], &["p1"])
                .with("kernel_shape", [2i64, 2])
                .with("strides", [2i64, 2]),
        )
        .node(Node::new("Conv", &["p1", "w2"], &["c2"]))
        .node(Node::new("Add", &["c2", "p1"], &["a"]))
        .node(Node::new("Relu", &["a"], &["r2"]))
        .node(Node::new("GlobalAveragePool", &["r2"], &["g1"]))
        .node(Node::new("Flatten", &["g1"], &["f"]))
        .node(Node::new("Gemm", &["f", "w3", "b3"], &["l"]))
        .node(Node::new("Softmax", &["l"], &["y"]))
        .output("y", DataType::Fp32, &free(&[5]))
        .model()
        .check()
        .unwrap()
}

fn image(seed: u64) -> Array {
    Array::floats(Shape::new(&[4, 3, 8, 8]), numbers(4 * 3 * 64, seed))
}

fn ranges(model: &Model, plan: &Plan, options: &Options) -> BTreeMap<String, Range> {
    let mut calibration = Calibration::new(Method::MinMax);
    let names = plan.observed();
    for seed in 0..4 {
        let values = evaluate(model, &[("x", image(seed))], &names);
        let batch: Vec<(&str, &[f32])> =
            names.iter().copied().zip(values.iter().map(Vec::as_slice)).collect();
        calibration.observe(&batch);
    }
    calibration.ranges(options.activations).unwrap()
}

fn quantized(model: &Model, options: &Options) -> Quantized {
    let plan = Plan::new(model, options).unwrap();
    let ranges = ranges(model, &plan, options);
    insert(model, &plan, &ranges, options).unwrap()
}

#[test]
fn answers_stay_close_whatever_the_integers_are() {
    let model = residual();
    for activations in [Grid::U8, Grid { signed: true, ..Grid::U8 }, Grid::S8] {
        for per_channel in [true, false] {
            let options = Options { activations, per_channel, ..Options::default() };
            let quantized = quantized(&model, &options);
            let before = evaluate(&model, &[("x", image(9))], &["l"]);
            let after = evaluate(&quantized.model, &[("x", image(9))], &["l"]);
            let close = sqnr(&before[0], &after[0]);
            assert!(close > 25.0, "{options:?}: {close} dB");
            assert_eq!(quantized.layers.len(), 3);
            assert!(quantized.layers.iter().all(|layer| layer.sqnr_db > 30.0));
        }
    }
}

#[test]
fn integers_flow_from_the_first_convolution_to_the_last_product() {
    let model = residual();
    let plan = Plan::new(&model, &Options::default()).unwrap();
    let tensors: Vec<(&str, &str)> =
        plan.tensors.iter().map(|(tensor, source)| (&**tensor, &**source)).collect();
    // A pool has the scale of its input, a ReLU needs none of its own.
    let expected = [
        ("c2", "c2"),
        ("f", "g1"),
        ("g1", "g1"),
        ("p1", "r1"),
        ("r1", "r1"),
        ("r2", "r2"),
        ("x", "x"),
    ];
    assert_eq!(tensors, expected);
    assert_eq!(plan.kept, []);
}

#[test]
fn what_is_excluded_stays_and_is_told() {
    let model = residual();
    let options = Options { exclude: vec!["Conv_c2".into()], ..Options::default() };
    let quantized = quantized(&model, &options);
    let conv = quantized.model.graph.nodes.iter().find(|node| node.name == "Conv_c2").unwrap();
    assert_eq!(conv.input(1), Some("w2"));
    let kept: Vec<&str> = quantized.kept.iter().map(|kept| kept.node.as_str()).collect();
    assert_eq!(kept, ["Conv_c2"]);
}

#[test]
fn a_quantized_model_is_recognized() {
    let model = residual();
    let quantized = quantized(&model, &Options::default()).model;
    let error = Plan::new(&quantized, &Options::default()).unwrap_err();
    assert!(matches!(&error, OptimizeError::Invalid(text) if text.contains("already")), "{error}");
}

#[test]
fn large_biases_beside_small_weights_fit() {
    let mut model = residual();
    let graph = &mut model.graph;
    for constant in &mut graph.initializers {
        match constant.name.as_str() {
            "w1" => *constant = Constant::floats("w1", &[8, 3, 3, 3], &[1e-9; 216]),
            "b1" => *constant = Constant::floats("b1", &[8], &[100.0; 8]),
            _ => {}
        }
    }
    let model = model.check().unwrap();
    let quantized = quantized(&model, &Options::default()).model;
    let before = evaluate(&model, &[("x", image(9))], &["r1"]);
    let after = evaluate(&quantized, &[("x", image(9))], &["r1_dequantized"]);
    assert!(sqnr(&before[0], &after[0]) > 40.0);
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let mut model = residual();
    let mut values = numbers(64, 3);
    values[7] = f32::NAN;
    let w2 = model.graph.initializers.iter_mut().find(|constant| constant.name == "w2").unwrap();
    *w2 = Constant::floats("w2", &[8, 8, 1, 1], &values);
    let plan = Plan::new(&model, &Options::default()).unwrap();
    let range = Range { low: -1.0, high: 1.0 };
    let ranges = plan.observed().iter().map(|name| (name.to_string(), range)).collect();
    let error = insert(&model, &plan, &ranges, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("w2") && !error.contains("w1"), "{error}");
}

#[test]
fn rows_of_a_table_become_floats_after_they_are_picked() {
    let model = GraphBuilder::new("g")
        .input("ids", DataType::Int64, &[Dim::Free, Dim::Free])
        .initializer(weight("table", &[64, 32], 1))
        .initializer(weight("w", &[32, 4], 2))
        .node(Node::new("Gather", &["table", "ids"], &["e"]))
        .node(Node::new("MatMul", &["e", "w"], &["y"]))
        .output("y", DataType::Fp32, &[Dim::Free, Dim::Free, Dim::Fixed(4)])
        .model()
        .check()
        .unwrap();
    let options = Options::default();
    let plan = Plan::new(&model, &options).unwrap();
    assert_eq!(plan.observed(), ["e"]);
    let ids = Array::ints(Shape::new(&[1, 3]), vec![0, 63, 5]);
    let seen = evaluate(&model, &[("ids", ids.clone())], &["e", "y"]);
    let mut calibration = Calibration::new(Method::MinMax);
    calibration.observe(&[("e", &seen[0])]);
    let ranges = calibration.ranges(options.activations).unwrap();
    let quantized = insert(&model, &plan, &ranges, &options).unwrap().model;
    let table = quantized.graph.initializer("table_table").unwrap();
    assert_eq!(table.byte_len(), Some(64 * 32));
    let after = evaluate(&quantized, &[("ids", ids)], &["y"]);
    assert!(sqnr(&seen[1], &after[0]) > 25.0);
}

#[test]
fn trained_weights_become_the_integers_that_they_were_rounded_to() {
    let (model, options) = (residual(), Options::default());
    let plan = Plan::new(&model, &options).unwrap();
    let ranges = ranges(&model, &plan, &options);
    let mut given = grids(&model, &plan, &ranges, &options).unwrap();
    assert_eq!(given.keys().collect::<Vec<_>>(), ["w1", "w2", "w3"]);
    let rounded = insert_with(&model, &plan, (&ranges, Weights::Trained), &options).unwrap().model;
    // Training moves weights; their scales stay.
    let trained = |model: &Model| {
        let mut model = model.clone();
        for constant in &mut model.graph.initializers {
            if given.contains_key(&constant.name) {
                let values = floats(constant).unwrap();
                let moved = values.iter().enumerate().map(|(i, x)| 0.8 * x + 0.05 * (i % 3) as f32);
                *constant =
                    Constant::floats(&constant.name, &constant.dims, &moved.collect::<Vec<_>>());
            }
        }
        model.check().unwrap()
    };
    let (rounded_after, floats_after) = (trained(&rounded), trained(&model));
    for (name, given) in &mut given {
        given.numbers = floats(floats_after.graph.initializer(name).unwrap()).unwrap();
    }
    let weights = (&ranges, Weights::Given(&given));
    let folded = insert_with(&floats_after, &plan, weights, &options).unwrap().model;
    let answers = |model: &Model| evaluate(model, &[("x", image(9))], &["l"]).remove(0);
    let wanted = answers(&rounded_after);
    let close = sqnr(&wanted, &answers(&folded));
    assert!(close > 40.0, "{close} dB");
    let untrained = sqnr(&wanted, &answers(&rounded));
    assert!(untrained < 25.0, "training changed nothing: {untrained} dB");
}
