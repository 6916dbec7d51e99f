//! ONNX models as SavedModels: read back by the reader of SavedModels, whose evaluator is written
//! from TensorFlow's definitions, they answer as the ONNX model does in an engine.

mod images;

use std::path::Path;

use modelyard_convert::export::{ExportOptions, Exported, Target, export, read_back};
use modelyard_convert::verify::compare;
use modelyard_convert::{Conversion, ConvertError, Limits};
use modelyard_graph::{Constant, ElementType, GraphBuilder, Model, Node, Value, ValueType};
use modelyard_tensor::{DataType, Dim, Shape, Tensor};

use crate::support::run;

/// A model in the making: each operator gives an output of the model.
struct Fixture {
    graph: GraphBuilder,
    outputs: Vec<String>,
    opset: i64,
}

/// What an open size is when the model runs.
const OPEN: usize = 3;

impl Fixture {
    fn new() -> Fixture {
        Fixture { graph: GraphBuilder::new("g"), outputs: Vec::new(), opset: 18 }
    }

    /// The input `x` of floats; 0 is a size that stays open.
    fn of(dims: &[usize]) -> Fixture {
        Fixture::new().input("x", DataType::Fp32, dims)
    }

    fn input(mut self, name: &str, kind: DataType, dims: &[usize]) -> Fixture {
        let dim = |(axis, &size): (usize, &usize)| match size {
            0 => Dim::Symbol(format!("n{axis}")),
            size => Dim::Fixed(size),
        };
        let dims: Vec<Dim> = dims.iter().enumerate().map(dim).collect();
        self.graph = self.graph.input(name, kind, &dims);
        self
    }

    fn opset(self, opset: i64) -> Fixture {
        Fixture { opset, ..self }
    }

    /// A constant of floats between -1 and 1.
    fn weights(mut self, name: &str, dims: &[usize]) -> Fixture {
        let count = dims.iter().product();
        self.graph = self.graph.floats(name, dims, &numbers(count, name.len() as u64));
        self
    }

    fn floats(mut self, name: &str, dims: &[usize], values: &[f32]) -> Fixture {
        self.graph = self.graph.floats(name, dims, values);
        self
    }

    fn integers(mut self, name: &str, values: &[i64]) -> Fixture {
        self.graph = self.graph.integers(name, &[values.len()], values);
        self
    }

    fn constant(mut self, constant: Constant) -> Fixture {
        self.graph = self.graph.initializer(constant);
        self
    }

    /// An operator whose first output nobody but others takes.
    fn inner(mut self, node: Node) -> Fixture {
        self.graph = self.graph.node(node);
        self
    }

    /// An operator with one output, whose name is made here.
    fn op(mut self, node: Node) -> Fixture {
        let name = format!("o{:03}", self.outputs.len());
        let node = Node { outputs: vec![name.clone()], name: name.clone(), ..node };
        self.graph = self.graph.node(node);
        self.outputs.push(name);
        self
    }

    fn output(mut self, name: &str) -> Fixture {
        self.outputs.push(name.into());
        self
    }

    fn model(self) -> Model {
        let mut model = self.graph.model().with_opset("", self.opset);
        let types = model.types();
        for name in &self.outputs {
            let value_type = types.get(name).cloned();
            let value_type = value_type.unwrap_or_else(|| panic!("'{name}' has no known type"));
            model.graph.outputs.push(Value { name: name.clone(), value_type });
        }
        model.check().unwrap()
    }

    fn check(self) {
        let model = self.model();
        let inputs = inputs(&model);
        check(&model, &inputs);
    }

    fn check_with(self, inputs: &[Tensor]) {
        check(&self.model(), inputs);
    }
}

/// An operator without outputs yet.
fn op(op_type: &str, inputs: &[&str]) -> Node {
    Node::new(op_type, inputs, &[])
}

/// Numbers between -1 and 1, the same for the same seed.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn inputs(model: &Model) -> Vec<Tensor> {
    let input = |(index, value): (usize, &Value)| {
        let ValueType::Tensor { element_type, dims: Some(dims) } = &value.value_type else {
            panic!("an input of unknown type")
        };
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => *size,
            _ => OPEN,
        };
        let dims: Vec<usize> = dims.iter().map(size).collect();
        let (shape, count) = (Shape::new(&dims), dims.iter().product());
        let values = numbers(count, 7 + index as u64);
        match element_type {
            ElementType::Int64 => {
                Tensor::from_vec(shape, values.iter().map(|&one| (one * 3.0) as i64).collect())
            }
            _ => Tensor::from_vec(shape, values.iter().map(|&one| one * 3.0).collect()),
        }
        .unwrap()
    };
    model.graph.inputs.iter().enumerate().map(input).collect()
}

