//! Networks of products: transformers, perceptrons.

use super::*;

const HIDDEN: usize = 12;
const HEADS: usize = 4;

/// How queries, keys and values are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Packing {
    /// Each by a product of its own, as Hugging Face's BERT.
    Apart,
    /// By one product that is split, as GPT-2.
    Split,
    /// By one product whose shape has three of them, as vision transformers of timm.
    Stacked,
    /// By einsum from tables of heads, as Keras.
    Einsum,
}

fn sequence(sizes: &[usize]) -> Vec<Dim> {
    let symbols = ["n", "s"].map(|name| Dim::Symbol(name.into()));
    symbols.into_iter().chain(sizes.iter().map(|&size| Dim::Fixed(size))).collect()
}

/// A product with a bias.
fn dense(net: &mut Network, x: &str, y: &str, dims: (usize, usize)) {
    net.weight(&format!("{y}.w"), &[dims.0, dims.1]);
    net.weight(&format!("{y}.b"), &[dims.1]);
    net.op("MatMul", &[x, &format!("{y}.w")], &format!("{y}.p"));
    net.op("Add", &[&format!("{y}.b"), &format!("{y}.p")], y);
}

fn layer_norm(net: &mut Network, x: &str, y: &str) {
    net.positive(&format!("{y}.scale"), HIDDEN);
    net.weight(&format!("{y}.bias"), &[HIDDEN]);
    net.op("LayerNormalization", &[x, &format!("{y}.scale"), &format!("{y}.bias")], y);
}

/// Queries, keys and values, each [n, heads, s, size].
fn heads(net: &mut Network, packing: Packing) {
    let parts = ["q", "k", "v"];
    net.integers("heads", &[0, -1, HEADS as i64, (HIDDEN / HEADS) as i64]);
    let perm = [0i64, 2, 1, 3];
    match packing {
        Packing::Apart => {
            for part in parts {
                dense(net, "x", &format!("{part}.d"), (HIDDEN, HIDDEN));
                net.op("Reshape", &[&format!("{part}.d"), "heads"], &format!("{part}.h"));
                let node = Node::new("Transpose", &[&format!("{part}.h")], &[part]);
                net.node(node.with("perm", perm));
            }
        }
        Packing::Split => {
            dense(net, "x", "qkv", (HIDDEN, 3 * HIDDEN));
            net.integers("sizes", &[HIDDEN as i64; 3]);
            let node = Node::new("Split", &["qkv", "sizes"], &["q.d", "k.d", "v.d"]);
            net.node(node.with("axis", 2i64));
            for part in parts {
                net.op("Reshape", &[&format!("{part}.d"), "heads"], &format!("{part}.h"));
                let node = Node::new("Transpose", &[&format!("{part}.h")], &[part]);
                net.node(node.with("perm", perm));
            }
        }
        Packing::Stacked => {
            dense(net, "x", "qkv", (HIDDEN, 3 * HIDDEN));
            net.integers("stacked", &[0, -1, 3, HEADS as i64, (HIDDEN / HEADS) as i64]);
            net.op("Reshape", &["qkv", "stacked"], "qkv.r");
            net.node(
                Node::new("Transpose", &["qkv.r"], &["qkv.t"]).with("perm", [2i64, 0, 3, 1, 4]),
            );
            for (number, part) in parts.iter().enumerate() {
                let index = format!("{part}.i");
                let bytes = (number as i64).to_le_bytes().to_vec();
                net.add(Constant::raw(&index, DataType::Int64, &[], bytes));
                net.op("Gather", &["qkv.t", &index], part);
            }
        }
        Packing::Einsum => {
            for part in parts {
                let weight = format!("{part}.w");
                net.weight(&weight, &[HIDDEN, HEADS, HIDDEN / HEADS]);
                net.weight(&format!("{part}.b"), &[HEADS, HIDDEN / HEADS]);
                let node = Node::new("Einsum", &["x", &weight], &[&format!("{part}.e")]);
                net.node(node.with("equation", "abc,cde->abde"));
                net.op("Add", &[&format!("{part}.e"), &format!("{part}.b")], &format!("{part}.h"));
                let node = Node::new("Transpose", &[&format!("{part}.h")], &[part]);
                net.node(node.with("perm", perm));
            }
        }
    }
}

