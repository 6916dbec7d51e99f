//! Methods against what they promise, with models evaluated by the interpreter that training uses.

use std::collections::BTreeMap;

use modelyard_graph::{Constant, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim, Shape};
use modelyard_train::Array;
use proptest::prelude::*;

use super::*;
use crate::calibrate::{Along, Calibration, Method, PerChannel, Range};
use crate::floats::{floats, sqnr};
use crate::quantize::tests::{evaluate, numbers};
use crate::quantize::{Options, Plan, Quantized, insert};

fn weight(name: &str, dims: &[usize], seed: u64) -> Constant {
    let fan = dims[1..].iter().product::<usize>() as f32;
    let values = numbers(dims.iter().product(), seed);
    Constant::floats(name, dims, &values.iter().map(|x| 1.7 * x / fan.sqrt()).collect::<Vec<_>>())
}

const CHANNELS: usize = 12;

/// A convolution, a depthwise one, a pointwise one, and a dense layer on what is left.
fn depthwise(activation: &str) -> Model {
    let free = |dims: &[usize]| {
        let fixed = dims.iter().map(|&size| Dim::Fixed(size));
        std::iter::once(Dim::Symbol("n".into())).chain(fixed).collect::<Vec<_>>()
    };
    let act = |input: &str, output: &str| match activation {
        "Clip" => Node::new("Clip", &[input, "zero", "six"], &[output]),
        _ => Node::new(activation, &[input], &[output]),
    };
    GraphBuilder::new("g")
        .input("x", DataType::Fp32, &free(&[3, 8, 8]))
        .initializer(weight("w1", &[CHANNELS, 3, 3, 3], 1))
        .initializer(weight("b1", &[CHANNELS], 2))
        .initializer(weight("w2", &[CHANNELS, 1, 3, 3], 3))
        .initializer(weight("b2", &[CHANNELS], 4))
        .initializer(weight("w3", &[8, CHANNELS, 1, 1], 5))
        .initializer(weight("w4", &[8 * 4, 5], 7))
        .initializer(weight("b4", &[5], 8))
        .floats("zero", &[], &[0.0])
        .floats("six", &[], &[6.0])
        .node(Node::new("Conv", &["x", "w1", "b1"], &["c1"]).with("pads", [1i64, 1, 1, 1]))
        .node(act("c1", "r1"))
        .node(
            Node::new("Conv", &["r1", "w2", "b2"], &["c2"])
                .with("pads", [1i64, 1, 1, 1])
                .with("strides", [2i64, 2])
                .with("group", CHANNELS as i64),
        )
        .node(act("c2", "r2"))
        .node(Node::new("Conv", &["r2", "w3"], &["c3"]))
        .node(
            Node::new("MaxPool", &["c3"], &["p3"])
                .with("kernel_shape", [2i64, 2])
                .with("strides", [2i64, 2]),
        )
        .node(Node::new("Flatten", &["p3"], &["f"]))
        .node(Node::new("Gemm", &["f", "w4", "b4"], &["y"]))
        .output("y", DataType::Fp32, &free(&[5]))
        .model()
        .check()
        .unwrap()
}

/// The same function with ranges that are far apart, as folded batch normalization leaves them:
/// channel `i` between the first two layers times `factors[i]`.
fn spoiled(model: &Model, factors: &[f32]) -> Model {
    let mut model = model.clone();
    for constant in &mut model.graph.initializers {
        let values = floats(constant).unwrap();
        let inner = values.len() / factors.len();
        let by = |change: &dyn Fn(f32, f32) -> f32| -> Vec<f32> {
            let all = values.iter().enumerate();
            all.map(|(index, &x)| change(x, factors[index / inner])).collect()
        };
        let changed = match constant.name.as_str() {
            "w1" | "b1" => by(&|x, factor| x * factor),
            "w2" => by(&|x, factor| x / factor),
            _ => continue,
        };
        *constant = Constant::floats(&constant.name, &constant.dims, &changed);
    }
    model.check().unwrap()
}

fn image(seed: u64) -> Array {
    Array::floats(Shape::new(&[4, 3, 8, 8]), numbers(4 * 3 * 64, seed))
}

fn ranges(
    model: &Model,
    plan: &Plan,
    inputs: &[Array],
    options: &Options,
) -> BTreeMap<String, Range> {
    let mut calibration = Calibration::new(Method::MinMax);
    let names = plan.observed();
    for input in inputs {
        let values = evaluate(model, &[("x", input.clone())], &names);
        let batch: Vec<(&str, &[f32])> =
            names.iter().copied().zip(values.iter().map(Vec::as_slice)).collect();
        calibration.observe(&batch);
    }
    calibration.ranges(options.activations).unwrap()
}

