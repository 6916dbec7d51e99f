use modelyard_tensor::DataType;

use super::*;
use crate::{GraphBuilder, Node};

fn graph() -> GraphBuilder {
    let dims = [Dim::Fixed(1), Dim::Fixed(3), Dim::Fixed(8), Dim::Fixed(8)];
    GraphBuilder::new("g").input("x", DataType::Fp32, &dims)
}

/// The shape of the output `y` once the batch is free.
#[track_caller]
fn freed(graph: GraphBuilder, dims: &[usize]) -> Vec<Dim> {
    let dims: Vec<Dim> = dims.iter().map(|&dim| Dim::Fixed(dim)).collect();
    let model = graph.output("y", DataType::Fp32, &dims).model().check().unwrap();
    let freed = free(&model, "batch").unwrap().unwrap().check().unwrap();
    freed.graph.outputs[0].value_type.as_tensor().unwrap().1.unwrap().to_vec()
}

#[track_caller]
fn refused(graph: GraphBuilder, dims: &[usize], reason: &str) {
    let dims: Vec<Dim> = dims.iter().map(|&dim| Dim::Fixed(dim)).collect();
    let model = graph.output("y", DataType::Fp32, &dims).model().check().unwrap();
    let error = free(&model, "batch").unwrap_err().to_string();
    assert!(error.contains(reason), "{error}");
}

fn batch(rest: &[usize]) -> Vec<Dim> {
    let mut dims = vec![Dim::Symbol("batch".into())];
    dims.extend(rest.iter().map(|&dim| Dim::Fixed(dim)));
    dims
}

#[test]
fn a_classifier_takes_any_number_of_images() {
    let graph = graph()
        .floats("k", &[4, 3, 3, 3], &[0.1; 108])
        .floats("w", &[144, 10], &[0.1; 1440])
        .integers("flat", &[2], &[1, 144])
        .node(Node::new("Conv", &["x", "k"], &["c"]))
        .node(Node::new("Relu", &["c"], &["r"]))
        .node(Node::new("Reshape", &["r", "flat"], &["f"]))
        .node(Node::new("MatMul", &["f", "w"], &["m"]))
        .node(Node::new("Softmax", &["m"], &["y"]).with("axis", 1));
    assert_eq!(freed(graph, &[1, 10]), batch(&[10]));
}

#[test]
fn shapes_computed_in_the_graph_are_followed() {
    let graph = graph()
        .integers("zero", &[1], &[0])
        .integers("rest", &[1], &[-1])
        .node(Node::new("Shape", &["x"], &["s"]))
        .node(Node::new("Gather", &["s", "zero"], &["n"]))
        .node(Node::new("Concat", &["n", "rest"], &["t"]).with("axis", 0))
        .node(Node::new("Reshape", &["x", "t"], &["y"]));
    assert_eq!(freed(graph, &[1, 192]), batch(&[192]));
}

#[test]
fn examples_that_are_mixed_are_refused() {
    let mixed = Node::new("ReduceMean", &["x"], &["y"]).with("axes", [0]).with("keepdims", 1);
    refused(graph().node(mixed), &[1, 3, 8, 8], "mixes examples");
    let turned = Node::new("Transpose", &["x"], &["y"]).with("perm", [1, 0, 2, 3]);
    refused(graph().node(turned), &[3, 1, 8, 8], "mixes examples");
    let together = graph().integers("shape", &[2], &[3, -1]).node(Node::new(
        "Reshape",
        &["x", "shape"],
        &["y"],
    ));
    refused(together, &[3, 64], "mixes examples");
}

#[test]
fn operators_that_are_not_known_are_refused() {
    refused(graph().node(Node::new("Custom", &["x"], &["y"])), &[1], "is not known to work");
}

#[test]
fn a_model_with_a_free_batch_stays() {
    let dims = [Dim::Symbol("n".into()), Dim::Fixed(1)];
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &dims)
        .node(Node::new("Relu", &["x"], &["y"]))
        .output("y", DataType::Fp32, &dims)
        .model();
    assert_eq!(free(&model, "batch").unwrap(), None);
}

#[test]
fn products_of_examples_are_followed() {
    let dims = [Dim::Fixed(1), Dim::Fixed(3), Dim::Fixed(4)];
    let model = |equation: &str| {
        GraphBuilder::new("g")
            .input("x", DataType::Fp32, &dims)
            .integers("shape", &[3], &[1, 3, -1])
            .node(Node::new("Reshape", &["x", "shape"], &["r"]).with("allowzero", 1))
            .node(Node::new("Einsum", &["x", "r"], &["y"]).with("equation", equation))
    };
    assert_eq!(freed(model("bij,bkj->bik"), &[1, 3, 3]), batch(&[3, 3]));
    refused(model("bij,akj->bik"), &[1, 3, 3], "mixes examples");
}
