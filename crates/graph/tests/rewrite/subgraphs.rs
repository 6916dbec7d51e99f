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

/// What a loop carries may grow: sizes of the first round say nothing of the others.
#[test]
fn shapes_in_loops_are_not_stated() {
    let body = GraphBuilder::new("body")
        .input("i", DataType::Int64, &[])
        .input("go", DataType::Bool, &[])
        .input("state", DataType::Fp32, &[Dim::Free])
        .node(Node::new("Identity", &["go"], &["go_on"]))
        .node(Node::new("Shape", &["state"], &["shape"]))
        .node(Node::new("Concat", &["state", "state"], &["longer"]).with("axis", 0))
        .output("go_on", DataType::Bool, &[])
        .output("longer", DataType::Fp32, &[Dim::Free])
        .output("shape", DataType::Int64, &[Dim::Free])
        .build();
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &[Dim::Fixed(3)])
        .integers("rounds", &[], &[4])
        .node(Node::new("Loop", &["rounds", "", "x"], &["y", "shapes"]).with("body", body))
        .node(Node::new("Shape", &["y"], &["last"]))
        .output("shapes", DataType::Int64, &[Dim::Free, Dim::Free])
        .output("last", DataType::Int64, &[Dim::Free])
        .model();
    let model = clean(model.check().unwrap(), &Options::default()).check().unwrap();
    let shapes = model.nodes().filter(|node| node.is("Shape")).count();
    assert_eq!(shapes, 2);
}

#[test]
fn functions_annotations_and_sparse_constants_stay() {
    let function = modelyard_graph::Function {
        name: "Twice".into(),
        domain: "own".into(),
        inputs: vec!["x".into()],
        outputs: vec!["y".into()],
        nodes: vec![Node::new("Identity", &["x"], &["i"]), Node::new("Add", &["i", "x"], &["y"])],
        opsets: [(String::new(), 17)].into(),
        ..modelyard_graph::Function::default()
    };
    let indices = modelyard_graph::Constant::raw(
        "",
        modelyard_graph::ElementType::Int64,
        &[1],
        4i64.to_le_bytes().to_vec(),
    );
    let sparse = modelyard_graph::SparseConstant {
        values: modelyard_graph::Constant::floats("sparse", &[1], &[2.0]),
        indices,
        dims: vec![2, 3],
    };
    let mut model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &DIMS)
        .floats("scale", &[], &[0.5])
        .node(Node::new("Add", &["x", "sparse"], &["a"]))
        .node(Node::new("Twice", &["a"], &["b"]).in_domain("own"))
        .node(Node::new("Identity", &["b"], &["y"]))
        .output("y", DataType::Fp32, &DIMS)
        .model()
        .with_opset("own", 1)
        .with_function(function.clone());
    model.graph.sparse_initializers.push(sparse.clone());
    model.graph.quantization.push(modelyard_graph::Quantization {
        tensor: "b".into(),
        parameters: vec![("SCALE_TENSOR".into(), "scale".into())],
    });
    let model = clean(model.check().unwrap(), &Options::default()).check().unwrap();
    assert_eq!(model.functions, [function]);
    assert_eq!(model.graph.sparse_initializers, [sparse]);
    assert_eq!(model.graph.nodes.len(), 2);
    assert_eq!(model.graph.quantization[0].tensor, "y");
    assert!(model.graph.initializer("scale").is_some());
}
