//! Graphs inside nodes use values of the graph around them.

use modelyard_graph::rewrite::{Options, clean};
use modelyard_graph::{Graph, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim};

const DIMS: [Dim; 2] = [Dim::Fixed(2), Dim::Fixed(3)];

/// A branch that takes `outer` from around it.
fn branch(name: &str, op_type: &str, outer: &str) -> Graph {
    let (inner, output) = (format!("{name}_inner"), format!("{name}_out"));
    GraphBuilder::new(name)
        .node(Node::new("Identity", &[outer], &[&inner]))
        .node(Node::new(op_type, &[&inner], &[&output]))
        .output(&output, DataType::Fp32, &DIMS)
        .build()
}

fn conditional(nodes: &[Node], outers: [&str; 2]) -> Model {
    let mut builder = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &DIMS)
        .input("which", DataType::Bool, &[])
        .floats("w", &[2, 3], &[1.0; 6]);
    for node in nodes {
        builder = builder.node(node.clone());
    }
    let choice = Node::new("If", &["which"], &["y"])
        .with("then_branch", branch("then", "Relu", outers[0]))
        .with("else_branch", branch("else", "Exp", outers[1]));
    builder.node(choice).output("y", DataType::Fp32, &DIMS).model().check().unwrap()
}

fn names_used(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().flat_map(|node| &node.inputs).map(String::as_str).collect()
}

#[test]
fn values_used_inside_are_kept_and_renamed() {
    let nodes = [
        Node::new("Abs", &["x"], &["a"]),
        Node::new("Identity", &["a"], &["b"]),
        Node::new("Exp", &["x"], &["unused"]),
    ];
    let model = clean(conditional(&nodes, ["b", "w"]), &Options::default()).check().unwrap();
    assert_eq!(model.graph.nodes.len(), 2);
    assert_eq!(model.graph.initializers.len(), 1);
    let branches: Vec<&Graph> = model.graph.nodes[1].subgraphs().collect();
    assert_eq!(names_used(branches[0]), [&*model.graph.nodes[0].outputs[0]]);
    assert_eq!(names_used(branches[1]), ["w"]);
}

#[test]
fn what_is_used_inside_is_as_it_was() {
    let transpose =
        |from: &str, to: &str| Node::new("Transpose", &[from], &[to]).with("perm", [1, 0]);
    let nodes = [
        transpose("x", "a"),
        Node::new("Abs", &["a"], &["b"]),
        transpose("b", "c"),
        transpose("c", "d"),
        transpose("d", "e"),
    ];
    let model = clean(conditional(&nodes, ["c", "e"]), &Options::default()).check().unwrap();
    let transposes = model.graph.nodes.iter().filter(|node| node.is("Transpose")).count();
    assert_eq!(transposes, 0, "{:?}", model.graph.nodes);
}

#[test]
fn a_name_may_be_used_again_inside() {
    let inside = GraphBuilder::new("then")
        .node(Node::new("Exp", &["x"], &["a"]))
        .node(Node::new("Relu", &["a"], &["then_out"]))
        .output("then_out", DataType::Fp32, &DIMS)
        .build();
    let mut model = conditional(&[Node::new("Abs", &["x"], &["a"])], ["a", "a"]);
    let choice = model.graph.nodes.last_mut().unwrap();
    choice.attributes[0].value = inside.into();
    let model = clean(model, &Options::default()).check().unwrap();
    let branches: Vec<&Graph> = model.graph.nodes[1].subgraphs().collect();
    assert_eq!(names_used(branches[0])[0], "x");
    assert_eq!(names_used(branches[1]), ["a"]);
}
