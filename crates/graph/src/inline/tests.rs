use std::collections::{BTreeMap, HashSet};

use modelyard_tensor::{DataType, Dim};

use super::*;
use crate::{GraphBuilder, Value, ValueType};

fn function(name: &str, inputs: &[&str], outputs: &[&str], nodes: Vec<Node>) -> Function {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Function {
        name: name.into(),
        domain: "own".into(),
        inputs: owned(inputs),
        outputs: owned(outputs),
        nodes,
        opsets: BTreeMap::from([(String::new(), 17), ("own".into(), 1)]),
        ..Function::default()
    }
}

fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> Node {
    Node::new(name, inputs, outputs).in_domain("own")
}

/// A model of `[2,3]` floats `x` and `y` with these nodes and functions.
fn model(nodes: Vec<Node>, functions: Vec<Function>) -> Model {
    let dims = [Dim::Fixed(2), Dim::Fixed(3)];
    let mut graph =
        GraphBuilder::new("g").input("x", DataType::Fp32, &dims).output("y", DataType::Fp32, &dims);
    for node in nodes {
        graph = graph.node(node);
    }
    let mut model = graph.model().with_opset("own", 1);
    for function in functions {
        model = model.with_function(function);
    }
    model
}

#[track_caller]
fn inlined(nodes: Vec<Node>, functions: Vec<Function>) -> Model {
    let model = inline(model(nodes, functions).check().unwrap()).unwrap();
    assert!(model.functions.is_empty() && model.opset("own").is_none());
    model.check().unwrap()
}

fn operators(model: &Model) -> Vec<String> {
    model.graph.nodes.iter().map(Node::operator).collect()
}

#[test]
fn calls_in_calls_are_put_in_with_names_of_their_own() {
    let twice = vec![Node::new("Relu", &["a"], &["t"]), Node::new("Abs", &["t"], &["b"])];
    let outer = vec![call("Inner", &["a"], &["t"]), call("Inner", &["t"], &["b"])];
    let functions =
        vec![function("Inner", &["a"], &["b"], twice), function("Outer", &["a"], &["b"], outer)];
    let nodes = vec![call("Outer", &["x"], &["m"]), call("Outer", &["m"], &["y"])];
    let model = inlined(nodes, functions);
    assert_eq!(operators(&model), ["Relu", "Abs"].repeat(4));
}

#[test]
fn attributes_come_from_the_call_or_the_default_or_not_at_all() {
    let reference = |name: &str| AttributeValue::Reference { name: name.into(), kind: 1 };
    let body = vec![
        Node::new("Selu", &["a"], &["b"])
            .with("alpha", reference("given"))
            .with("gamma", reference("default"))
            .with("other", reference("absent")),
    ];
    let mut inner = function("Inner", &["a"], &["b"], body);
    inner.attributes = vec!["given".into(), "absent".into()];
    inner.defaults = vec![Attribute { name: "default".into(), value: 3.0f32.into() }];
    // A reference that is passed on through another function.
    let middle = vec![call("Inner", &["a"], &["b"]).with("given", reference("outer"))];
    let mut middle = function("Middle", &["a"], &["b"], middle);
    middle.attributes = vec!["outer".into()];
    let nodes = vec![call("Middle", &["x"], &["y"]).with("outer", 2.0f32)];
    let model = inlined(nodes, vec![inner, middle]);
    let [selu] = model.graph.nodes.as_slice() else { panic!("{:?}", operators(&model)) };
    assert_eq!((selu.float("alpha"), selu.float("gamma")), (Some(2.0), Some(3.0)));
    assert_eq!(selu.attributes.len(), 2);
}

#[test]
fn optional_inputs_and_outputs_may_be_left_out() {
    let body = vec![
        Node::new("Clip", &["a", "low", "high"], &["b"]),
        Node::new("Abs", &["b"], &["unused"]),
    ];
    let functions = vec![function("F", &["a", "low", "high"], &["b", "unused"], body)];
    let model = inlined(vec![call("F", &["x"], &["y"])], functions);
    assert_eq!(model.graph.nodes[0].inputs, ["x", "", ""]);
    assert_eq!(model.graph.nodes[0].outputs, ["y"]);
}