/// The model as a SavedModel, answering the same.
fn check(model: &Model, inputs: &[Tensor]) {
    let expected = run(&Conversion::new(model.clone(), Vec::new()), inputs)
        .expect("an engine or the evaluator knows all operators of the fixture");
    agree(model, inputs, &expected);
}

/// The model as a SavedModel answers so.
fn agree(model: &Model, inputs: &[Tensor], expected: &[Tensor]) {
    let folder = tempfile::tempdir().unwrap();
    let exported = save(model, folder.path()).unwrap();
    let target = Target::SavedModel;
    let source = read_back(&exported, folder.path(), target, &Limits::default()).unwrap();
    let found = source.evaluate(inputs).unwrap();
    let outputs = &model.signature().unwrap().outputs;
    assert_eq!(found.len(), outputs.len());
    for ((spec, expected), found) in outputs.iter().zip(expected).zip(&found) {
        let agreement = compare(expected, found, &exported.tolerances[&spec.name], None);
        if let Some(mismatch) = agreement.mismatch {
            let maker = model.graph.nodes.iter().find(|node| node.outputs.contains(&spec.name));
            let operator = maker.map_or(String::new(), Node::operator);
            panic!("'{}' ({operator}): {mismatch}", spec.name);
        }
    }
}

fn save(model: &Model, folder: &Path) -> Result<Exported, ConvertError> {
    let options = ExportOptions::default();
    let exported = export(model, Target::SavedModel, &options, &Limits::default())?;
    for (path, bytes) in &exported.files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    Ok(exported)
}

#[test]
fn inputs_and_outputs_are_known_by_name() {
    // In an order that is not that of the names.
    Fixture::new()
        .input("z", DataType::Fp32, &[0, 2])
        .input("b", DataType::Fp32, &[0, 3])
        .input("a", DataType::Fp32, &[0, 4])
        .inner(Node::new("Neg", &["b"], &["y"]))
        .inner(Node::new("Abs", &["a"], &["x"]))
        .inner(Node::new("Exp", &["z"], &["w"]))
        .output("y")
        .output("x")
        .output("w")
        .check();
}

#[test]
fn operators_of_one_value() {
    let plain = [
        "Abs",
        "Neg",
        "Ceil",
        "Floor",
        "Round",
        "Exp",
        "Sin",
        "Cos",
        "Tan",
        "Atan",
        "Tanh",
        "Sign",
        "Erf",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Relu",
        "Identity",
        "Sinh",
        "Cosh",
        "Asinh",
        "HardSwish",
        "Elu",
        "LeakyRelu",
        "HardSigmoid",
        "Softmax",
        "LogSoftmax",
        "IsNaN",
        "IsInf",
        "Reciprocal",
    ];
    let mut fixture = Fixture::of(&[0, 5, 4]);
    for name in plain {
        fixture = fixture.op(op(name, &["x"]));
    }
    fixture
        .inner(Node::new("Abs", &["x"], &["positive"]))
        .op(op("Sqrt", &["positive"]))
        .op(op("Log", &["positive"]))
        .op(op("Elu", &["x"]).with("alpha", 0.5))
        .op(op("LeakyRelu", &["x"]).with("alpha", 0.3))
        .op(op("HardSigmoid", &["x"]).with("alpha", 0.4).with("beta", 0.3))
        .op(op("Softmax", &["x"]).with("axis", 1))
        .op(op("LogSoftmax", &["x"]).with("axis", 1))
        .op(op("Cast", &["x"]).with("to", 7))
        .check();
}

#[test]
fn activations_of_few_models() {
    Fixture::of(&[0, 5, 4])
        .op(op("Selu", &["x"]))
        .op(op("Selu", &["x"]).with("alpha", 1.5).with("gamma", 0.9))
        .op(op("Mish", &["x"]))
        .op(op("Celu", &["x"]))
        .op(op("Celu", &["x"]).with("alpha", 0.5))
        .op(op("ThresholdedRelu", &["x"]))
        .check();
}

#[test]
fn activations_that_no_engine_here_has() {
    let model = Fixture::of(&[0, 4])
        .op(op("Shrink", &["x"]).with("bias", 0.5).with("lambd", 1.0))
        .op(op("Hardmax", &["x"]))
        .model();
    let tensor = |values: &[f32]| Tensor::from_vec(Shape::new(&[1, 4]), values.to_vec()).unwrap();
    let expected = [tensor(&[-1.5, 0.0, 0.0, 2.5]), tensor(&[0.0, 0.0, 0.0, 1.0])];
    agree(&model, &[tensor(&[-2.0, -0.4, 1.0, 3.0])], &expected);
}

