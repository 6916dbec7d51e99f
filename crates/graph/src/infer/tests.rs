//! Estimates of models small enough to add up by hand.

use modelyard_tensor::{DataType, Dim};

use super::Sizes;
use crate::rewrite::{Options, clean};
use crate::summary::{describe, describe_with};
use crate::{ElementType, Function, GraphBuilder, Model, Node, ValueType};

fn fixed(dims: &[usize]) -> Vec<Dim> {
    dims.iter().map(|&dim| Dim::Fixed(dim)).collect()
}

/// A model with one float input `x` of this shape and the output `y` of unstated rank.
fn graph(dims: &[usize]) -> GraphBuilder {
    GraphBuilder::new("g").input("x", DataType::Fp32, &fixed(dims))
}

/// The walk finds this shape for `y`, and follows it as a value: a tensor of zeros made of it
/// has it too.
#[track_caller]
fn has_shape(builder: GraphBuilder, dims: &[usize]) {
    let mut builder = builder.node(Node::new("Shape", &["y"], &["shape"]));
    builder = builder.node(Node::new("ConstantOfShape", &["shape"], &["z"]));
    builder = builder.node(Node::new("Neg", &["z"], &["result"]));
    let model = builder.output("result", DataType::Fp32, &fixed(dims)).model().check();
    let model = model.expect("the test's model is valid");
    let sizes = Sizes::default();
    let mut walk = super::Walk::new(&model, &sizes);
    let inputs = model.graph.inputs.iter().map(|input| walk.declared(&input.value_type)).collect();
    let mut graph = model.graph.clone();
    graph.outputs[0].value_type = crate::ValueType::Unknown;
    let outputs = walk.graph(&graph, inputs).outputs;
    assert!(walk.estimate.unknown.is_empty(), "{:?}", walk.estimate.unknown);
    let found = outputs[0].as_ref().map(|fact| fact.dims.clone());
    assert_eq!(found.as_deref(), Some(dims));
}

#[test]
fn shapes_of_windows() {
    let conv = |node: Node| graph(&[1, 3, 9, 9]).floats("w", &[4, 3, 3, 3], &[0.0; 108]).node(node);
    let plain = || Node::new("Conv", &["x", "w"], &["y"]);
    has_shape(conv(plain()), &[1, 4, 7, 7]);
    has_shape(conv(plain().with("strides", [2, 2])), &[1, 4, 4, 4]);
    has_shape(conv(plain().with("pads", [1, 1, 1, 1])), &[1, 4, 9, 9]);
    has_shape(conv(plain().with("dilations", [2, 2])), &[1, 4, 5, 5]);
    has_shape(conv(plain().with("auto_pad", "SAME_UPPER").with("strides", [2, 2])), &[1, 4, 5, 5]);
    let pool = |node: Node| graph(&[1, 3, 10, 10]).node(node.with("kernel_shape", [3, 3]));
    let plain = || Node::new("MaxPool", &["x"], &["y"]).with("strides", [2, 2]);
    has_shape(pool(plain()), &[1, 3, 4, 4]);
    has_shape(pool(plain().with("ceil_mode", 1)), &[1, 3, 5, 5]);
    let spread = graph(&[1, 2, 5, 5])
        .floats("w", &[2, 3, 3, 3], &[0.0; 54])
        .node(Node::new("ConvTranspose", &["x", "w"], &["y"]).with("strides", [2, 2]));
    has_shape(spread, &[1, 3, 11, 11]);
}

