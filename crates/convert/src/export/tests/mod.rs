//! The form that all targets start from.

use modelyard_graph::{CHANNELS_LAST, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim};

use super::{ExportOptions, Prepared, prepare};

fn free(dims: &[usize]) -> Vec<Dim> {
    let mut dims: Vec<Dim> = dims.iter().map(|&size| Dim::Fixed(size)).collect();
    dims.insert(0, Dim::Symbol("batch".into()));
    dims
}

fn prepared(model: &Model) -> Prepared {
    prepare(model, &ExportOptions::default()).unwrap()
}

fn operators(prepared: &Prepared) -> Vec<String> {
    let name = |node: &Node| match node.domain.as_str() {
        CHANNELS_LAST => format!("{}*", node.op_type),
        _ => node.operator(),
    };
    prepared.model.graph.nodes.iter().map(name).collect()
}

fn conv(name: &str, input: &str, output: &str) -> Node {
    Node::new("Conv", &[input, name], &[output]).with("pads", [1, 1, 1, 1])
}

/// A block with a branch that is added, as residual networks have them.
fn residual() -> GraphBuilder {
    GraphBuilder::new("g")
        .input("x", DataType::Fp32, &free(&[3, 8, 8]))
        .floats("a", &[4, 3, 3, 3], &[0.1; 108])
        .floats("b", &[4, 4, 3, 3], &[0.1; 144])
        .floats("ones", &[4], &[1.0; 4])
        .node(conv("a", "x", "c1"))
        .node(
            Node::new("BatchNormalization", &["c1", "ones", "ones", "ones", "ones"], &["n1"])
                .with("epsilon", 1e-3),
        )
        .node(Node::new("Relu", &["n1"], &["r1"]))
        .node(conv("b", "r1", "c2"))
        .node(Node::new("Add", &["r1", "c2"], &["s"]))
        .node(
            Node::new("MaxPool", &["s"], &["p"])
                .with("kernel_shape", [2, 2])
                .with("strides", [2, 2]),
        )
        .node(Node::new("GlobalAveragePool", &["p"], &["m"]))
        .node(Node::new("Flatten", &["m"], &["y"]))
        .output("y", DataType::Fp32, &free(&[4]))
}

#[test]
fn a_residual_network_has_one_transpose_at_its_input() {
    let found = operators(&prepared(&residual().model().check().unwrap()));
    let expected =
        ["Transpose", "Conv*", "Relu", "Conv*", "Add", "MaxPool*", "ReduceMean", "Reshape"];
    assert_eq!(found, expected);
}
