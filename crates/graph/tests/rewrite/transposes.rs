//! Transposes that are left in networks whose source has channels last.

use modelyard_graph::{Model, Node};
use modelyard_tensor::{DataType, Dim};

use crate::support::{Writer, cleaned, count};

/// Cleans a model and wants this many transposes left.
#[track_caller]
fn leaves(model: &Model, transposes: usize) -> Model {
    let clean = cleaned(model);
    let left: Vec<String> = clean
        .graph
        .nodes
        .iter()
        .map(|node| format!("{} {:?} -> {:?}", node.op_type, node.inputs, node.outputs))
        .collect();
    assert_eq!(count(&clean, "Transpose"), transposes, "{}", left.join("\n"));
    clean
}

#[test]
fn mobile_net() {
    let mut w = Writer::new();
    let x = w.input("x", &[8, 8, 3]);
    let mut x = w.conv(&x, [3, 4], 3);
    for _ in 0..2 {
        x = w.batch_norm(&x, 4);
        let (low, high) = (w.these_floats(&[], &[0.0]), w.these_floats(&[], &[6.0]));
        x = w.add("Clip", &[&x, &low, &high]);
        x = w.depthwise(&x, 4, 1);
        x = w.batch_norm(&x, 4);
        x = w.add("Relu", &[&x]);
        x = w.conv(&x, [4, 4], 1);
    }
    let x = w.mean(&x, false);
    let x = w.dense(&x, [4, 3]);
    let x = w.add("Softmax", &[&x]);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}

#[test]
fn res_net() {
    let mut w = Writer::new();
    let x = w.input("x", &[8, 8, 3]);
    let mut x = w.conv(&x, [3, 4], 3);
    for _ in 0..3 {
        let mut y = w.conv(&x, [4, 4], 3);
        y = w.batch_norm(&y, 4);
        y = w.add("Relu", &[&y]);
        y = w.conv(&y, [4, 4], 3);
        y = w.batch_norm(&y, 4);
        let sum = w.add("Add", &[&x, &y]);
        x = w.add("Relu", &[&sum]);
    }
    let x = w.pool(&x, "MaxPool");
    let x = w.mean(&x, false);
    let x = w.dense(&x, [4, 3]);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}

#[test]
fn squeeze_and_excite() {
    let mut w = Writer::new();
    let x = w.input("x", &[8, 8, 3]);
    let mut x = w.conv(&x, [3, 4], 3);
    for keeps in [true, false] {
        let gate = w.add("Sigmoid", &[&x]);
        x = w.add("Mul", &[&x, &gate]);
        let mut s = w.mean(&x, keeps);
        if !keeps {
            s = w.reshape(&s, &[-1, 1, 1, 4]);
        }
        s = w.conv(&s, [4, 2], 1);
        s = w.add("Relu", &[&s]);
        s = w.conv(&s, [2, 4], 1);
        s = w.add("Sigmoid", &[&s]);
        x = w.add("Mul", &[&x, &s]);
        x = w.conv(&x, [4, 4], 1);
    }
    let x = w.mean(&x, false);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}

#[test]
fn u_net() {
    let mut w = Writer::new();
    let x = w.input("x", &[8, 8, 3]);
    let a = w.conv(&x, [3, 4], 3);
    let a = w.add("Relu", &[&a]);
    let b = w.pool(&a, "MaxPool");
    let b = w.conv(&b, [4, 6], 3);
    let b = w.add("Elu", &[&b]);
    let up = w.first(&b, |w, x| {
        let scales = w.these_floats(&[4], &[1.0, 1.0, 2.0, 2.0]);
        Node::new("Resize", &[x, "", &scales], &[])
            .with("mode", "nearest")
            .with("coordinate_transformation_mode", "asymmetric")
            .with("nearest_mode", "floor")
    });
    let c = w.node(Node::new("Concat", &[&a, &up], &[]).with("axis", -1));
    let c = w.conv(&c, [10, 4], 3);
    let pads = w.integers(&[0, 1, 1, 0, 0, 1, 1, 0]);
    let c = w.add("Pad", &[&c, &pads]);
    let slope = w.floats(&[1, 1, 4]);
    let c = w.add("PRelu", &[&c, &slope]);
    let c = w.conv(&c, [4, 2], 1);
    let y = w.node(Node::new("Softmax", &[&c], &[]).with("axis", -1));
    w.output(&y, 4);
    leaves(&w.model(), 2);
}