#[test]
fn shapes_of_moved_data() {
    let with = |values: &[i64], node: Node| {
        graph(&[2, 3, 4]).integers("i", &[values.len()], values).node(node)
    };
    has_shape(with(&[0, -1], Node::new("Reshape", &["x", "i"], &["y"])), &[2, 12]);
    has_shape(with(&[0, 4], Node::new("Unsqueeze", &["x", "i"], &["y"])), &[1, 2, 3, 4, 1]);
    has_shape(with(&[5, 1, 3, 1], Node::new("Expand", &["x", "i"], &["y"])), &[5, 2, 3, 4]);
    has_shape(with(&[1, 2, 1], Node::new("Tile", &["x", "i"], &["y"])), &[2, 6, 4]);
    has_shape(with(&[0, 0, 1, 0, 0, 2], Node::new("Pad", &["x", "i"], &["y"])), &[2, 3, 7]);
    has_shape(with(&[1, 0], Node::new("Gather", &["x", "i"], &["y"]).with("axis", 1)), &[2, 2, 4]);
    has_shape(
        with(&[1, 2], Node::new("Split", &["x", "i"], &["a", "y"]).with("axis", 1)),
        &[2, 2, 4],
    );
    let plain = |node: Node| graph(&[2, 3, 4]).node(node);
    has_shape(plain(Node::new("Transpose", &["x"], &["y"]).with("perm", [2, 0, 1])), &[4, 2, 3]);
    has_shape(plain(Node::new("Flatten", &["x"], &["y"]).with("axis", 2)), &[6, 4]);
    has_shape(plain(Node::new("Concat", &["x", "x"], &["y"]).with("axis", -2)), &[2, 6, 4]);
    let sliced = graph(&[2, 3, 9])
        .integers("start", &[1], &[-1])
        .integers("end", &[1], &[i64::MIN])
        .integers("axis", &[1], &[2])
        .integers("step", &[1], &[-2])
        .node(Node::new("Slice", &["x", "start", "end", "axis", "step"], &["y"]));
    has_shape(sliced, &[2, 3, 5]);
    let resized = graph(&[1, 1, 4, 4])
        .floats("scales", &[4], &[1.0, 1.0, 2.5, 0.5])
        .node(Node::new("Resize", &["x", "", "scales"], &["y"]));
    has_shape(resized, &[1, 1, 10, 2]);
}

/// How PyTorch writes padding: pairs for each dimension, last one first, are turned around by
/// Reshape, Slice and Transpose. The elements must be followed through all of them.
#[test]
fn paddings_are_followed() {
    let padded = graph(&[1, 5, 7])
        .integers("pairs", &[6], &[10, 20, 1, 2, 0, 0])
        .integers("two_columns", &[2], &[-1, 2])
        .integers("start", &[1], &[-1])
        .integers("end", &[1], &[i64::MIN])
        .integers("first", &[1], &[0])
        .integers("back", &[1], &[-1])
        .integers("flat", &[1], &[-1])
        .node(Node::new("Reshape", &["pairs", "two_columns"], &["rows"]))
        .node(Node::new("Slice", &["rows", "start", "end", "first", "back"], &["reversed"]))
        .node(Node::new("Transpose", &["reversed"], &["sides"]).with("perm", [1, 0]))
        .node(Node::new("Reshape", &["sides", "flat"], &["pads"]))
        .node(Node::new("Pad", &["x", "pads"], &["y"]));
    has_shape(padded, &[1, 8, 37]);
}

#[test]
fn shapes_of_products() {
    let product = |left: &[usize], right: &[usize], node: Node| {
        graph(left).input("w", DataType::Fp32, &fixed(right)).node(node)
    };
    let matmul = || Node::new("MatMul", &["x", "w"], &["y"]);
    has_shape(product(&[5, 1, 2, 3], &[4, 3, 6], matmul()), &[5, 4, 2, 6]);
    has_shape(product(&[3], &[4, 3, 6], matmul()), &[4, 6]);
    has_shape(product(&[4, 2, 3], &[3], matmul()), &[4, 2]);
    has_shape(product(&[3], &[3], matmul()), &[]);
    let einsum = Node::new("Einsum", &["x", "w"], &["y"]).with("equation", "bij, bjk -> bki");
    has_shape(product(&[2, 3, 4], &[2, 4, 5], einsum), &[2, 5, 3]);
}