#[test]
fn operators_of_one_small_value() {
    // Between -1 and 1, where these are defined.
    Fixture::of(&[2, 3])
        .inner(Node::new("Tanh", &["x"], &["small"]))
        .op(op("Asin", &["small"]))
        .op(op("Acos", &["small"]))
        .op(op("Atanh", &["small"]))
        .op(op("Gelu", &["x"]))
        .op(op("Gelu", &["x"]).with("approximate", "tanh"))
        .opset(20)
        .check();
}

#[test]
fn bounds_and_slopes() {
    Fixture::of(&[0, 4])
        .floats("low", &[], &[-0.5])
        .floats("high", &[], &[0.7])
        .floats("zero", &[], &[0.0])
        .floats("six", &[], &[6.0])
        .floats("slope", &[4], &[0.1, 0.2, 0.3, 0.4])
        .op(op("Clip", &["x", "low", "high"]))
        .op(op("Clip", &["x", "", "high"]))
        .op(op("Clip", &["x", "low"]))
        .op(op("Clip", &["x", "zero", "six"]))
        .op(op("Clip", &["x", "zero"]))
        .op(op("PRelu", &["x", "slope"]))
        .check();
}

#[test]
fn operators_of_two_values() {
    let mut fixture = Fixture::of(&[0, 1, 4])
        .input("y", DataType::Fp32, &[5, 1])
        .input("a", DataType::Int64, &[4])
        .floats("two", &[], &[2.0])
        .integers("b", &[3, -2, 5, 2]);
    for name in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum"] {
        fixture = fixture.op(op(name, &["x", "y"]));
    }
    for name in ["Less", "Greater", "Equal", "LessOrEqual", "GreaterOrEqual"] {
        fixture = fixture.op(op(name, &["x", "y"])).op(op(name, &["a", "b"]));
    }
    for name in ["Add", "Div", "Mod"] {
        fixture = fixture.op(op(name, &["a", "b"]));
    }
    fixture
        .op(op("Mod", &["a", "b"]).with("fmod", 1))
        .op(op("Pow", &["x", "two"]))
        .op(op("Max", &["x", "y", "two"]))
        .inner(Node::new("Less", &["x", "y"], &["p"]))
        .inner(Node::new("Greater", &["x", "two"], &["q"]))
        .op(op("And", &["p", "q"]))
        .op(op("Or", &["p", "q"]))
        .op(op("Xor", &["p", "q"]))
        .op(op("Not", &["p"]))
        .op(op("Where", &["p", "x", "y"]))
        .check();
}

#[test]
fn reductions() {
    let names = [
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ];
    let mut fixture = Fixture::of(&[0, 3, 4]).integers("axes", &[-1, 1]).integers("last", &[-1]);
    for name in names {
        fixture = fixture
            .op(op(name, &["x", "axes"]).with("keepdims", 0))
            .op(op(name, &["x", "last"]))
            .op(op(name, &["x"]));
    }
    fixture
        .op(op("ArgMax", &["x"]).with("axis", 1))
        .op(op("ArgMin", &["x"]).with("axis", -1).with("keepdims", 0))
        .inner(
            Node::new("TopK", &["x", "two"], &["most", "places"])
                .with("axis", 1)
                .with("largest", 1),
        )
        .inner(Node::new("TopK", &["x", "two"], &["least", "low"]).with("largest", 0))
        .integers("two", &[2])
        .output("most")
        .output("places")
        .output("least")
        .output("low")
        .check();
}

#[test]
fn products() {
    Fixture::of(&[0, 3, 4])
        .input("m", DataType::Fp32, &[3, 4])
        .weights("w", &[4, 5])
        .weights("batched", &[1, 4, 2])
        .weights("list", &[4])
        .weights("turned", &[5, 4])
        .weights("bias", &[5])
        .op(op("MatMul", &["x", "w"]))
        .op(op("MatMul", &["x", "batched"]))
        .op(op("MatMul", &["x", "list"]))
        .op(op("MatMul", &["list", "w"]))
        .op(op("MatMul", &["m", "w"]))
        .op(op("Gemm", &["m", "turned", "bias"]).with("transB", 1))
        .op(op("Gemm", &["m", "w", "bias"]).with("alpha", 0.5).with("beta", 2.0))
        .op(op("Einsum", &["x", "w"]).with("equation", "bij, jk -> bki"))
        .check();
}