fn quantized(model: &Model, inputs: &[Array], options: &Options) -> Quantized {
    let plan = Plan::new(model, options).unwrap();
    insert(model, &plan, &ranges(model, &plan, inputs, options), options).unwrap()
}

/// Signal to noise of `y` in a quantized model.
fn quality(truth: &Model, quantized: &Model, inputs: &[Array]) -> f64 {
    let of = |model: &Model| -> Vec<f32> {
        let all = inputs.iter().map(|x| evaluate(model, &[("x", x.clone())], &["y"]).remove(0));
        all.flatten().collect()
    };
    sqnr(&of(truth), &of(quantized))
}

#[test]
fn equalized_layers_bear_one_scale_for_all_channels() {
    let model = depthwise("Relu");
    let factors: Vec<f32> = numbers(CHANNELS, 11).iter().map(|x| 10f32.powf(2.0 * x)).collect();
    let spoiled = spoiled(&model, &factors);
    let inputs: Vec<Array> = (0..4).map(image).collect();
    let options = Options { per_channel: false, ..Options::default() };
    let naive = quality(&model, &quantized(&spoiled, &inputs, &options).model, &inputs);
    let equalized = equalize(&spoiled, false).unwrap();
    assert_eq!(equalized.pairs.len(), 3, "{:?}", equalized.pairs);
    let after = quality(&model, &quantized(&equalized.model, &inputs, &options).model, &inputs);
    assert!(naive < 20.0 && after > naive + 20.0, "{naive} dB, equalized {after} dB");
}

#[test]
fn a_ceiling_is_in_the_way_unless_it_may_go() {
    let model = depthwise("Clip");
    let kept = equalize(&model, false).unwrap();
    assert_eq!(kept.in_the_way, ["Clip_r1", "Clip_r2"]);
    assert_eq!(kept.pairs, [["Conv_c3".to_owned(), "Gemm_y".to_owned()]]);
    let freed = equalize(&model, true).unwrap();
    assert_eq!((freed.unclipped.len(), freed.pairs.len(), freed.in_the_way.len()), (2, 3, 0));
    assert!(!freed.model.graph.nodes.iter().any(|node| node.is("Clip")));
    // No number of this model reaches the ceiling.
    assert!(quality(&model, &freed.model, &[image(3)]) > 100.0);
}

#[test]
fn what_somebody_else_takes_is_not_scaled() {
    let mut model = depthwise("Relu");
    let second = model.graph.outputs[0].clone();
    model.graph.outputs.push(modelyard_graph::Value { name: "r1".into(), ..second });
    model.graph.outputs[1].value_type = modelyard_graph::ValueType::Unknown;
    let model = model.check().unwrap();
    let pairs = equalize(&model, false).unwrap().pairs;
    assert_eq!(pairs.len(), 2, "{pairs:?}");
}

#[test]
fn a_weight_that_two_layers_share_is_copied() {
    // The same weight, and the same bias, before and after a ReLU.
    let dims = [Dim::Free, Dim::Fixed(6)];
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &dims)
        .initializer(weight("w", &[6, 6], 1))
        .initializer(weight("b", &[6], 2))
        .node(Node::new("Gemm", &["x", "w", "b"], &["h"]))
        .node(Node::new("Relu", &["h"], &["r"]))
        .node(Node::new("Gemm", &["r", "w", "b"], &["y"]))
        .output("y", DataType::Fp32, &dims)
        .model()
        .check()
        .unwrap();
    let equalized = equalize(&model, false).unwrap();
    assert_eq!((equalized.pairs.len(), equalized.model.graph.initializers.len()), (1, 4));
    let input = Array::floats(Shape::new(&[4, 6]), numbers(24, 5));
    assert!(quality(&model, &equalized.model, &[input]) > 100.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn equalized_models_answer_as_before(
        exponents in prop::collection::vec(-3.0f32..3.0, CHANNELS), seed in 0u64..100,
    ) {
        let factors: Vec<f32> = exponents.iter().map(|x| 10f32.powf(*x)).collect();
        for activation in ["Relu", "LeakyRelu", "Identity"] {
            let model = spoiled(&depthwise(activation), &factors);
            let equalized = equalize(&model, false).unwrap().model;
            let same = quality(&model, &equalized, &[image(seed)]);
            prop_assert!(same > 100.0, "{activation}: {same} dB");
        }
    }
}