#[test]
fn a_layer_costs_what_it_costs() {
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &[Dim::Symbol("batch".into()), Dim::Fixed(784)])
        .floats("w", &[784, 128], &[0.0; 784 * 128])
        .floats("b", &[128], &[0.0; 128])
        .node(Node::new("Gemm", &["x", "w", "b"], &["h"]))
        .node(Node::new("Relu", &["h"], &["y"]))
        .output("y", DataType::Fp32, &[Dim::Symbol("batch".into()), Dim::Fixed(128)])
        .model()
        .check()
        .expect("the test's model is valid");
    let one = describe(&model);
    assert_eq!(one.parameters, 784 * 128 + 128);
    assert_eq!(one.parameter_bytes, one.parameters * 4);
    assert_eq!(one.flops, 2 * 784 * 128 + 128 + 128);
    // Input and product while Gemm runs; then product and output, which is less.
    assert_eq!(one.activation_bytes, (784 + 128) * 4);
    assert_eq!(one.assumed.iter().collect::<Vec<_>>(), ["batch"]);
    let eight = describe_with(&model, &Sizes::of_symbols([("batch", 8)]));
    assert_eq!(eight.flops, one.flops * 8);
    assert!(eight.assumed.is_empty());
}

#[test]
fn weights_made_by_nodes_are_seen() {
    let model = graph(&[1, 8])
        .integers("shape", &[2], &[8, 4])
        .node(Node::new("ConstantOfShape", &["shape"], &["w"]))
        .node(Node::new("MatMul", &["x", "w"], &["y"]))
        .output("y", DataType::Fp32, &fixed(&[1, 4]))
        .model()
        .check()
        .expect("the test's model is valid");
    let summary = describe(&model);
    assert_eq!((summary.parameters, summary.generated_parameters), (2, 32));
    assert_eq!(summary.flops, 2 * 8 * 4);
}

#[test]
fn what_is_not_known_is_reported() {
    let model = graph(&[4])
        .node(Node::new("Mystery", &["x"], &["a"]).in_domain("com.example"))
        .node(Node::new("Relu", &["a"], &["y"]))
        .output("y", DataType::Fp32, &fixed(&[4]))
        .model()
        .with_opset("com.example", 1)
        .check()
        .expect("the test's model is valid");
    let unknown: Vec<(String, usize)> = describe(&model)
        .unknown
        .into_iter()
        .map(|unknown| (unknown.operator, unknown.nodes))
        .collect();
    assert_eq!(unknown, [("Relu".into(), 1), ("com.example.Mystery".into(), 1)]);
}

fn relu_graph(scale: usize) -> crate::Graph {
    let mut builder = GraphBuilder::new("body");
    let mut last = "x".to_owned();
    for index in 0..scale {
        let next = format!("r{index}");
        builder = builder.node(Node::new("Relu", &[&last], &[&next]));
        last = next;
    }
    builder.output(&last, DataType::Fp32, &fixed(&[4])).build()
}

#[test]
fn the_dearer_branch_counts() {
    let model = graph(&[4])
        .input("condition", DataType::Bool, &[])
        .node(
            Node::new("If", &["condition"], &["y"])
                .with("then_branch", relu_graph(1))
                .with("else_branch", relu_graph(3)),
        )
        .output("y", DataType::Fp32, &fixed(&[4]))
        .model()
        .check()
        .expect("the test's model is valid");
    let summary = describe(&model);
    assert_eq!((summary.flops, summary.operators["Relu"]), (3 * 4, 4));
    assert_eq!(summary.unknown, []);
}

/// silero_vad squeezes its features where they are one frame long, which no walk's sizes were, and
/// the number of dimensions of those that are longer was taken for that of all.
#[test]
fn the_rank_that_a_size_decides_on_is_not_known() {
    let branch = |node: Node| {
        let output = node.outputs[0].clone();
        GraphBuilder::new("body").node(node).output(&output, DataType::Fp32, &[]).build()
    };
    let mut squeeze = branch(Node::new("Squeeze", &["x", "last"], &["squeezed"]));
    let mut keep = branch(Node::new("Identity", &["x"], &["kept"]));
    for body in [&mut squeeze, &mut keep] {
        body.outputs[0].value_type = ValueType::Unknown;
    }
    let model = GraphBuilder::new("g")
        .input("x", ElementType::Float32, &[Dim::Fixed(1), Dim::Symbol("frames".into())])
        .integers("last", &[1], &[1])
        .integers("one", &[], &[1])
        .integers("two", &[], &[2])
        .node(Node::new("Shape", &["x"], &["shape"]))
        .node(Node::new("Gather", &["shape", "one"], &["frames"]))
        .node(Node::new("Equal", &["frames", "one"], &["single"]))
        .node(
            Node::new("If", &["single"], &["y"])
                .with("then_branch", squeeze)
                .with("else_branch", keep),
        )
        .node(Node::new("Shape", &["y"], &["y_shape"]))
        .node(Node::new("Size", &["y_shape"], &["rank"]))
        .node(Node::new("Equal", &["rank", "two"], &["is_flat"]))
        .output("is_flat", ElementType::Bool, &[])
        .model();
    assert_eq!(model.kinds().get("y"), None);
    let cleaned = clean(model.check().expect("the test's model is valid"), &Options::default());
    assert!(cleaned.graph.initializer("is_flat").is_none());
    assert!(cleaned.nodes().any(|node| node.is("If")), "{:?}", cleaned.graph.nodes);
}

