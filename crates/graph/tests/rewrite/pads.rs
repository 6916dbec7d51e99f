//! Padding in convolutions and pools.

use modelyard_graph::Node;

use crate::support::{Writer, cleaned, count};

fn pads_left(filler: Option<f32>, node: impl FnOnce(&mut Writer, &str) -> Node) -> usize {
    let mut w = Writer::new();
    let x = w.input("x", &[2, 6, 5]);
    let pads = w.integers(&[0, 0, 1, 0, 0, 0, 1, 1]);
    let x = match filler {
        Some(value) => {
            let value = w.these_floats(&[], &[value]);
            w.add("Pad", &[&x, &pads, &value])
        }
        None => w.add("Pad", &[&x, &pads]),
    };
    let node = node(&mut w, &x);
    let y = w.node(node);
    w.output(&y, 4);
    count(&cleaned(&w.model()), "Pad")
}

fn pool(op_type: &'static str) -> impl FnOnce(&mut Writer, &str) -> Node {
    move |_, x| Node::new(op_type, &[x], &[]).with("kernel_shape", [2, 2])
}

#[test]
fn zeros_go_into_convolutions() {
    let conv = |w: &mut Writer, x: &str| {
        let weight = w.floats(&[3, 2, 2, 2]);
        Node::new("Conv", &[x, &weight], &[]).with("pads", [1, 0, 0, 0])
    };
    assert_eq!(pads_left(None, conv), 0);
    let conv = |w: &mut Writer, x: &str| {
        let weight = w.floats(&[3, 2, 2, 2]);
        Node::new("Conv", &[x, &weight], &[]).with("auto_pad", "VALID")
    };
    assert_eq!(pads_left(Some(0.0), conv), 0);
    let conv = |w: &mut Writer, x: &str| {
        let weight = w.floats(&[3, 2, 2, 2]);
        Node::new("Conv", &[x, &weight], &[])
    };
    assert_eq!(pads_left(Some(0.5), conv), 1);
}

#[test]
fn zeros_count_in_averages() {
    assert_eq!(pads_left(None, pool("AveragePool")), 0);
    let own = |_: &mut Writer, x: &str| {
        Node::new("AveragePool", &[x], &[]).with("kernel_shape", [3, 3]).with("pads", [1, 1, 1, 1])
    };
    assert_eq!(pads_left(None, own), 1);
}

#[test]
fn only_the_least_is_nothing_to_a_maximum() {
    assert_eq!(pads_left(None, pool("MaxPool")), 1);
    assert_eq!(pads_left(Some(f32::NEG_INFINITY), pool("MaxPool")), 0);
    assert_eq!(pads_left(Some(f32::MIN), pool("MaxPool")), 0);
}

#[test]
fn zeros_are_nothing_to_a_maximum_of_what_is_never_less() {
    let mut w = Writer::new();
    let x = w.input("x", &[2, 6, 5]);
    let (low, high) = (w.these_floats(&[], &[0.0]), w.these_floats(&[], &[6.0]));
    let clipped = w.add("Clip", &[&x, &low, &high]);
    let pads = w.integers(&[0, 0, 1, 0, 0, 0, 1, 1]);
    let mut y = w.add("Pad", &[&clipped, &pads]);
    y = w.node(Node::new("MaxPool", &[&y], &[]).with("kernel_shape", [3, 2]));
    w.output(&y, 4);
    assert_eq!(count(&cleaned(&w.model()), "Pad"), 0);
}
