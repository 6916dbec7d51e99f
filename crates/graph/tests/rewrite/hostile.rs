//! Graphs that are not sound: converters hand them over before anybody has verified them. Passes
//! may leave them as they are, or make other unsound graphs of them, but come to an end.

use fastrand::Rng;
use modelyard_graph::rewrite::{Options, Target, clean};
use modelyard_graph::{AttributeValue, ConstantData, Model, Node};

/// Breaks something.
fn break_one(model: &mut Model, random: &mut Rng) {
    const OPERATORS: [&str; 24] = [
        "Transpose",
        "Reshape",
        "Slice",
        "Pad",
        "Concat",
        "Split",
        "Squeeze",
        "Unsqueeze",
        "Gather",
        "Resize",
        "Tile",
        "Expand",
        "ReduceMean",
        "Conv",
        "BatchNormalization",
        "MatMul",
        "Gemm",
        "Where",
        "Range",
        "ConstantOfShape",
        "Shape",
        "DequantizeLinear",
        "Softmax",
        "AveragePool",
    ];
    let names: Vec<String> = names(model);
    let graph = &mut model.graph;
    let node = random.usize(0..graph.nodes.len().max(1));
    let constant = random.usize(0..graph.initializers.len().max(1));
    let number = random.i64(-9..9);
    match random.u8(0..10) {
        0 | 1 => {
            if let Some(node) = graph.nodes.get_mut(node) {
                node.op_type = OPERATORS[random.usize(0..OPERATORS.len())].into();
            }
        }
        2 | 3 => {
            if let Some(node) = graph.nodes.get_mut(node) {
                let slot = random.usize(0..=node.inputs.len());
                node.inputs.resize(node.inputs.len().max(slot + 1), String::new());
                node.inputs[slot].clone_from(&names[random.usize(0..names.len())]);
            }
        }
        4 => {
            if let Some(node) = graph.nodes.get_mut(node) {
                node.inputs.pop();
            }
        }
        5 => change_attribute(graph.nodes.get_mut(node), number, random),
        6 => {
            if let Some(constant) = graph.initializers.get_mut(constant) {
                constant.dims = (0..random.usize(0..5)).map(|_| random.usize(0..5)).collect();
            }
        }
        7 => {
            if let Some(constant) = graph.initializers.get_mut(constant) {
                let items = (0..random.usize(0..6)).map(|_| random.i64(-9..9));
                constant.data = ConstantData::Longs(items.collect());
                constant.element_type = modelyard_graph::ElementType::Int64;
            }
        }
        8 => {
            if let Some(constant) = graph.initializers.get_mut(constant) {
                constant.data = ConstantData::Raw(vec![7; random.usize(0..9)].into());
            }
        }
        _ => {
            if node > 0 && node < graph.nodes.len() {
                graph.nodes.swap(node, 0);
            }
        }
    }
}

fn names(model: &Model) -> Vec<String> {
    let nodes = model.graph.nodes.iter().flat_map(|node| &node.outputs);
    let constants = model.graph.initializers.iter().map(|constant| &constant.name);
    let known = nodes.chain(constants).cloned();
    known.chain(["x".to_owned(), "nowhere".to_owned(), String::new()]).collect()
}

fn change_attribute(node: Option<&mut Node>, number: i64, random: &mut Rng) {
    const NAMES: [&str; 12] = [
        "axis",
        "axes",
        "perm",
        "pads",
        "kernel_shape",
        "to",
        "group",
        "keepdims",
        "mode",
        "scales",
        "shape",
        "transB",
    ];
    let Some(node) = node else { return };
    if random.bool() {
        node.attributes.pop();
        return;
    }
    let name = NAMES[random.usize(0..NAMES.len())];
    let list: Vec<i64> = (0..random.usize(0..6)).map(|_| random.i64(-4..5)).collect();
    let value = match random.u8(0..3) {
        0 => AttributeValue::Int(number),
        1 => AttributeValue::Ints(list),
        _ => AttributeValue::Floats(vec![1.5; list.len()]),
    };
    node.attributes.retain(|attribute| attribute.name != name);
    *node = std::mem::take(node).with(name, value);
}

/// A random model, or one that has what fusions look for.
fn start(seed: u64) -> Model {
    const FUSIBLE: [&str; 4] =
        ["torch_legacy_layer_norm", "torch_dynamo_gelu", "torch_dynamo_encoder", "keras_mha"];
    match seed % 5 {
        0 => crate::fuse::fixture(FUSIBLE[seed as usize / 5 % FUSIBLE.len()], 23),
        _ => crate::random::model(seed % 50),
    }
}

#[test]
fn nothing_panics() {
    let cases: u64 = std::env::var("PROPTEST_CASES").map_or(150, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        let mut random = Rng::with_seed(seed);
        let mut model = start(seed);
        for _ in 0..random.usize(1..8) {
            break_one(&mut model, &mut random);
        }
        let result = std::panic::catch_unwind(|| {
            for fuse in [None, Some(Target::Standard), Some(Target::OnnxRuntime)] {
                clean(model.clone(), &Options { fold_batch_norm: true, fuse });
            }
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}