/// What was seen of tensors in a model, under other names.
fn channels(model: &Model, tensors: &[(String, String, Along)], inputs: &[Array]) -> PerChannel {
    let mut seen = PerChannel::default();
    let names: Vec<&str> = tensors.iter().map(|(name, ..)| name.as_str()).collect();
    for input in inputs {
        let values = evaluate(model, &[("x", input.clone())], &names);
        // All that is looked at here has its channels second, or no more than two dimensions.
        for ((_, called, along), values) in tensors.iter().zip(&values) {
            let count = match called.as_str() {
                "c1" | "c2" => CHANNELS,
                "c3" => 8,
                "y" => 5,
                _ => WIDTH,
            };
            let rows = input.shape()[0];
            let dims = [rows, count, values.len() / rows / count];
            let dims =
                if *along == Along::Last { &[values.len() / count, count][..] } else { &dims };
            seen.observe(&[(called, *along, dims, values)]);
        }
    }
    seen
}

#[test]
fn biases_that_are_always_there_move_on() {
    // The second layer takes what the first gives without padding, so nothing but answers below
    // three deviations may change.
    let mut model = depthwise("Relu");
    for constant in &mut model.graph.initializers {
        if constant.name == "b2" {
            *constant = Constant::floats("b2", &[CHANNELS], &[40.0; CHANNELS]);
        }
    }
    let model = model.check().unwrap();
    let inputs: Vec<Array> = (0..4).map(image).collect();
    let tensors = absorbable(&model);
    assert_eq!(tensors, [("c2".to_owned(), Along::Second)]);
    let tensors = [("c2".to_owned(), "c2".to_owned(), Along::Second)];
    let (absorbed, layers) = absorb(&model, &channels(&model, &tensors, &inputs)).unwrap();
    assert_eq!(layers, ["Conv_c2"]);
    let largest = |model: &Model| {
        let values = evaluate(model, &[("x", image(0))], &["r2"]).remove(0);
        values.into_iter().fold(0.0, f32::max)
    };
    assert!(largest(&absorbed) < 0.2 * largest(&model));
    let same = quality(&model, &absorbed, &inputs);
    assert!(same > 40.0, "{same} dB");
}

#[test]
fn corrected_biases_keep_the_means() {
    let model = depthwise("Relu");
    let inputs: Vec<Array> = (0..8).map(image).collect();
    // Few bits, so that rounding moves means.
    let options = Options {
        weights: crate::Grid { bits: 3, ..crate::Grid::S8 },
        per_channel: false,
        ..Options::default()
    };
    let plan = Plan::new(&model, &options).unwrap();
    let ranges = ranges(&model, &plan, &inputs, &options);
    let insert = |model: &Model| insert(model, &plan, &ranges, &options).unwrap().model;
    let (waves, without) = bias::waves(&model, &plan);
    assert_eq!((waves.len(), without.len()), (4, 0));
    let all: Vec<_> = waves.iter().flatten().collect();
    let own: Vec<_> =
        all.iter().map(|site| (site.output.clone(), site.output.clone(), site.along)).collect();
    let truth = channels(&model, &own, &inputs);
    let seen = |quantized: &Model, sites: &[&bias::Site]| {
        let nodes: Vec<usize> = sites.iter().map(|site| site.node).collect();
        let names = bias::outputs(quantized, &nodes);
        let tensors: Vec<_> = sites
            .iter()
            .zip(names)
            .map(|(site, name)| (name.unwrap().to_owned(), site.output.clone(), site.along))
            .collect();
        channels(quantized, &tensors, &inputs)
    };
    let mut corrected = model.clone();
    for wave in &waves {
        let quantized = insert(&corrected);
        let sites: Vec<&bias::Site> = wave.iter().collect();
        let rounded = seen(&quantized, &sites);
        corrected = bias::corrected(&corrected, wave, (&truth, &rounded)).unwrap();
    }
    let shift = |quantized: &Model| {
        let seen = seen(quantized, &all);
        let of = |site: &&bias::Site| {
            let means = |seen: &PerChannel| seen.tensors()[&site.output].means();
            let both = means(&truth).into_iter().zip(means(&seen));
            both.map(|(x, y)| (x - y).abs()).sum::<f32>()
        };
        all.iter().map(of).sum::<f32>()
    };
    let (before, after) = (shift(&insert(&model)), shift(&insert(&corrected)));
    // Biases are rounded too, and one wave moves what activations are rounded to in the next.
    assert!(after < 0.05 * before, "{before} {after}");
    // The convolution without a bias has one now.
    let conv = corrected.graph.nodes.iter().find(|node| node.name == "Conv_c3").unwrap();
    assert!(conv.input(2).is_some());
    let (naive, repaired) = (insert(&model), insert(&corrected));
    let (naive, repaired) = (quality(&model, &naive, &inputs), quality(&model, &repaired, &inputs));
    assert!(repaired > naive + 1.0, "{naive} {repaired}");
}

const WIDTH: usize = 16;

