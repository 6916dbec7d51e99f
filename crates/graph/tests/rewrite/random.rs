//! Graphs at random: whatever passes do, the answers stay.

use fastrand::Rng;
use modelyard_graph::rewrite::{Options, PASSES, Target, clean};
use modelyard_graph::{Model, Node};

use crate::support::{Writer, same_answers};

/// A value in the making, with its dimensions behind the batch.
#[derive(Clone)]
struct Made {
    name: String,
    dims: Vec<usize>,
}

struct Maker {
    writer: Writer,
    random: Rng,
    values: Vec<Made>,
}

impl Maker {
    fn pick(&mut self) -> Made {
        // The last ones more often: graphs grow long.
        let from = if self.random.bool() { self.values.len().saturating_sub(3) } else { 0 };
        self.values[self.random.usize(from..self.values.len())].clone()
    }

    fn push(&mut self, name: String, dims: &[usize]) {
        self.values.push(Made { name, dims: dims.to_vec() });
    }

    /// Adds a node or two.
    fn step(&mut self) {
        let x = self.pick();
        match self.random.u8(0..14) {
            _ if x.dims.is_empty() => self.unary(&x),
            0..=2 => self.transpose(&x),
            3 => self.unary(&x),
            4 | 5 => self.with_constant(&x),
            6 => self.with_other(&x),
            7 => self.reduce(&x),
            8 => self.slice_or_pad(&x),
            9 => self.concat_or_split(&x),
            10 => self.reshape(&x),
            11 => self.softmax(&x),
            12 => self.conv(&x),
            _ => self.axes_of_one(&x),
        }
    }

    fn transpose(&mut self, x: &Made) {
        let mut order: Vec<usize> = (1..=x.dims.len()).collect();
        if x.dims.len() == 3 && self.random.u8(0..4) > 0 {
            order = if self.random.bool() { vec![3, 1, 2] } else { vec![2, 3, 1] };
        } else {
            self.random.shuffle(&mut order);
        }
        let perm: Vec<i64> = [0].into_iter().chain(order.iter().map(|&axis| axis as i64)).collect();
        let dims: Vec<usize> = order.iter().map(|&axis| x.dims[axis - 1]).collect();
        let y = self.writer.transpose(&x.name, &perm);
        self.push(y, &dims);
    }

    fn unary(&mut self, x: &Made) {
        const OPERATORS: [&str; 6] = ["Relu", "Sigmoid", "Identity", "Neg", "Dropout", "Tanh"];
        let y = self.writer.add(OPERATORS[self.random.usize(0..6)], &[&x.name]);
        self.push(y, &x.dims);
    }

    fn with_constant(&mut self, x: &Made) {
        let rank = self.random.usize(0..=x.dims.len());
        let dims: Vec<usize> = x.dims[x.dims.len() - rank..]
            .iter()
            .map(|&dim| if self.random.u8(0..3) == 0 { 1 } else { dim })
            .collect();
        let constant = self.writer.floats(&dims);
        let operator = ["Add", "Mul", "Sub", "Max", "PRelu"][self.random.usize(0..5)];
        let flips = operator != "PRelu" && self.random.bool();
        let pair = if flips { [&constant, &x.name] } else { [&x.name, &constant] };
        let y = self.writer.add(operator, &pair.map(String::as_str));
        self.push(y, &x.dims);
    }

    fn with_other(&mut self, x: &Made) {
        let fits = |other: &&Made| {
            other.dims.len() <= x.dims.len() && {
                let own = &x.dims[x.dims.len() - other.dims.len()..];
                other.dims.len() == x.dims.len()
                    && other.dims.iter().zip(own).all(|(&one, &two)| one == two || one == 1)
            }
        };
        let others: Vec<Made> = self.values.iter().filter(fits).cloned().collect();
        let other = &others[self.random.usize(0..others.len())];
        let y = self.writer.add(["Add", "Mul"][self.random.usize(0..2)], &[&x.name, &other.name]);
        self.push(y, &x.dims);
    }

    fn reduce(&mut self, x: &Made) {
        let mut axes: Vec<usize> = (1..=x.dims.len()).collect();
        self.random.shuffle(&mut axes);
        axes.truncate(self.random.usize(1..=x.dims.len()));
        let keeps = self.random.bool();
        let operator = ["ReduceMean", "ReduceMax"][self.random.usize(0..2)];
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let node = Node::new(operator, &[&x.name], &[])
            .with("axes", list.as_slice())
            .with("keepdims", i64::from(keeps));
        let y = self.writer.node(node);
        let dims: Vec<usize> = (1..=x.dims.len())
            .filter_map(|axis| match axes.contains(&axis) {
                true => keeps.then_some(1),
                false => Some(x.dims[axis - 1]),
            })
            .collect();
        self.push(y, &dims);
    }