#[test]
fn normalizations() {
    Fixture::of(&[0, 4, 5, 3])
        .floats("scale", &[4], &[1.0, 0.5, -2.0, 1.5])
        .floats("bias", &[4], &[0.1, -0.2, 0.3, 0.0])
        .floats("mean", &[4], &[0.5, 0.2, -0.3, 0.0])
        .floats("variance", &[4], &[1.0, 0.5, 2.0, 1.5])
        .floats("gain", &[3], &[1.0, 0.5, -2.0])
        .op(op("BatchNormalization", &["x", "scale", "bias", "mean", "variance"]))
        .op(op("InstanceNormalization", &["x", "scale", "bias"]))
        .op(op("LayerNormalization", &["x", "gain"]).with("axis", -1))
        .op(op("LRN", &["x"]).with("size", 3).with("alpha", 0.5))
        .check();
}

#[test]
fn shapes() {
    Fixture::of(&[0, 2, 6])
        .integers("kept", &[0, -1])
        .integers("split", &[-1, 2, 3, 2])
        .integers("axes", &[0, 3])
        .integers("one", &[1])
        .op(op("Reshape", &["x", "kept"]))
        .op(op("Reshape", &["x", "split"]))
        .op(op("Flatten", &["x"]).with("axis", 1))
        .op(op("Unsqueeze", &["x", "axes"]))
        .inner(Node::new("Unsqueeze", &["x", "one"], &["wide"]))
        .op(op("Squeeze", &["wide", "one"]))
        .op(op("Transpose", &["x"]).with("perm", [2, 0, 1]))
        .op(op("Shape", &["x"]))
        .op(op("Shape", &["x"]).with("start", 1))
        .op(op("Size", &["x"]))
        .check();
}

#[test]
fn shapes_that_are_computed() {
    // As exporters write `view(batch, length, heads, -1)`.
    Fixture::of(&[0, 0, 8])
        .integers("first", &[0])
        .integers("second", &[1])
        .integers("heads", &[2])
        .integers("rest", &[-1])
        .inner(Node::new("Shape", &["x"], &["shape"]))
        .inner(Node::new("Gather", &["shape", "first"], &["batch"]))
        .inner(Node::new("Gather", &["shape", "second"], &["length"]))
        .inner(Node::new("Concat", &["batch", "length", "heads", "rest"], &["to"]).with("axis", 0))
        .op(op("Reshape", &["x", "to"]))
        .op(op("Flatten", &["x"]).with("axis", 2))
        .integers("least", &[i64::MIN])
        .integers("two", &[2])
        .op(op("Slice", &["shape", "least", "two"]))
        .inner(Node::new("Concat", &["batch", "length"], &["sizes"]).with("axis", 0))
        .op(op("ConstantOfShape", &["sizes"]))
        .floats("number", &[1, 1], &[3.0])
        .op(op("Expand", &["number", "sizes"]))
        .check();
}

#[test]
fn parts() {
    let fixture = Fixture::of(&[0, 6, 5])
        .integers("starts", &[1, -3])
        .integers("ends", &[-1, 100])
        .integers("axes", &[1, 2])
        .integers("steps", &[2, 1])
        .integers("back", &[-1])
        .integers("front", &[i64::MIN])
        .integers("second", &[1])
        .integers("minus", &[-1])
        .integers("sizes", &[1, 2, 3])
        .integers("pads", &[0, 1, 2, 0, 0, 1])
        .integers("repeats", &[1, 2, 3]);
    fixture
        .floats("seven", &[], &[7.0])
        .op(op("Slice", &["x", "starts", "ends", "axes"]))
        .op(op("Slice", &["x", "starts", "ends", "axes", "steps"]))
        .op(op("Slice", &["x", "back", "front", "second", "minus"]))
        .op(op("Concat", &["x", "x"]).with("axis", 1))
        .op(op("Pad", &["x", "pads"]))
        .op(op("Pad", &["x", "pads", "seven"]))
        .op(op("Pad", &["x", "pads"]).with("mode", "reflect"))
        .op(op("Pad", &["x", "pads"]).with("mode", "edge"))
        .op(op("Tile", &["x", "repeats"]))
        .inner(Node::new("Split", &["x", "sizes"], &["a", "b", "c"]).with("axis", 1))
        .output("a")
        .output("b")
        .output("c")
        .check();
}

