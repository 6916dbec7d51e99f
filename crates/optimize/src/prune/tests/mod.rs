//! Pruned models against the originals with the weights of the removed channels zero, both evaluated by the
//! interpreter that training uses.

mod images;
mod refused;
mod sequences;
mod sparse;

use std::collections::BTreeMap;

use modelyard_graph::{Constant, GraphBuilder, Limits, Model, Node};
use modelyard_tensor::{DataType, Dim, Shape};
use modelyard_train::Array;

use super::choose::Choice;
use super::*;
use crate::quantize::tests::{evaluate, numbers};

/// What the tests ask of every network.
struct Expected<'a> {
    /// Layers of which channels go, by a weight that makes them: how many they have.
    pruned: &'a [(&'a str, usize)],
    /// Layers that stay, with a part of the reason.
    refused: &'a [(&'a str, &'a str)],
}

/// Prunes a network in many ways, and compares each result with the masked original.
fn check(model: &Model, inputs: &[(&str, Array)], expected: &Expected<'_>) {
    let model = ready(model).unwrap();
    for target in
        [Target::Channels(0.5), Target::Channels(0.25), Target::Flops(0.3), Target::Parameters(0.3)]
    {
        for ranking in [Ranking::Uniform, Ranking::Global] {
            let options = Options { target, ranking, multiple: Some(1), ..Options::default() };
            let pruned = structured(&model, &options).unwrap();
            compare(&model, &pruned, &options, inputs);
            told(&pruned.report, expected, &options);
        }
    }
}

fn compare(model: &Model, pruned: &Pruned, options: &Options, inputs: &[(&str, Array)]) {
    let space = followed(model, options).unwrap();
    let (groups, _) = groups::groups(&space, options);
    let scores = importance::scores(model, &groups, &options.importance).unwrap();
    let before = Cost::of(model);
    let choice = Choice { model, space: &space, groups: &groups, scores: &scores, options, before };
    let removed = choice.removed(&choice.kept().unwrap());
    assert!(!removed.is_empty(), "{options:?}");
    let masked = apply::masked(model, &space, &removed).verified(&Limits::default()).unwrap();
    let names: Vec<&str> = model.graph.outputs.iter().map(|output| output.name.as_str()).collect();
    let whole = evaluate(model, inputs, &names);
    let wanted = evaluate(&masked, inputs, &names);
    let found = evaluate(&pruned.model, inputs, &names);
    for ((wanted, found), whole) in wanted.iter().zip(&found).zip(&whole) {
        assert_eq!(wanted.len(), found.len());
        let close = wanted.iter().zip(found).all(|(x, y)| (x - y).abs() <= 1e-5 * (1.0 + x.abs()));
        assert!(close, "{options:?}\n{wanted:?}\n{found:?}");
        // A test of channels that do not matter would show nothing.
        assert!(wanted.iter().zip(whole).any(|(x, y)| (x - y).abs() > 1e-4), "{options:?}");
    }
    let share = |before: u64, after: u64| 1.0 - after as f64 / before as f64;
    let Report { before, after, .. } = pruned.report;
    match options.target {
        Target::Flops(wanted) => assert!(share(before.flops, after.flops) >= wanted),
        Target::Parameters(wanted) => assert!(share(before.parameters, after.parameters) >= wanted),
        Target::Channels(_) => {
            assert!(after.flops < before.flops && after.parameters < before.parameters)
        }
    }
}

fn told(report: &Report, expected: &Expected<'_>, options: &Options) {
    for (weight, channels) in expected.pruned {
        let group =
            report.groups.iter().find(|group| group.weights.iter().any(|name| name == weight));
        let group = group.unwrap_or_else(|| panic!("no group of '{weight}': {report:#?}"));
        assert_eq!(group.channels, *channels, "{weight}");
        assert!(group.exact);
        if options.target == Target::Channels(0.5) && options.ranking == Ranking::Uniform {
            assert_eq!(
                group.kept,
                channels.div_ceil(group.unit).div_ceil(2) * group.unit,
                "{weight}"
            );
        }
    }
    assert_eq!(report.groups.len(), expected.pruned.len(), "{:#?}", report.groups);
    for (weight, reason) in expected.refused {
        let refused =
            report.refused.iter().find(|refused| refused.weights.iter().any(|name| name == weight));
        let refused =
            refused.unwrap_or_else(|| panic!("'{weight}' is not refused: {:?}", report.refused));
        assert!(refused.reason.contains(reason), "{weight}: {}", refused.reason);
    }
}

