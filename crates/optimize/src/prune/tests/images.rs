//! Networks of convolutions.

use super::*;

fn pictures() -> [(&'static str, Array); 1] {
    [("x", array(&[2, 3, 8, 8], 77))]
}

/// Global pool, flatten, and the classes.
fn head(mut net: Network, x: &str, channels: usize) -> Model {
    net.op("GlobalAveragePool", &[x], "pool");
    net.op("Flatten", &["pool"], "flat");
    net.gemm("flat", "y", (channels, 5));
    net.giving(&[("y", &batch_of(&[5]))])
}

#[test]
fn residual_stages_lose_the_same_channels_everywhere() {
    let mut net = Network::new("x", &batch_of(&[3, 8, 8]));
    net.block("x", "stem", ([8, 3, 3], 1, 1));
    for (stage, inputs, outputs, stride) in [("s1", 8, 8, 1), ("s2", 8, 12, 2)] {
        let x = if stage == "s1" { "stem".to_owned() } else { "s1.out".to_owned() };
        let name = |part: &str| format!("{stage}.{part}");
        net.block(&x, &name("a"), ([outputs, inputs, 3], stride, 1));
        net.conv(&name("a"), &name("b"), ([outputs, outputs, 3], 1, 1));
        net.batch_norm(&name("b"), &name("b.n"), outputs);
        let skipped = if stride == 1 {
            x
        } else {
            net.conv(&x, &name("down"), ([outputs, inputs, 1], stride, 1));
            net.batch_norm(&name("down"), &name("down.n"), outputs);
            name("down.n")
        };
        net.op("Add", &[&name("b.n"), &skipped], &name("sum"));
        net.op("Relu", &[&name("sum")], &name("out"));
    }
    let model = head(net, "s2.out", 12);
    let expected = Expected {
        pruned: &[("stem.conv.w", 8), ("s1.a.conv.w", 8), ("s2.a.conv.w", 12), ("s2.down.w", 12)],
        refused: &[("y.w", "output 'y'")],
    };
    check(&model, &pictures(), &expected);
    // What is added up is one group.
    let pruned = structured(&ready(&model).unwrap(), &Options::default()).unwrap();
    let stem = pruned
        .report
        .groups
        .iter()
        .find(|group| group.weights.iter().any(|name| name == "stem.conv.w"));
    assert_eq!(stem.unwrap().weights, ["s1.b.w", "stem.conv.w"]);
}

#[test]
fn inverted_bottlenecks_are_narrowed_with_their_depthwise_convolutions() {
    let mut net = Network::new("x", &batch_of(&[3, 8, 8]));
    net.block("x", "stem", ([4, 3, 3], 2, 1));
    net.add(Constant::floats("zero", &[], &[0.0]));
    net.add(Constant::floats("six", &[], &[6.0]));
    for (name, x, stride) in [("m1", "stem", 1), ("m2", "m1", 1)] {
        let part = |part: &str| format!("{name}.{part}");
        net.block(x, &part("wide"), ([12, 4, 1], 1, 1));
        net.conv(&part("wide"), &part("deep"), ([12, 1, 3], stride, 12));
        net.batch_norm(&part("deep"), &part("deep.n"), 12);
        net.op("Clip", &[&part("deep.n"), "zero", "six"], &part("six"));
        net.conv(&part("six"), &part("narrow"), ([4, 12, 1], 1, 1));
        net.op("Add", &[&part("narrow"), x], name);
    }
    let expected = Expected {
        pruned: &[("stem.conv.w", 4), ("m1.deep.w", 12), ("m2.wide.conv.w", 12)],
        refused: &[],
    };
    let model = head(net, "m2", 4);
    check(&model, &pictures(), &expected);
    let pruned = structured(&ready(&model).unwrap(), &Options::default()).unwrap().model;
    let deep = pruned.graph.nodes.iter().find(|node| node.output(0) == Some("m1.deep")).unwrap();
    assert_eq!(deep.int("group"), Some(6));
}

#[test]
fn what_is_concatenated_is_cut_where_it_lies() {
    let mut net = Network::new("x", &batch_of(&[3, 8, 8]));
    net.block("x", "d0", ([6, 3, 3], 1, 1));
    net.block("d0", "d1", ([4, 6, 3], 1, 1));
    net.node(Node::new("Concat", &["d0", "d1"], &["c1"]).with("axis", 1i64));
    net.batch_norm("c1", "n1", 10);
    net.op("Relu", &["n1"], "r1");
    net.block("r1", "d2", ([4, 10, 3], 1, 1));
    net.node(Node::new("Concat", &["d2", "c1"], &["c2"]).with("axis", 1i64));
    net.conv("c2", "last", ([6, 14, 1], 1, 1));
    net.node(
        Node::new("AveragePool", &["last"], &["p"])
            .with("kernel_shape", [2i64, 2])
            .with("strides", [2i64, 2]),
    );
    net.op("Flatten", &["p"], "flat");
    net.gemm("flat", "y", (6 * 16, 5));
    let expected = Expected {
        pruned: &[("d0.conv.w", 6), ("d1.conv.w", 4), ("d2.conv.w", 4), ("last.w", 6)],
        refused: &[("y.w", "output")],
    };
    check(&net.giving(&[("y", &batch_of(&[5]))]), &pictures(), &expected);
}

#[test]
fn a_u_net_is_narrowed_on_both_sides() {
    for by_sizes in [false, true] {
        let mut net = Network::new("x", &batch_of(&[3, 8, 8]));
        net.conv("x", "e1.c", ([6, 3, 3], 1, 1));
        // A sigmoid of zero is not zero: what a removed channel gives must not count either.
        net.op("Sigmoid", &["e1.c"], "e1");
        net.node(
            Node::new("MaxPool", &["e1"], &["p1"])
                .with("kernel_shape", [2i64, 2])
                .with("strides", [2i64, 2]),
        );
        net.block("p1", "mid", ([8, 6, 3], 1, 1));
        if by_sizes {
            // Of a fixed batch: the sizes state the channels too.
            net.integers("sizes", &[2, 8, 8, 8]);
            let node = Node::new("Resize", &["mid", "", "", "sizes"], &["up"]);
            net.node(node.with("mode", "nearest"));
        } else {
            net.add(Constant::floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]));
            net.node(Node::new("Resize", &["mid", "", "scales"], &["up"]).with("mode", "nearest"));
        }
        net.node(Node::new("Concat", &["up", "e1"], &["joined"]).with("axis", 1i64));
        net.block("joined", "d1", ([6, 14, 3], 1, 1));
        net.weight("up2.w", &[6, 4, 2, 2]);
        net.node(Node::new("ConvTranspose", &["d1", "up2.w"], &["up2"]).with("strides", [2i64, 2]));
        net.weight("slope", &[4, 1, 1]);
        net.op("PRelu", &["up2", "slope"], "up2.r");
        net.conv("up2.r", "y", ([2, 4, 1], 1, 1));
        let expected = Expected {
            pruned: &[("e1.c.w", 6), ("mid.conv.w", 8), ("d1.conv.w", 6), ("up2.w", 4)],
            refused: &[("y.w", "output")],
        };
        let mut model = net.giving(&[("y", &batch_of(&[2, 16, 16]))]);
        if by_sizes {
            model.graph.inputs[0].value_type =
                modelyard_graph::ValueType::tensor(DataType::Fp32, &[2, 3, 8, 8].map(Dim::Fixed));
            model = model.check().unwrap();
        }
        check(&model, &pictures(), &expected);
    }
}