#[test]
fn flatten_before_dense_moves_the_rows_of_the_weights() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 6, 3]);
    let x = w.conv(&x, [3, 4], 3);
    let x = w.pool(&x, "AveragePool");
    let x = w.reshape(&x, &[-1, 24]);
    let x = w.add("Relu", &[&x]);
    let x = w.dense(&x, [24, 5]);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}

#[test]
fn what_is_between_flatten_and_dense_follows() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 6, 3]);
    let x = w.conv(&x, [3, 4], 3);
    let x = w.reshape(&x, &[-1, 96]);
    let (zeros, ones) = (w.these_floats(&[96], &[0.0; 96]), w.floats(&[96]));
    let variance: Vec<f32> = (0..96).map(|index| 1.0 + index as f32).collect();
    let variance = w.these_floats(&[96], &variance);
    let x = w.add("BatchNormalization", &[&x, &ones, &zeros, &zeros, &variance]);
    let (row, half) = (w.floats(&[1, 96]), w.floats(&[1]));
    let x = w.add("Sub", &[&row, &x]);
    let x = w.add("Mul", &[&x, &half]);
    let x = w.dense(&x, [96, 5]);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}

#[test]
fn constants_of_any_rank_follow() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 6, 3]);
    let x = w.conv(&x, [3, 5], 3);
    let (a, b, c) = (w.floats(&[5]), w.floats(&[6, 1]), w.floats(&[1, 4, 1, 5]));
    let x = w.add("Mul", &[&x, &a]);
    let x = w.add("Add", &[&b, &x]);
    let x = w.add("Sub", &[&x, &c]);
    let x = w.conv(&x, [5, 2], 1);
    let x = w.mean(&x, false);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}

#[test]
fn outputs_in_both_orders_need_one_transpose() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 6, 3]);
    let a = w.conv(&x, [3, 5], 3);
    let a = w.add("Relu", &[&a]);
    let b = w.conv(&a, [5, 2], 1);
    w.output(&a, 4);
    w.output(&b, 4);
    let clean = leaves(&w.model(), 3);
    assert_eq!(count(&clean, "Identity"), 0);
}

#[test]
fn transposes_that_nothing_cancels_stay_and_are_merged() {
    let mut w = Writer::new();
    let x = w.input("x", &[4, 6, 3]);
    let a = w.transpose(&x, &[0, 2, 1, 3]);
    let b = w.transpose(&a, &[0, 3, 1, 2]);
    let c = w.transpose(&x, &[0, 2, 1, 3]);
    let y = w.add("Relu", &[&b]);
    let z = w.add("Exp", &[&c]);
    w.output(&y, 4);
    w.output(&z, 4);
    leaves(&w.model(), 2);
}

/// The sizes that stand for what is open must be enough for large windows.
#[test]
fn sounds_of_any_length() {
    let model = modelyard_graph::GraphBuilder::new("g")
        .input("x", DataType::Fp32, &[Dim::Symbol("batch".into()), Dim::Symbol("time".into())])
        .integers("split", &[4], &[0, 1, 1, -1])
        .integers("one", &[1], &[1])
        .floats("w", &[3, 1, 1, 8], &[0.5; 24])
        .node(Node::new("Reshape", &["x", "split"], &["a"]))
        .node(Node::new("Conv", &["a", "w"], &["b"]).with("pads", [0, 512, 0, 512]))
        .node(Node::new("Transpose", &["b"], &["c"]).with("perm", [0, 2, 3, 1]))
        .node(Node::new("Squeeze", &["c", "one"], &["d"]))
        .node(Node::new("Transpose", &["d"], &["e"]).with("perm", [0, 2, 1]))
        .node(Node::new("Unsqueeze", &["e", "one"], &["f"]))
        .node(Node::new("Transpose", &["f"], &["g"]).with("perm", [0, 1, 3, 2]))
        .node(Node::new("Mul", &["g", "g"], &["y"]))
        .output("y", DataType::Fp32, &[Dim::Free, Dim::Fixed(1), Dim::Free, Dim::Fixed(3)])
        .model();
    leaves(&model.with_opset("", 13).check().unwrap(), 1);
}