/// Two products that share a normalized activation, and one behind a GELU-like gate. The scale of the
/// normalization makes outliers of two channels.
fn transformer(residual: bool) -> Model {
    let dims = [Dim::Symbol("n".into()), Dim::Fixed(WIDTH)];
    let mut scale = vec![1.0f32; WIDTH];
    (scale[3], scale[7]) = (60.0, 25.0);
    let mut builder = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &dims)
        .floats("scale", &[WIDTH], &scale)
        .initializer(weight("shift", &[WIDTH], 9))
        .initializer(weight("wq", &[WIDTH, WIDTH], 1))
        .initializer(weight("wk", &[WIDTH, WIDTH], 2))
        .initializer(weight("wo", &[WIDTH, WIDTH], 3))
        .node(Node::new("LayerNormalization", &["x", "scale", "shift"], &["h"]))
        .node(Node::new("MatMul", &["h", "wq"], &["q"]))
        .node(Node::new("MatMul", &["h", "wk"], &["k"]))
        .node(Node::new("Sigmoid", &["q"], &["s"]))
        .node(Node::new("Mul", &["s", "k"], &["m"]))
        .node(Node::new("MatMul", &["m", "wo"], &["o"]));
    builder = match residual {
        true => builder.node(Node::new("Add", &["o", "h"], &["y"])),
        false => builder.node(Node::new("Identity", &["o"], &["y"])),
    };
    builder.output("y", DataType::Fp32, &dims).model().with_opset("", 17).check().unwrap()
}

fn rows(seed: u64) -> Array {
    Array::floats(Shape::new(&[32, WIDTH]), numbers(32 * WIDTH, seed))
}

fn smoothed(model: &Model, inputs: &[Array], how: (Alpha, bool)) -> Smoothed {
    let options = Options::default();
    let plan = Plan::new(model, &options).unwrap();
    let tensors: Vec<_> = smoothable(model, &plan)
        .into_iter()
        .map(|name| (name.clone(), name, Along::Last))
        .collect();
    smooth(model, (&plan, &options), &channels(model, &tensors, inputs), how).unwrap()
}

#[test]
fn outliers_move_into_the_weights_of_all_products_that_take_them() {
    let model = transformer(false);
    let inputs: Vec<Array> = (0..4).map(rows).collect();
    for alpha in [Alpha::Fixed(0.5), Alpha::Search] {
        let smoothed = smoothed(&model, &inputs, (alpha, true));
        let first = smoothed.groups.iter().find(|group| group.tensor == "h").unwrap();
        assert_eq!(first.nodes, ["MatMul_q", "MatMul_k"]);
        assert!(!first.multiplies && first.error < 0.5, "{first:?}");
        let same = quality(&model, &smoothed.model, &inputs);
        assert!(same > 100.0, "{same} dB");
        let options = Options::default();
        let of = |of: &Model| quality(&model, &quantized(of, &inputs, &options).model, &inputs);
        let (naive, after) = (of(&model), of(&smoothed.model));
        assert!(after > naive + 3.0, "{alpha:?}: {naive} dB, smoothed {after} dB");
    }
}

#[test]
fn what_somebody_else_takes_is_multiplied_apart() {
    let model = transformer(true);
    let inputs: Vec<Array> = (0..4).map(rows).collect();
    let with = smoothed(&model, &inputs, (Alpha::Search, true));
    assert!(with.groups.iter().any(|group| group.tensor == "h" && group.multiplies));
    assert!(quality(&model, &with.model, &inputs) > 100.0);
    let without = smoothed(&model, &inputs, (Alpha::Search, false));
    assert!(without.groups.iter().all(|group| group.tensor != "h"));
}

#[test]
fn rows_of_a_quantized_table_are_looked_at_as_floats() {
    let words = [Dim::Symbol("n".into()), Dim::Fixed(3)];
    let model = GraphBuilder::new("g")
        .input("words", DataType::Int64, &words)
        .initializer(weight("table", &[128, 16], 1))
        .initializer(weight("w", &[16, 4], 2))
        .node(Node::new("Gather", &["table", "words"], &["rows"]))
        .node(Node::new("MatMul", &["rows", "w"], &["y"]))
        .output("y", DataType::Fp32, &[words[0].clone(), words[1].clone(), Dim::Fixed(4)])
        .model()
        .check()
        .unwrap();
    let plan = Plan::new(&model, &Options::default()).unwrap();
    let ranges = BTreeMap::from([("rows".to_owned(), Range { low: -2.0, high: 2.0 })]);
    let made = insert(&model, &plan, &ranges, &Options::default()).unwrap().model;
    assert_eq!(bias::outputs(&made, &[0, 1]), [Some("rows"), Some("y")]);
}