    fn slice_or_pad(&mut self, x: &Made) {
        let Some(axis) = (1..=x.dims.len()).find(|_| self.random.bool()) else { return };
        let mut dims = x.dims.clone();
        let y = if self.random.bool() && dims[axis - 1] > 1 {
            dims[axis - 1] -= 1;
            let [start, end, at] =
                [1, i64::MAX, axis as i64].map(|item| self.writer.integers(&[item]));
            self.writer.add("Slice", &[&x.name, &start, &end, &at])
        } else {
            dims[axis - 1] += 1;
            let mut pads = vec![0; 2 * (dims.len() + 1)];
            pads[axis] = 1;
            let pads = self.writer.integers(&pads);
            self.writer.add("Pad", &[&x.name, &pads])
        };
        self.push(y, &dims);
    }

    fn concat_or_split(&mut self, x: &Made) {
        let Some(axis) = (1..=x.dims.len()).find(|_| self.random.bool()) else { return };
        let mut dims = x.dims.clone();
        if dims[axis - 1] > 8 {
            return;
        }
        dims[axis - 1] *= 2;
        let other = self.writer.add("Abs", &[&x.name]);
        let node = Node::new("Concat", &[&other, &x.name], &[]).with("axis", axis as i64);
        let joined = self.writer.node(node);
        self.push(joined.clone(), &dims);
        if self.random.bool() {
            let node = Node::new("Split", &[&joined], &[])
                .with("axis", axis as i64 - 1 - dims.len() as i64);
            for part in self.writer.node_of(node, 2) {
                self.push(part, &x.dims);
            }
        }
    }

    fn reshape(&mut self, x: &Made) {
        let elements: usize = x.dims.iter().product();
        let dims: Vec<usize> = match self.random.u8(0..4) {
            0 => vec![elements],
            1 if x.dims.len() == 3 => vec![x.dims[0] * x.dims[1], x.dims[2]],
            2 if x.dims.len() == 2 => vec![x.dims[0], 1, x.dims[1]],
            _ if x.dims.len() == 1 => vec![1, 1, x.dims[0]],
            _ => return,
        };
        let target: Vec<i64> = [if self.random.bool() { 0 } else { -1 }]
            .into_iter()
            .chain(dims.iter().map(|&dim| dim as i64))
            .collect();
        let y = self.writer.reshape(&x.name, &target);
        self.push(y.clone(), &dims);
        if let [elements] = dims[..] {
            let y = self.writer.dense(&y, [elements, 3]);
            self.push(y, &[3]);
        }
    }

    fn softmax(&mut self, x: &Made) {
        let axis = self.random.usize(1..=x.dims.len()) as i64;
        let y = self.writer.node(Node::new("Softmax", &[&x.name], &[]).with("axis", axis));
        self.push(y, &x.dims);
    }

    fn conv(&mut self, x: &Made) {
        let [height, width, channels] = x.dims[..] else { return };
        if height * width * channels > 2000 {
            return;
        }
        let y = self.writer.conv(&x.name, [channels, 3], 3);
        self.push(y, &[height, width, 3]);
    }

    fn axes_of_one(&mut self, x: &Made) {
        let mut dims = x.dims.clone();
        let y = match dims.iter().position(|&dim| dim == 1) {
            Some(place) if dims.len() > 1 && self.random.bool() => {
                dims.remove(place);
                let axes = self.writer.integers(&[place as i64 + 1]);
                self.writer.add("Squeeze", &[&x.name, &axes])
            }
            _ if dims.len() < 4 => {
                let place = self.random.usize(0..=dims.len());
                dims.insert(place, 1);
                let axes = self.writer.integers(&[place as i64 + 1]);
                self.writer.add("Unsqueeze", &[&x.name, &axes])
            }
            _ => return,
        };
        self.push(y, &dims);
    }
}

pub(crate) fn model(seed: u64) -> Model {
    let mut maker =
        Maker { writer: Writer::new(), random: Rng::with_seed(seed), values: Vec::new() };
    let x = maker.writer.input("x", &[4, 3, 2]);
    maker.push(x, &[4, 3, 2]);
    for _ in 0..maker.random.usize(3..40) {
        maker.step();
    }
    let last = maker.values.len() - 1;
    let mut outputs = vec![last, maker.random.usize(0..=last)];
    outputs.dedup();
    for output in outputs {
        let value = maker.values[output].clone();
        if value.name != "x" {
            maker.writer.output(&value.name, value.dims.len() + 1);
        }
    }
    maker.writer.unchecked()
}

#[test]
fn answers_stay_the_same() {
    let cases: u64 = std::env::var("PROPTEST_CASES").map_or(24, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        let model = model(seed);
        if model.graph.outputs.is_empty() {
            continue;
        }
        let model = model.check().unwrap();
        let run = |options: Options| {
            let clean = clean(model.clone(), &options).check().unwrap();
            same_answers(&model, &clean);
            clean
        };
        let result = std::panic::catch_unwind(|| {
            let once = run(Options::default());
            let twice = clean(once.clone(), &Options::default());
            assert_eq!(once.graph.nodes, twice.graph.nodes, "there was more to do");
            for fuse in [None, Some(Target::Standard), Some(Target::OnnxRuntime)] {
                run(Options { fold_batch_norm: true, fuse });
            }
            for pass in PASSES {
                same_answers(
                    &model,
                    &pass.apply(model.clone(), &Options::default()).check().unwrap(),
                );
            }
        });
        assert!(result.is_ok(), "seed {seed}");
    }
}