#[test]
fn places() {
    let indices = Tensor::from_vec(Shape::new(&[2, 2]), vec![1i64, -1, 0, -3]).unwrap();
    let x = Tensor::from_vec(Shape::new(&[4, 5]), numbers(20, 1)).unwrap();
    let places = Tensor::from_vec(Shape::new(&[4, 2]), vec![1i64, -1, 0, 4, 3, 2, -5, 0]).unwrap();
    Fixture::of(&[0, 5])
        .input("i", DataType::Int64, &[2, 2])
        .input("e", DataType::Int64, &[0, 2])
        .floats("off_on", &[2], &[-1.0, 2.0])
        .integers("depth", &[4])
        .constant(Constant::raw("axis", ElementType::Int64, &[], 1i64.to_le_bytes().to_vec()))
        .op(op("Gather", &["x", "i"]).with("axis", 1))
        .op(op("Gather", &["x", "i"]))
        .op(op("GatherElements", &["x", "e"]).with("axis", 1))
        .op(op("GatherND", &["x", "i"]))
        .op(op("OneHot", &["i", "depth", "off_on"]))
        .op(op("CumSum", &["x", "axis"]))
        .op(op("CumSum", &["x", "axis"]).with("exclusive", 1).with("reverse", 1))
        .check_with(&[x, indices, places]);
}

#[test]
fn updates() {
    let x = Tensor::from_vec(Shape::new(&[4, 5]), numbers(20, 1)).unwrap();
    let places = Tensor::from_vec(Shape::new(&[2, 1]), vec![1i64, -1]).unwrap();
    let rows = Tensor::from_vec(Shape::new(&[2, 5]), numbers(10, 2)).unwrap();
    Fixture::of(&[4, 5])
        .input("i", DataType::Int64, &[2, 1])
        .input("u", DataType::Fp32, &[2, 5])
        .integers("five", &[2, 5])
        .op(op("ScatterND", &["x", "i", "u"]))
        .inner(Node::new("Expand", &["i", "five"], &["wide"]))
        .op(op("ScatterElements", &["x", "wide", "u"]))
        .check_with(&[x, places, rows]);
}

#[test]
fn what_is_made() {
    Fixture::of(&[0, 5, 6])
        .op(op("Trilu", &["x"]))
        .op(op("Trilu", &["x"]).with("upper", 0))
        .inner(Node::new("Shape", &["x"], &["shape"]))
        .constant(Constant::raw("zero", ElementType::Int64, &[], 0i64.to_le_bytes().to_vec()))
        .constant(Constant::raw("two", ElementType::Int64, &[], 2i64.to_le_bytes().to_vec()))
        .constant(Constant::raw("thirty", ElementType::Int64, &[], 30i64.to_le_bytes().to_vec()))
        .op(op("Range", &["zero", "thirty", "two"]))
        .inner(Node::new("Gather", &["shape", "zero"], &["batch"]))
        .op(op("Range", &["zero", "batch", "two"]))
        .check();
}

#[test]
fn quantized_models() {
    let bytes: Vec<u8> = (0..6 * 4 * 9).map(|index| (index * 37 % 255) as u8).collect();
    let zeros = Constant::raw("zeros", ElementType::Int8, &[6], vec![0u8; 6]);
    Fixture::of(&[0, 4, 6, 6])
        .constant(Constant::raw("w", ElementType::Int8, &[6, 4, 3, 3], bytes))
        .constant(zeros)
        .floats("scales", &[6], &[0.01, 0.02, 0.03, 0.011, 0.012, 0.013])
        .floats("step", &[], &[0.05])
        .constant(Constant::raw("point", ElementType::Uint8, &[], vec![7u8]))
        .inner(Node::new("QuantizeLinear", &["x", "step", "point"], &["q"]))
        .inner(Node::new("DequantizeLinear", &["q", "step", "point"], &["d"]))
        .inner(Node::new("DequantizeLinear", &["w", "scales", "zeros"], &["dw"]).with("axis", 0))
        .inner(
            Node::new("Conv", &["d", "dw"], &["c"])
                .with("pads", [1, 1, 1, 1])
                .with("strides", [1, 1])
                .with("dilations", [1, 1]),
        )
        .inner(Node::new("Relu", &["c"], &["r"]))
        .output("q")
        .output("d")
        .output("r")
        .check();
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let dims = [1, 4, 4].map(Dim::Fixed);
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &dims)
        .node(Node::new("Det", &["x"], &["d"]))
        .node(Node::new("Relu", &["d"], &["r"]))
        .node(Node::new("Dot", &["r"], &["s"]).in_domain("mine"))
        .node(Node::new("Add", &["r", "s"], &["y"]))
        .output("y", DataType::Fp32, &[Dim::Fixed(1)])
        .model()
        .with_opset("mine", 1)
        .check()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = save(&model, folder.path()).err().unwrap().to_string();
    assert!(error.contains("Det at 'Det_d': the operator is not covered"), "{error}");
    assert!(error.contains("mine.Dot at 'Dot_s'"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