#[test]
fn quantized_networks() {
    let mut w = Writer::new();
    let x = w.input("x", &[6, 6, 3]);
    let (scale, zero) = (w.these_floats(&[], &[0.02]), w.bytes(&[], &[3]));
    let quantized = |w: &mut Writer, x: &str| {
        let x = w.add("QuantizeLinear", &[x, &scale, &zero]);
        w.add("DequantizeLinear", &[&x, &scale, &zero])
    };
    let mut x = quantized(&mut w, &x);
    for channels in [[3, 4], [4, 4]] {
        let weight = w.bytes(&[channels[1], channels[0], 1, 1], &[1, 2, 5, 7]);
        let scales = w.these_floats(&[4], &[0.1, 0.2, 0.3, 0.4]);
        let zeros = w.bytes(&[4], &[1]);
        let node = Node::new("DequantizeLinear", &[&weight, &scales, &zeros], &[]).with("axis", 0);
        let weight = w.node(node);
        x = w.first(&x, |_, x| Node::new("Conv", &[x, &weight], &[]));
        x = w.add("Relu", &[&x]);
        x = quantized(&mut w, &x);
    }
    // By channel: the axis moves.
    let (scales, zeros) = (w.these_floats(&[4], &[0.1, 0.2, 0.3, 0.4]), w.bytes(&[4], &[1]));
    let node = Node::new("QuantizeLinear", &[&x, &scales, &zeros], &[]).with("axis", 3);
    x = w.node(node);
    let node = Node::new("DequantizeLinear", &[&x, &scales, &zeros], &[]).with("axis", -1);
    x = w.node(node);
    x = w.first(&x, |_, x| {
        Node::new("AveragePool", &[x], &[]).with("kernel_shape", [2, 2]).with("strides", [2, 2])
    });
    x = w.reshape(&x, &[-1, 36]);
    x = quantized(&mut w, &x);
    let weight = w.bytes(&[36, 2], &[3, 1, 4, 1, 5]);
    let node = Node::new("DequantizeLinear", &[&weight, &scale, &zero], &[]);
    let weight = w.node(node);
    x = w.add("MatMul", &[&x, &weight]);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}

#[test]
fn arg_max_and_sizes_over_the_channels() {
    let mut w = Writer::new();
    let x = w.input("x", &[6, 4, 3]);
    let x = w.conv(&x, [3, 5], 3);
    let best = w.node(Node::new("ArgMax", &[&x], &[]).with("axis", -1).with("keepdims", 0));
    let best = w.node(Node::new("Cast", &[&best], &[]).with("to", 1));
    let shape = w.add("Shape", &[&x]);
    let shape = w.node(Node::new("Cast", &[&shape], &[]).with("to", 1));
    w.output(&best, 3);
    w.output(&shape, 1);
    leaves(&w.model(), 1);
}

#[test]
fn first_of_a_sequence_and_its_mask() {
    let mut w = Writer::new();
    let x = w.input("x", &[6, 4, 3]);
    let x = w.conv(&x, [3, 5], 3);
    let zero = w.floats(&[1]);
    let is_large = w.add("Greater", &[&x, &zero]);
    let x = w.add("Where", &[&is_large, &x, &zero]);
    let repeats = w.integers(&[1, 2, 1, 1]);
    let x = w.add("Tile", &[&x, &repeats]);
    let index = w.integers(&[2]);
    let x = w.node(Node::new("Gather", &[&x, &index], &[]).with("axis", 2));
    let x = w.conv(&x, [5, 2], 1);
    let x = w.mean(&x, false);
    w.output(&x, 2);
    leaves(&w.model(), 1);
}
