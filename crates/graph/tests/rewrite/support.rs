//! Models as converters of channel-last formats write them, and their evaluation.

use modelyard_graph::rewrite::{Options, clean};
use modelyard_graph::{Constant, ElementType, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim};
use modelyard_train::{Array, Buffers, Data, Mode, Program, Run, Workers};

/// A model in the making. Values are known by their names.
pub(crate) struct Writer {
    builder: GraphBuilder,
    count: usize,
    random: fastrand::Rng,
}

const TO_FIRST: [i64; 4] = [0, 3, 1, 2];
const TO_LAST: [i64; 4] = [0, 2, 3, 1];

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer { builder: GraphBuilder::new("g"), count: 0, random: fastrand::Rng::with_seed(7) }
    }

    fn with(&mut self, f: impl FnOnce(GraphBuilder) -> GraphBuilder) {
        self.builder = f(std::mem::take(&mut self.builder));
    }

    pub(crate) fn name(&mut self, base: &str) -> String {
        self.count += 1;
        format!("{base}_{}", self.count)
    }

    /// An input whose first dimension is open.
    pub(crate) fn input(&mut self, name: &str, dims: &[usize]) -> String {
        let rest = dims.iter().map(|&dim| Dim::Fixed(dim));
        let dims: Vec<Dim> = [Dim::Symbol("batch".into())].into_iter().chain(rest).collect();
        self.with(|builder| builder.input(name, DataType::Fp32, &dims));
        name.into()
    }

    pub(crate) fn output(&mut self, value: &str, rank: usize) {
        let dims = vec![Dim::Free; rank];
        self.with(|builder| builder.output(value, DataType::Fp32, &dims));
    }

    pub(crate) fn node(&mut self, node: Node) -> String {
        let name = self.name(&node.op_type.clone());
        let node = Node { outputs: vec![name.clone()], name: format!("{name}/node"), ..node };
        self.with(|builder| builder.node(node));
        name
    }

    /// A node of several outputs.
    pub(crate) fn node_of(&mut self, node: Node, outputs: usize) -> Vec<String> {
        let outputs: Vec<String> = (0..outputs).map(|_| self.name(&node.op_type)).collect();
        let name = format!("{}/node", outputs[0]);
        let node = Node { outputs: outputs.clone(), name, ..node };
        self.with(|builder| builder.node(node));
        outputs
    }

    pub(crate) fn add(&mut self, op_type: &str, inputs: &[&str]) -> String {
        self.node(Node::new(op_type, inputs, &[]))
    }

    pub(crate) fn floats(&mut self, dims: &[usize]) -> String {
        let name = self.name("w");
        let count = dims.iter().product();
        let random = &mut self.random;
        let values: Vec<f32> = (0..count).map(|_| random.f32() - 0.4).collect();
        self.with(|builder| builder.floats(&name, dims, &values));
        name
    }

    pub(crate) fn these_floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        let name = self.name("w");
        self.with(|builder| builder.floats(&name, dims, values));
        name
    }

    /// Unsigned bytes, repeated as often as needed.
    pub(crate) fn bytes(&mut self, dims: &[usize], values: &[u8]) -> String {
        let name = self.name("b");
        let count = dims.iter().product();
        let bytes: Vec<u8> = values.iter().copied().cycle().take(count).collect();
        let constant = Constant::raw(&name, ElementType::Uint8, dims, bytes);
        self.with(|builder| builder.initializer(constant));
        name
    }

    pub(crate) fn integers(&mut self, values: &[i64]) -> String {
        let name = self.name("i");
        self.with(|builder| builder.integers(&name, &[values.len()], values));
        name
    }

    pub(crate) fn transpose(&mut self, x: &str, perm: &[i64]) -> String {
        self.node(Node::new("Transpose", &[x], &[]).with("perm", perm))
    }

    /// An operator for channels first, between transposes.
    pub(crate) fn first(&mut self, x: &str, f: impl FnOnce(&mut Writer, &str) -> Node) -> String {
        let first = self.transpose(x, &TO_FIRST);
        let node = f(self, &first);
        let y = self.node(node);
        self.transpose(&y, &TO_LAST)
    }

    pub(crate) fn conv(&mut self, x: &str, channels: [usize; 2], kernel: i64) -> String {
        self.first(x, |writer, x| {
            let size = kernel as usize;
            let weight = writer.floats(&[channels[1], channels[0], size, size]);
            let bias = writer.floats(&[channels[1]]);
            let pad = kernel / 2;
            Node::new("Conv", &[x, &weight, &bias], &[])
                .with("kernel_shape", [kernel, kernel])
                .with("pads", [pad, pad, pad, pad])
        })
    }

    pub(crate) fn depthwise(&mut self, x: &str, channels: usize, stride: i64) -> String {
        self.first(x, |writer, x| {
            let weight = writer.floats(&[channels, 1, 3, 3]);
            Node::new("Conv", &[x, &weight], &[])
                .with("group", channels as i64)
                .with("strides", [stride, stride])
                .with("pads", [1, 1, 1, 1])
        })
    }

    pub(crate) fn batch_norm(&mut self, x: &str, channels: usize) -> String {
        self.first(x, |writer, x| {
            let [scale, bias, mean] = [(); 3].map(|()| writer.floats(&[channels]));
            let variance: Vec<f32> = (0..channels).map(|index| 1.0 + index as f32).collect();
            let variance = writer.these_floats(&[channels], &variance);
            Node::new("BatchNormalization", &[x, &scale, &bias, &mean, &variance], &[])
        })
    }

    pub(crate) fn pool(&mut self, x: &str, op_type: &str) -> String {
        self.first(x, |_, x| {
            Node::new(op_type, &[x], &[]).with("kernel_shape", [2, 2]).with("strides", [2, 2])
        })
    }

    /// The mean over the space of a channel-last image.
    pub(crate) fn mean(&mut self, x: &str, keeps: bool) -> String {
        self.node(
            Node::new("ReduceMean", &[x], &[])
                .with("axes", [1, 2])
                .with("keepdims", i64::from(keeps)),
        )
    }

    pub(crate) fn reshape(&mut self, x: &str, dims: &[i64]) -> String {
        let shape = self.integers(dims);
        self.add("Reshape", &[x, &shape])
    }

    pub(crate) fn dense(&mut self, x: &str, units: [usize; 2]) -> String {
        let weight = self.floats(&units);
        let bias = self.floats(&[units[1]]);
        let product = self.add("MatMul", &[x, &weight]);
        self.add("Add", &[&product, &bias])
    }

    pub(crate) fn unchecked(self) -> Model {
        self.builder.model()
    }

    pub(crate) fn model(self) -> Model {
        self.unchecked().check().unwrap()
    }
}

