//! What is computed once and for all.

use modelyard_graph::{Constant, ElementType, Node};

use crate::support::{Writer, cleaned, count};

#[test]
fn weights_are_moved_and_not_held_twice() {
    let mut w = Writer::new();
    let x = w.input("x", &[8]);
    let weight = w.floats(&[40, 8]);
    let moved = w.transpose(&weight, &[1, 0]);
    let moved = w.add("Identity", &[&moved]);
    let y = w.add("MatMul", &[&x, &moved]);
    w.output(&y, 2);
    let clean = cleaned(&w.model());
    assert_eq!(clean.graph.nodes.len(), 1);
    assert_eq!(clean.graph.initializers.len(), 1);
}

#[test]
fn large_constants_are_not_made_from_small_ones() {
    let mut w = Writer::new();
    let x = w.input("x", &[400]);
    let one = w.these_floats(&[1, 1], &[0.5]);
    let shape = w.integers(&[300, 400]);
    let large = w.add("Expand", &[&one, &shape]);
    let product = w.add("Mul", &[&large, &large]);
    let moved = w.transpose(&product, &[1, 0]);
    let y = w.add("MatMul", &[&x, &moved]);
    w.output(&y, 2);
    let clean = cleaned(&w.model());
    assert_eq!(count(&clean, "Expand"), 1);
}

#[test]
fn shapes_that_are_fixed_are_stated() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 6]);
    let shape = w.add("Shape", &[&x]);
    let [zero, one, two] = [0, 1, 2].map(|value| w.integers(&[value]));
    let last = w.add("Gather", &[&shape, &two]);
    let first = w.add("Slice", &[&shape, &zero, &one]);
    let half = w.add("Div", &[&last, &two]);
    let target =
        w.node(Node::new("Concat", &[&first, &half, &two, &two, &two], &[]).with("axis", 0));
    let y = w.add("Reshape", &[&x, &target]);
    w.output(&y, 5);
    let clean = cleaned(&w.model());
    let operators: Vec<&str> = clean.graph.nodes.iter().map(|node| &*node.op_type).collect();
    assert_eq!(operators, ["Reshape"]);
    assert_eq!(clean.graph.initializers[0].integers(9), Some(vec![-1, 3, 2, 2, 2]));
}

#[test]
fn arithmetic_of_constants_is_done() {
    let mut w = Writer::new();
    let x = w.input("x", &[3]);
    let (a, b) = (w.floats(&[3]), w.floats(&[2, 1]));
    let sum = w.add("Add", &[&a, &b]);
    let root = w.add("Abs", &[&sum]);
    let root = w.add("Sqrt", &[&root]);
    let less = w.add("Less", &[&root, &a]);
    let chosen = w.add("Where", &[&less, &a, &root]);
    let cast = w.node(Node::new("Cast", &[&chosen], &[]).with("to", 6));
    let back = w.node(Node::new("Cast", &[&cast], &[]).with("to", 1));
    let two = w.integers(&[2]);
    let made = w.node(Node::new("ConstantOfShape", &[&two], &[]));
    let made = w.add("Unsqueeze", &[&made, "one"]);
    let scale = w.add("Add", &[&back, &made]);
    let scale = w.add("ReduceSum", &[&scale]);
    let y = w.add("Mul", &[&x, &scale]);
    w.output(&y, 2);
    let mut model = w.unchecked();
    model.graph.initializers.push(Constant::raw(
        "one",
        ElementType::Int64,
        &[1],
        1i64.to_le_bytes().to_vec(),
    ));
    let clean = cleaned(&model.check().unwrap());
    let operators: Vec<&str> = clean.graph.nodes.iter().map(|node| &*node.op_type).collect();
    assert_eq!(operators, ["ReduceSum", "Mul"]);
}

#[test]
fn the_same_is_computed_once() {
    let mut w = Writer::new();
    let x = w.input("x", &[3]);
    let (a, b) = (w.these_floats(&[1], &[2.0]), w.these_floats(&[1], &[2.0]));
    let one = w.add("Mul", &[&x, &a]);
    let two = w.add("Mul", &[&x, &b]);
    let (one, two) = (w.add("Exp", &[&one]), w.add("Exp", &[&two]));
    let y = w.add("Add", &[&one, &two]);
    w.output(&y, 2);
    let clean = cleaned(&w.model());
    assert_eq!(clean.graph.nodes.len(), 3);
    assert_eq!(clean.graph.initializers.len(), 1);
}

/// An initializer that is an input too is only a default.
#[test]
fn defaults_of_inputs_are_no_constants() {
    let mut w = Writer::new();
    let x = w.input("x", &[3]);
    let zero = w.these_floats(&[1], &[0.0]);
    let y = w.add("Add", &[&x, &zero]);
    w.output(&y, 2);
    let mut model = w.unchecked();
    let value_type = modelyard_graph::ValueType::tensor(
        ElementType::Float32,
        &[modelyard_tensor::Dim::Fixed(1)],
    );
    model.graph.inputs.push(modelyard_graph::Value { name: zero.clone(), value_type });
    let clean = cleaned(&model.check().unwrap());
    assert_eq!(clean.graph.nodes.len(), 1);
    assert_eq!(clean.graph.initializers[0].name, zero);
}