#[test]
fn loops_count_their_rounds() {
    let body = GraphBuilder::new("body")
        .input("round", ElementType::Int64, &[])
        .input("go_on", ElementType::Bool, &[])
        .input("state", DataType::Fp32, &fixed(&[4]))
        .node(Node::new("Identity", &["go_on"], &["goes_on"]))
        .node(Node::new("Relu", &["state"], &["next"]))
        .output("goes_on", ElementType::Bool, &[])
        .output("next", DataType::Fp32, &fixed(&[4]))
        .build();
    let model = graph(&[4])
        .integers("rounds", &[], &[7])
        .node(Node::new("Loop", &["rounds", "", "x"], &["y"]).with("body", body))
        .output("y", DataType::Fp32, &fixed(&[4]))
        .model()
        .check()
        .expect("the test's model is valid");
    let summary = describe(&model);
    assert_eq!((summary.flops, summary.unknown.len()), (7 * 4, 0));
}

#[test]
fn functions_are_entered() {
    let function = Function {
        name: "Twice".into(),
        domain: "own".into(),
        inputs: vec!["a".into()],
        outputs: vec!["c".into()],
        nodes: vec![Node::new("Relu", &["a"], &["b"]), Node::new("Neg", &["b"], &["c"])],
        opsets: [(String::new(), 17)].into(),
        ..Function::default()
    };
    let model: Model = graph(&[4])
        .node(Node::new("Twice", &["x"], &["y"]).in_domain("own"))
        .output("y", DataType::Fp32, &fixed(&[4]))
        .model()
        .with_opset("own", 1)
        .with_function(function);
    let summary = describe(&model.check().expect("the test's model is valid"));
    assert_eq!((summary.flops, summary.unknown.len()), (2 * 4, 0));
}

#[test]
fn hostile_shapes_do_not_overflow() {
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &[Dim::Symbol("n".into()), Dim::Symbol("n".into())])
        .node(Node::new("MatMul", &["x", "x"], &["a"]))
        .node(Node::new("Concat", &["a", "a"], &["b"]).with("axis", 0))
        .node(Node::new("Flatten", &["b"], &["y"]).with("axis", 2))
        .output("y", DataType::Fp32, &[Dim::Free, Dim::Free])
        .model()
        .check()
        .expect("the test's model is valid");
    let huge = describe_with(&model, &Sizes::of_symbols([("n", usize::MAX)]));
    assert_eq!(huge.flops, u64::MAX);
    assert_eq!(huge.memory_bytes, u64::MAX);
}

#[test]
fn kinds_are_told_where_they_are_certain() {
    let model = graph(&[2, 3])
        .node(Node::new("Transpose", &["x"], &["t"]))
        .node(Node::new("Greater", &["x", "x"], &["g"]))
        .node(Node::new("Unheard", &["x"], &["u"]).in_domain("nobody"))
        .output("t", DataType::Fp32, &fixed(&[3, 2]))
        .model()
        .with_opset("nobody", 1)
        .check()
        .unwrap();
    let kinds = model.kinds();
    let float = super::Kind { element_type: ElementType::Float32, rank: 2 };
    assert_eq!(kinds.get("x"), Some(&float));
    assert_eq!(kinds.get("t"), Some(&float));
    assert_eq!(kinds["g"].element_type, ElementType::Bool);
    assert_eq!(kinds.get("u"), None);
}