/// One layer of an encoder, and classes.
fn encoder(packing: Packing) -> Model {
    let mut net = Network::new("x", &sequence(&[HIDDEN]));
    heads(&mut net, packing);
    net.node(Node::new("Transpose", &["k"], &["k.t"]).with("perm", [0i64, 1, 3, 2]));
    net.op("MatMul", &["q", "k.t"], "scores");
    net.add(Constant::floats("root", &[], &[(HIDDEN as f32 / HEADS as f32).sqrt()]));
    net.op("Div", &["scores", "root"], "scaled");
    net.op("Softmax", &["scaled"], "attention");
    net.op("MatMul", &["attention", "v"], "context");
    net.node(Node::new("Transpose", &["context"], &["context.t"]).with("perm", [0i64, 2, 1, 3]));
    net.integers("merged", &[0, -1, HIDDEN as i64]);
    net.op("Reshape", &["context.t", "merged"], "context.m");
    dense(&mut net, "context.m", "o", (HIDDEN, HIDDEN));
    net.op("Add", &["o", "x"], "sum1");
    layer_norm(&mut net, "sum1", "norm1");
    dense(&mut net, "norm1", "f1", (HIDDEN, 20));
    net.op("Tanh", &["f1"], "f1.a");
    dense(&mut net, "f1.a", "f2", (20, HIDDEN));
    net.op("Add", &["f2", "norm1"], "sum2");
    layer_norm(&mut net, "sum2", "norm2");
    net.node(
        Node::new("ReduceMean", &["norm2"], &["mean"]).with("axes", [1i64]).with("keepdims", 0i64),
    );
    net.gemm("mean", "y", (HIDDEN, 3));
    net.giving(&[("y", &batch_of(&[3]))])
}

#[test]
fn heads_go_whole_and_neurons_with_their_columns() {
    let inputs = [("x", array(&[2, 5, HIDDEN], 7))];
    for packing in [Packing::Apart, Packing::Split, Packing::Stacked, Packing::Einsum] {
        let (weight, channels) = match packing {
            Packing::Apart => ("q.d.w", HIDDEN),
            Packing::Split | Packing::Stacked => ("qkv.w", 3 * HIDDEN),
            Packing::Einsum => ("v.w", HEADS),
        };
        let expected = Expected {
            pruned: &[(weight, channels), ("f1.w", 20)],
            refused: &[("o.w", "input 'x'"), ("f2.w", "input 'x'"), ("y.w", "output")],
        };
        // Keras' values have their own axis for what is in a head, which others reshape away.
        if packing == Packing::Einsum {
            let model = ready(&encoder(packing)).unwrap();
            let options = Options { multiple: Some(1), ..Options::default() };
            let pruned = structured(&model, &options).unwrap();
            compare(&model, &pruned, &options, &inputs);
            continue;
        }
        check(&encoder(packing), &inputs, &expected);
    }
}

#[test]
fn a_stated_number_of_heads_is_changed_where_it_stands() {
    let model = ready(&encoder(Packing::Apart)).unwrap();
    let pruned = structured(&model, &Options { multiple: Some(1), ..Options::default() }).unwrap();
    let reshape =
        pruned.model.graph.nodes.iter().find(|node| node.output(0) == Some("q.h")).unwrap();
    let shape = pruned.model.graph.initializer(reshape.input(1).unwrap()).unwrap();
    assert_eq!(shape.integers(8).unwrap(), [0, -1, 2, 3]);
    let group =
        pruned.report.groups.iter().find(|group| group.weights.iter().any(|name| name == "q.d.w"));
    assert_eq!(group.unwrap().unit, HIDDEN / HEADS);
    assert_eq!(group.unwrap().weights, ["k.d.w", "q.d.w", "v.d.w"]);
}