/// A network under construction: every weight is random, and the same in every run.
struct Network {
    builder: GraphBuilder,
    seed: u64,
    sizes: BTreeMap<String, usize>,
}

impl Network {
    fn new(input: &str, dims: &[Dim]) -> Network {
        let builder = GraphBuilder::new("g").input(input, DataType::Fp32, dims);
        Network { builder, seed: 0, sizes: BTreeMap::new() }
    }

    fn weight(&mut self, name: &str, dims: &[usize]) {
        self.seed += 1;
        let fan = dims.iter().skip(1).product::<usize>().max(1) as f32;
        let values = numbers(dims.iter().product(), self.seed);
        let values: Vec<f32> = values.iter().map(|x| x * 1.7 / fan.sqrt()).collect();
        self.add(Constant::floats(name, dims, &values));
    }

    /// Numbers from 0.5 to 1.5.
    fn positive(&mut self, name: &str, size: usize) {
        self.seed += 1;
        let values: Vec<f32> = numbers(size, self.seed).iter().map(|x| 1.0 + x / 2.0).collect();
        self.add(Constant::floats(name, &[size], &values));
    }

    fn integers(&mut self, name: &str, values: &[i64]) {
        self.builder = std::mem::take(&mut self.builder).integers(name, &[values.len()], values);
    }

    fn add(&mut self, constant: Constant) {
        self.builder = std::mem::take(&mut self.builder).initializer(constant);
    }

    fn node(&mut self, node: Node) {
        self.builder = std::mem::take(&mut self.builder).node(node);
    }

    /// A node of this operator, named after its output.
    fn op(&mut self, operator: &str, inputs: &[&str], output: &str) {
        self.node(Node::new(operator, inputs, &[output]));
    }

    /// A convolution of this size that keeps the size of the picture, divided by its stride.
    fn conv(&mut self, x: &str, y: &str, (dims, stride, groups): ([usize; 3], i64, i64)) {
        let [outputs, inputs, kernel] = dims;
        self.weight(&format!("{y}.w"), &[outputs, inputs, kernel, kernel]);
        self.weight(&format!("{y}.b"), &[outputs]);
        self.sizes.insert(y.into(), outputs);
        let pad = kernel as i64 / 2;
        let node = Node::new("Conv", &[x, &format!("{y}.w"), &format!("{y}.b")], &[y]);
        let node = node.with("pads", [pad; 4]).with("strides", [stride; 2]).with("group", groups);
        self.node(node);
    }

    /// Batch normalization of the last convolution `x`.
    fn batch_norm(&mut self, x: &str, y: &str, size: usize) {
        let name = |part: &str| format!("{y}.{part}");
        self.positive(&name("scale"), size);
        self.weight(&name("bias"), &[size]);
        self.weight(&name("mean"), &[size]);
        self.positive(&name("var"), size);
        let inputs = [x, &name("scale"), &name("bias"), &name("mean"), &name("var")];
        self.op("BatchNormalization", &inputs, y);
    }

    /// Convolution, batch normalization and an activation.
    fn block(&mut self, x: &str, y: &str, dims: ([usize; 3], i64, i64)) {
        let (conv, norm) = (format!("{y}.conv"), format!("{y}.norm"));
        self.conv(x, &conv, dims);
        self.batch_norm(&conv, &norm, dims.0[0]);
        self.op("Relu", &[&norm], y);
    }

    fn gemm(&mut self, x: &str, y: &str, (inputs, outputs): (usize, usize)) {
        self.weight(&format!("{y}.w"), &[outputs, inputs]);
        self.weight(&format!("{y}.b"), &[outputs]);
        let node = Node::new("Gemm", &[x, &format!("{y}.w"), &format!("{y}.b")], &[y]);
        self.node(node.with("transB", 1i64));
    }

    /// The network with these outputs.
    fn giving(self, outputs: &[(&str, &[Dim])]) -> Model {
        let mut builder = self.builder;
        for (name, dims) in outputs {
            builder = builder.output(name, DataType::Fp32, dims);
        }
        builder.model().check().unwrap()
    }
}

fn batch_of(sizes: &[usize]) -> Vec<Dim> {
    std::iter::once(Dim::Symbol("n".into()))
        .chain(sizes.iter().map(|&size| Dim::Fixed(size)))
        .collect()
}

fn array(dims: &[usize], seed: u64) -> Array {
    Array::floats(Shape::new(dims), numbers(dims.iter().product(), seed))
}
