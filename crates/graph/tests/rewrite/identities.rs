//! Nodes that give what they take, and names of outputs.

use modelyard_graph::{GraphBuilder, Node};
use modelyard_tensor::{DataType, Dim};

use crate::support::{Writer, cleaned, count};

#[test]
fn an_identity_gives_its_name_to_the_node_before() {
    let mut w = Writer::new();
    let x = w.input("x", &[4]);
    let y = w.add("Relu", &[&x]);
    let y = w.add("Identity", &[&y]);
    w.output(&y, 2);
    let clean = cleaned(&w.model());
    assert_eq!(clean.graph.nodes.len(), 1);
    assert_eq!(clean.graph.nodes[0].outputs, [y]);
}

#[test]
fn an_output_that_is_an_input_or_another_output_needs_an_identity() {
    let mut w = Writer::new();
    let x = w.input("x", &[4]);
    let a = w.add("Identity", &[&x]);
    let b = w.add("Relu", &[&x]);
    let c = w.add("Identity", &[&b]);
    let d = w.add("Exp", &[&b]);
    for output in [&a, &b, &c, &d] {
        w.output(output, 2);
    }
    let clean = cleaned(&w.model());
    assert_eq!(count(&clean, "Identity"), 2);
}

#[test]
fn what_does_nothing_goes() {
    let mut w = Writer::new();
    let input = w.input("x", &[4, 3]);
    let (zero, one) = (w.these_floats(&[], &[0.0]), w.these_floats(&[1], &[1.0]));
    let mut x = w.add("Add", &[&input, &zero]);
    x = w.add("Mul", &[&one, &x]);
    x = w.add("Dropout", &[&x]);
    x = w.node(Node::new("Cast", &[&x], &[]).with("to", 1));
    let pads = w.integers(&[0; 6]);
    x = w.add("Pad", &[&x, &pads]);
    x = w.node(Node::new("Concat", &[&x], &[]).with("axis", 1));
    let [zero, end, axis] = [0, i64::MAX, 1].map(|value| w.integers(&[value]));
    x = w.add("Slice", &[&x, &zero, &end, &axis]);
    x = w.reshape(&x, &[-1, 4, 3]);
    x = w.add("Unsqueeze", &[&x, &axis]);
    x = w.add("Squeeze", &[&x, &axis]);
    x = w.transpose(&x, &[0, 1, 2]);
    x = w.add("Exp", &[&x]);
    w.output(&x, 3);
    let clean = cleaned(&w.model());
    assert_eq!(clean.graph.nodes.len(), 1, "{:?}", clean.graph.nodes);
    assert!(clean.graph.initializers.is_empty());
}

#[test]
fn a_constant_that_stretches_stays() {
    let mut w = Writer::new();
    let x = w.input("x", &[4]);
    let zeros = w.these_floats(&[1, 1, 1], &[0.0]);
    let y = w.add("Add", &[&x, &zeros]);
    w.output(&y, 3);
    assert_eq!(count(&cleaned(&w.model()), "Add"), 1);
}

/// A slice that takes all of the sizes tried need not take all of others.
#[test]
fn a_slice_of_what_is_open_stays() {
    for (start, end, axis) in [(0, 10, 0), (0, 1 << 20, 0), (-1000, i64::MAX, 0)] {
        let model = GraphBuilder::new("g")
            .input("x", DataType::Fp32, &[Dim::Symbol("n".into()), Dim::Fixed(2)])
            .integers("start", &[1], &[start])
            .integers("end", &[1], &[end])
            .integers("axis", &[1], &[axis])
            .node(Node::new("Slice", &["x", "start", "end", "axis"], &["s"]))
            .node(Node::new("Relu", &["s"], &["y"]))
            .output("y", DataType::Fp32, &[Dim::Free, Dim::Fixed(2)])
            .model();
        assert_eq!(count(&cleaned(&model.check().unwrap()), "Slice"), 1);
    }
}

#[test]
fn names_of_nodes_are_different() {
    let mut w = Writer::new();
    let x = w.input("x", &[4]);
    let y = w.add("Relu", &[&x]);
    let z = w.add("Exp", &[&y]);
    w.output(&z, 2);
    let mut model = w.model();
    model.graph.nodes[0].name = "same".into();
    model.graph.nodes[1].name = "same".into();
    let clean = cleaned(&model);
    assert_ne!(clean.graph.nodes[0].name, clean.graph.nodes[1].name);
}