#[test]
fn the_width_that_is_normalized_goes_only_when_asked() {
    let mut net = Network::new("x", &sequence(&[6]));
    dense(&mut net, "x", "a", (6, HIDDEN));
    layer_norm(&mut net, "a", "n");
    dense(&mut net, "n", "y", (HIDDEN, 3));
    let model = ready(&net.giving(&[("y", &sequence(&[3]))])).unwrap();
    let error = structured(&model, &Options::default()).unwrap_err().to_string();
    assert!(error.contains("takes mean and variance over it (--narrow allows it)"), "{error}");
    let options = Options { narrow: true, multiple: Some(1), ..Options::default() };
    let pruned = structured(&model, &options).unwrap();
    assert!(!pruned.report.groups[0].exact);
    let inputs = [("x", array(&[1, 2, 6], 3))];
    // By hand: the kept columns, normalized by themselves.
    let kept = pruned.model.graph.initializer("a.b").unwrap();
    let kept = crate::floats::floats(kept).unwrap();
    let all = crate::floats::floats(model.graph.initializer("a.b").unwrap()).unwrap();
    let places: Vec<usize> =
        kept.iter().map(|value| all.iter().position(|other| other == value).unwrap()).collect();
    let a = evaluate(&model, &inputs, &["a"]).remove(0);
    let number =
        |name: &str| crate::floats::floats(model.graph.initializer(name).unwrap()).unwrap();
    let (scale, bias, w, b) = (number("n.scale"), number("n.bias"), number("y.w"), number("y.b"));
    let mut wanted = Vec::new();
    for row in a.chunks(HIDDEN) {
        let row: Vec<f32> = places.iter().map(|&place| row[place]).collect();
        let mean = row.iter().sum::<f32>() / row.len() as f32;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / row.len() as f32;
        for column in 0..3 {
            let terms = row.iter().zip(&places).map(|(x, &place)| {
                let normal = (x - mean) / (variance + 1e-5).sqrt();
                (normal * scale[place] + bias[place]) * w[place * 3 + column]
            });
            wanted.push(terms.sum::<f32>() + b[column]);
        }
    }
    let found = evaluate(&pruned.model, &inputs, &["y"]).remove(0);
    assert!(wanted.iter().zip(&found).all(|(x, y)| (x - y).abs() < 1e-4), "{wanted:?} {found:?}");
}

#[test]
fn neurons_of_a_perceptron_go_with_what_takes_them() {
    let mut net = Network::new("x", &batch_of(&[6]));
    net.gemm("x", "a", (6, 10));
    net.op("Softplus", &["a"], "a.r");
    net.gemm("a.r", "b", (10, 8));
    net.op("Relu", &["b"], "b.r");
    net.gemm("b.r", "y", (8, 3));
    let model = net.giving(&[("y", &batch_of(&[3]))]);
    let expected = Expected { pruned: &[("a.w", 10), ("b.w", 8)], refused: &[("y.w", "output")] };
    check(&model, &[("x", array(&[4, 6], 5))], &expected);
}

#[test]
fn what_a_recurrent_layer_takes_is_narrowed_its_state_is_not() {
    let mut net =
        Network::new("x", &[Dim::Symbol("s".into()), Dim::Symbol("n".into()), Dim::Fixed(4)]);
    dense(&mut net, "x", "a", (4, 8));
    net.op("Tanh", &["a"], "a.r");
    net.weight("lstm.w", &[1, 12, 8]);
    net.weight("lstm.r", &[1, 12, 3]);
    net.node(
        Node::new("LSTM", &["a.r", "lstm.w", "lstm.r"], &["h", "last"]).with("hidden_size", 3i64),
    );
    net.integers("axes", &[0]);
    net.op("Squeeze", &["last", "axes"], "state");
    net.gemm("state", "y", (3, 2));
    let model = net.giving(&[("y", &batch_of(&[2]))]);
    let expected = Expected { pruned: &[("a.w", 8)], refused: &[("y.w", "output")] };
    check(&model, &[("x", array(&[5, 2, 4], 5))], &expected);
}