#[test]
fn groups_of_convolutions_and_normalizations_keep_their_form() {
    let mut net = Network::new("x", &batch_of(&[3, 8, 8]));
    // Few large groups lose the same places in each, many small ones go whole.
    net.block("x", "a", ([8, 3, 3], 1, 1));
    net.block("a", "few", ([8, 4, 3], 1, 2));
    net.block("few", "b", ([16, 8, 1], 1, 1));
    net.block("b", "many", ([16, 2, 3], 1, 8));
    net.conv("many", "c", ([12, 16, 1], 1, 1));
    net.positive("gn.scale", 12);
    net.weight("gn.bias", &[12]);
    // As PyTorch exports a group normalization.
    net.integers("folded", &[0, 4, -1]);
    net.add(Constant::floats("ones", &[4], &[1.0; 4]));
    net.add(Constant::floats("zeros", &[4], &[0.0; 4]));
    net.op("Reshape", &["c", "folded"], "c.folded");
    net.op("InstanceNormalization", &["c.folded", "ones", "zeros"], "c.normed");
    net.integers("unfolded", &[-1, 12, 8, 8]);
    net.op("Reshape", &["c.normed", "unfolded"], "c.back");
    net.integers("axes", &[1, 2]);
    net.op("Unsqueeze", &["gn.scale", "axes"], "scale");
    net.op("Unsqueeze", &["gn.bias", "axes"], "bias");
    net.op("Mul", &["c.back", "scale"], "c.scaled");
    net.op("Add", &["c.scaled", "bias"], "c.out");
    net.op("Elu", &["c.out"], "c.elu");
    let expected = Expected {
        pruned: &[("a.conv.w", 8), ("few.conv.w", 8), ("b.conv.w", 16), ("c.w", 12)],
        refused: &[],
    };
    let model = head(net, "c.elu", 12);
    check(&model, &pictures(), &expected);
    let options = Options { multiple: Some(1), ..Options::default() };
    let pruned = structured(&ready(&model).unwrap(), &options).unwrap().model;
    let group = |name: &str| {
        let node = pruned.graph.nodes.iter().find(|node| node.output(0) == Some(name));
        node.unwrap().int("group").unwrap()
    };
    assert_eq!((group("few.conv"), group("many.conv")), (2, 4));
}

#[test]
fn splits_slices_and_gates_are_followed() {
    let mut net = Network::new("x", &batch_of(&[3, 8, 8]));
    net.conv("x", "a", ([12, 3, 3], 1, 1));
    net.node(Node::new("Split", &["a"], &["left", "right"]).with("axis", 1i64));
    net.op("Sigmoid", &["right"], "gate");
    net.op("Mul", &["left", "gate"], "glu");
    // Squeeze and excite.
    net.op("GlobalAveragePool", &["glu"], "se.p");
    net.conv("se.p", "se.a", ([4, 6, 1], 1, 1));
    net.op("Relu", &["se.a"], "se.r");
    net.conv("se.r", "se.b", ([6, 4, 1], 1, 1));
    net.op("HardSigmoid", &["se.b"], "se.g");
    net.op("Mul", &["glu", "se.g"], "se");
    // One half goes on as it is.
    for (name, values) in [("zero", [0i64]), ("two", [2]), ("all", [i64::MAX]), ("one", [1])] {
        net.integers(name, &values);
    }
    net.op("Slice", &["se", "zero", "two", "one"], "first");
    net.op("Slice", &["se", "two", "all", "one"], "rest");
    net.conv("rest", "r", ([4, 4, 3], 1, 1));
    net.node(Node::new("Concat", &["first", "r"], &["joined"]).with("axis", 1i64));
    let expected = Expected {
        pruned: &[("a.w", 12), ("se.a.w", 4), ("r.w", 4)],
        refused: &[("y.w", "output")],
    };
    check(&head(net, "joined", 6), &pictures(), &expected);
}