/// How many nodes there are of an operator.
pub(crate) fn count(model: &Model, op_type: &str) -> usize {
    model.nodes().filter(|node| node.is(op_type)).count()
}

/// Cleans a model, checks that its answers stay, and gives it.
pub(crate) fn cleaned(model: &Model) -> Model {
    let clean = clean(model.clone(), &Options::default()).check().unwrap();
    same_answers(model, &clean);
    clean
}

/// Both give the same for the same inputs.
pub(crate) fn same_answers(one: &Model, two: &Model) {
    assert_eq!(one.signature().unwrap(), two.signature().unwrap());
    let inputs = inputs(one);
    let (expected, found) = (answers(one, &inputs), answers(two, &inputs));
    for ((expected, found), output) in expected.iter().zip(&found).zip(&one.graph.outputs) {
        assert_near(expected, found, &output.name);
    }
}

fn inputs(model: &Model) -> Vec<(String, Array)> {
    let mut random = fastrand::Rng::with_seed(3);
    let signature = model.signature().unwrap();
    let specs = signature.inputs.iter().map(|spec| {
        let dims = spec.dims.as_ref().unwrap().iter();
        let dims: Vec<usize> = dims
            .map(|dim| match dim {
                Dim::Fixed(size) => *size,
                _ => 2,
            })
            .collect();
        let count = dims.iter().product();
        let array = match spec.data_type {
            DataType::Fp32 => Array::floats(
                modelyard_tensor::Shape::new(&dims),
                (0..count).map(|_| random.f32() * 2.0 - 1.0).collect(),
            ),
            DataType::Bool => Array::bools(
                modelyard_tensor::Shape::new(&dims),
                (0..count).map(|_| random.bool()).collect(),
            ),
            _ => Array::ints(
                modelyard_tensor::Shape::new(&dims),
                (0..count).map(|_| random.i64(0..2)).collect(),
            ),
        };
        (spec.name.clone(), array)
    });
    specs.collect()
}

fn answers(model: &Model, inputs: &[(String, Array)]) -> Vec<Array> {
    let program = Program::compile(model).unwrap();
    let names: Vec<String> = program.outputs().map(str::to_owned).collect();
    let targets: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = program.plan(&targets, &[]).unwrap();
    let (mut buffers, workers) = (Buffers::default(), Workers::new(1).unwrap());
    let mut run = Run {
        buffers: &mut buffers,
        workers: &workers,
        mode: Mode::Evaluate,
        memory_limit_bytes: usize::MAX,
    };
    let given = inputs.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
    let pass = program.forward(&plan, program.weights(), given, &mut run).unwrap();
    targets.iter().map(|name| pass.value(name).clone()).collect()
}

fn assert_near(expected: &Array, found: &Array, name: &str) {
    assert_eq!(expected.shape(), found.shape(), "shape of '{name}'");
    match (expected.data(), found.data()) {
        (Data::Floats(expected), Data::Floats(found)) => {
            let largest = expected.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
            for (index, (one, two)) in expected.iter().zip(found.iter()).enumerate() {
                let near = (one - two).abs() <= 1e-5 * largest || (one.is_nan() && two.is_nan());
                assert!(near, "element {index} of '{name}': expected {one}, found {two}");
            }
        }
        (expected, found) => assert_eq!(expected, found, "elements of '{name}'"),
    }
}