#[test]
fn an_input_that_is_passed_on_is_copied() {
    let body = vec![Node::new("Abs", &["a"], &["b"])];
    let functions = vec![function("F", &["a"], &["a", "b", "b"], body)];
    let nodes =
        vec![call("F", &["x"], &["p", "q", "r"]), Node::new("Sum", &["p", "q", "r"], &["y"])];
    let model = inlined(nodes, functions);
    assert_eq!(operators(&model), ["Abs", "Identity", "Identity", "Sum"]);
}

#[test]
fn graphs_inside_functions_keep_what_they_see() {
    let branch = |name: &str, operator: &str| Graph {
        name: name.into(),
        initializers: vec![crate::Constant::floats("c", &[], &[1.0])],
        nodes: vec![Node::new("Add", &["a", "c"], &["t"]), Node::new(operator, &["t"], &["r"])],
        outputs: vec![Value { name: "r".into(), value_type: ValueType::Unknown }],
        ..Graph::default()
    };
    let body = vec![
        Node::new("ReduceMax", &["a"], &["m"]).with("keepdims", 0),
        Node::new("Cast", &["m"], &["t"]).with("to", 9),
        Node::new("If", &["t"], &["b"])
            .with("then_branch", branch("then", "Abs"))
            .with("else_branch", branch("else", "Neg")),
    ];
    let functions = vec![function("F", &["a"], &["b"], body)];
    let nodes = vec![call("F", &["x"], &["m"]), call("F", &["m"], &["y"])];
    let model = inlined(nodes, functions);
    let branches: Vec<&Graph> =
        model.graph.nodes.iter().filter(|node| node.is("If")).flat_map(Node::subgraphs).collect();
    let names: HashSet<&str> =
        branches.iter().flat_map(|graph| &graph.nodes).map(|node| &*node.outputs[0]).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    assert_eq!(branches[0].nodes[0].inputs[0], "x");
    assert_eq!(branches[2].nodes[0].inputs[0], "m");
}

#[test]
fn functions_in_graphs_inside_nodes_are_found() {
    let functions = vec![function("F", &["a"], &["b"], vec![Node::new("Abs", &["a"], &["b"])])];
    let branch = |name: &str| Graph {
        name: name.into(),
        nodes: vec![call("F", &["x"], &[name])],
        outputs: vec![Value { name: name.into(), value_type: ValueType::Unknown }],
        ..Graph::default()
    };
    let nodes = vec![
        Node::new("ReduceMax", &["x"], &["m"]).with("keepdims", 0),
        Node::new("Cast", &["m"], &["c"]).with("to", 9),
        Node::new("If", &["c"], &["y"])
            .with("then_branch", branch("one"))
            .with("else_branch", branch("two")),
    ];
    let model = inlined(nodes, functions);
    assert!(model.nodes().all(|node| node.domain.is_empty()));
}

#[test]
fn overloads_are_told_apart() {
    let mut first = function("F", &["a"], &["b"], vec![Node::new("Abs", &["a"], &["b"])]);
    first.overload = "one".into();
    let mut second = function("F", &["a"], &["b"], vec![Node::new("Neg", &["a"], &["b"])]);
    second.overload = "two".into();
    let mut node = call("F", &["x"], &["y"]);
    node.overload = "two".into();
    let model = inlined(vec![node], vec![first, second]);
    assert_eq!(operators(&model), ["Neg"]);
}

#[test]
fn operators_of_another_version_are_refused() {
    let body = vec![
        Node::new("Softmax", &["a"], &["t"]),
        Node::new("Relu", &["t"], &["u"]),
        Node::new("Abs", &["u"], &["b"]),
    ];
    let mut old = function("F", &["a"], &["b"], body);
    old.opsets.insert(String::new(), 12);
    let model = model(vec![call("F", &["x"], &["y"])], vec![old]);
    let error = inline(model).unwrap_err();
    let operators: Vec<&str> = error.obstacles.iter().map(|found| &*found.operator).collect();
    assert_eq!(operators, ["Softmax", "Relu", "Abs"], "{error}");
}

#[test]
fn calls_that_explode_are_refused() {
    let mut functions =
        vec![function("F0", &["a"], &["b"], vec![Node::new("Abs", &["a"], &["b"])])];
    for level in 1..40 {
        let below = format!("F{}", level - 1);
        let body = vec![call(&below, &["a"], &["t"]), call(&below, &["t"], &["b"])];
        functions.push(function(&format!("F{level}"), &["a"], &["b"], body));
    }
    let error = inline(model(vec![call("F39", &["x"], &["y"])], functions)).unwrap_err();
    assert!(error.to_string().contains("more than 1048576 nodes"), "{error}");
}
