//! ONNX to TensorFlow Lite: what is written is read back by our own reader, and its evaluator must
//! say what an engine says of the ONNX model, or what the framework says of the fixture it came from.

mod images;
mod there_and_back;

use std::collections::BTreeMap;

use modelyard_convert::export::{ExportOptions, Exported, Target, export};
use modelyard_convert::verify::{Trial, compare, inputs, quantization_step};
use modelyard_convert::{Conversion, ConvertError, Limits, Options, convert, open};
use modelyard_graph::{Constant, ElementType, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim, Tensor};

use crate::support::run;

fn dims(sizes: &[usize]) -> Vec<Dim> {
    sizes.iter().map(|&size| Dim::Fixed(size)).collect()
}

/// A value between nothing and itself that repeats: no two neighbours are alike.
fn weights(name: &str, sizes: &[usize]) -> Constant {
    let count: usize = sizes.iter().product();
    let values: Vec<f32> = (0..count).map(|index| ((index * 7) % 11) as f32 * 0.1 - 0.5).collect();
    Constant::floats(name, sizes, &values)
}

/// A graph with input `x` of these sizes.
fn of(sizes: &[usize]) -> GraphBuilder {
    GraphBuilder::new("g").input("x", DataType::Fp32, &dims(sizes))
}

/// The model that gives `y`, whose shape is inferred.
fn giving(builder: GraphBuilder, element_type: DataType, rank: usize) -> Model {
    let open: Vec<Dim> = (0..rank).map(|axis| Dim::Symbol(format!("y{axis}"))).collect();
    let mut model = builder.output("y", element_type, &open).model().with_opset("", 18);
    model.state_types();
    model.check().unwrap()
}

/// Exports `model`, and compares what the file says with what an engine says.
fn check(name: &str, model: &Model, options: &ExportOptions) -> Exported {
    let exported = export(model, Target::Tflite, options, &Limits::default())
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let conversion = conversion(&exported);
    for (seed, edges) in [(1, false), (2, true)] {
        let trial = Trial { batch: 2, sizes: BTreeMap::new(), seed, edges };
        let given = inputs(&conversion, &trial).unwrap();
        let expected = run(&conversion, &given).unwrap_or_else(|| panic!("{name} does not run"));
        agree(name, &exported, &expected, &evaluated(&exported, &given));
    }
    exported
}

fn conversion(exported: &Exported) -> Conversion {
    Conversion::new(exported.model.clone(), Vec::new())
}

/// What our own reader says of the file.
fn evaluated(exported: &Exported, given: &[Tensor]) -> Vec<Tensor> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.tflite");
    std::fs::write(&path, &exported.files[0].1).unwrap();
    let written = open(&path, &Options::default(), &Limits::default()).unwrap();
    written.evaluate(given).unwrap()
}

fn agree(name: &str, exported: &Exported, expected: &[Tensor], found: &[Tensor]) {
    assert_eq!(expected.len(), found.len(), "{name}");
    let outputs = &exported.model.graph.outputs;
    for (output, (expected, found)) in outputs.iter().zip(expected.iter().zip(found)) {
        let step = quantization_step(&exported.model, &output.name);
        let agreement = compare(expected, found, &exported.tolerances[&output.name], step);
        assert_eq!(agreement.mismatch, None, "{name}");
    }
}

fn kinds(exported: &Exported) -> Vec<&str> {
    exported.operators().into_keys().collect()
}

/// One node of one input, by its name and attributes.
fn simple(sizes: &[usize], node: Node) -> Model {
    giving(of(sizes).node(node), DataType::Fp32, sizes.len())
}

#[test]
fn functions_of_one_number_are_written() {
    for operator in [
        "Abs",
        "Ceil",
        "Celu",
        "Cos",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Neg",
        "Relu",
        "Round",
        "Selu",
        "Sigmoid",
        "Sign",
        "Sin",
        "Softplus",
        "Softsign",
        "Tanh",
        "Identity",
    ] {
        check(operator, &simple(&[2, 3, 5], Node::new(operator, &["x"], &["y"])), &default());
    }
}

fn default() -> ExportOptions {
    ExportOptions::default()
}

#[test]
fn operators_with_numbers_beside_are_written() {
    for operator in ["Add", "Sub", "Mul", "Div", "Max", "Min"] {
        let builder = of(&[2, 3, 4]).initializer(weights("w", &[3, 1]));
        let node = Node::new(operator, &["x", "w"], &["y"]);
        check(operator, &giving(builder.node(node), DataType::Fp32, 3), &default());
    }
    for operator in ["Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"] {
        let builder = of(&[2, 3]).floats("w", &[], &[0.0]);
        let node = Node::new(operator, &["x", "w"], &["y"]);
        check(operator, &giving(builder.node(node), DataType::Bool, 2), &default());
    }
}

#[test]
fn reductions_are_written() {
    for operator in [
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ] {
        for keep in [0, 1] {
            let builder = of(&[2, 3, 4]).integers("axes", &[2], &[1, -1]);
            let node = Node::new(operator, &["x", "axes"], &["y"]).with("keepdims", keep);
            let rank = if keep == 1 { 3 } else { 1 };
            check(operator, &giving(builder.node(node), DataType::Fp32, rank), &default());
        }
    }
}

#[test]
fn shapes_and_places_are_written() {
    let cases: Vec<(Model, &str)> = vec![
        (
            simple(&[2, 3, 4], Node::new("Transpose", &["x"], &["y"]).with("perm", [2, 0, 1])),
            "TRANSPOSE",
        ),
        (
            giving(
                of(&[2, 3, 4]).integers("s", &[2], &[0, -1]).node(Node::new(
                    "Reshape",
                    &["x", "s"],
                    &["y"],
                )),
                DataType::Fp32,
                2,
            ),
            "RESHAPE",
        ),
        (
            giving(
                of(&[2, 3, 4])
                    .integers("i", &[2], &[2, -1])
                    .node(Node::new("Gather", &["x", "i"], &["y"]).with("axis", 1)),
                DataType::Fp32,
                3,
            ),
            "GATHER",
        ),
        (
            giving(
                of(&[2, 6])
                    .integers("p", &[4], &[0, 1, 1, 2])
                    .floats("v", &[], &[1.5])
                    .node(Node::new("Pad", &["x", "p", "v"], &["y"])),
                DataType::Fp32,
                2,
            ),
            "PADV2",
        ),
        (
            giving(
                of(&[2, 6])
                    .integers("p", &[4], &[1, 2, 0, 1])
                    .node(Node::new("Pad", &["x", "p"], &["y"]).with("mode", "edge")),
                DataType::Fp32,
                2,
            ),
            "GATHER",
        ),
        (
            giving(
                of(&[2, 7])
                    .integers("a", &[1], &[5])
                    .integers("b", &[1], &[i64::MIN])
                    .integers("c", &[1], &[1])
                    .integers("d", &[1], &[-2])
                    .node(Node::new("Slice", &["x", "a", "b", "c", "d"], &["y"])),
                DataType::Fp32,
                2,
            ),
            "STRIDED_SLICE",
        ),
        (
            giving(
                of(&[2, 3]).integers("r", &[2], &[2, 3]).node(Node::new(
                    "Tile",
                    &["x", "r"],
                    &["y"],
                )),
                DataType::Fp32,
                2,
            ),
            "TILE",
        ),
        (
            giving(
                of(&[2, 1]).integers("r", &[2], &[1, 3]).node(Node::new(
                    "Expand",
                    &["x", "r"],
                    &["y"],
                )),
                DataType::Fp32,
                2,
            ),
            "BROADCAST_TO",
        ),
        (simple(&[2, 3, 4], Node::new("Softmax", &["x"], &["y"]).with("axis", 1)), "SOFTMAX"),
        (
            giving(
                of(&[2, 3, 4]).node(Node::new("ArgMax", &["x"], &["y"]).with("axis", 1)),
                DataType::Int64,
                3,
            ),
            "ARG_MAX",
        ),
        (giving(of(&[2, 3, 4]).node(Node::new("Shape", &["x"], &["y"])), DataType::Int64, 1), ""),
    ];
    for (model, kind) in &cases {
        let exported = check(kind, model, &default());
        assert!(
            kind.is_empty() || kinds(&exported).contains(kind),
            "{kind}: {:?}",
            kinds(&exported)
        );
    }
}

#[test]
fn products_and_normalizations_are_written() {
    let matmul = of(&[2, 3, 4]).initializer(weights("w", &[4, 5])).initializer(weights("b", &[5]));
    let matmul = matmul.node(Node::new("MatMul", &["x", "w"], &["m"])).node(Node::new(
        "Add",
        &["m", "b"],
        &["y"],
    ));
    let exported = check("dense", &giving(matmul, DataType::Fp32, 3), &default());
    assert_eq!(kinds(&exported), ["FULLY_CONNECTED"]);
    let both = of(&[2, 3, 4]).node(Node::new("Transpose", &["x"], &["t"]).with("perm", [0, 2, 1]));
    let both = both.node(Node::new("MatMul", &["x", "t"], &["y"]));
    check("both computed", &giving(both, DataType::Fp32, 3), &default());
    let layer = of(&[2, 3, 4]).initializer(weights("w", &[4])).initializer(weights("b", &[4]));
    let layer = layer.node(Node::new("LayerNormalization", &["x", "w", "b"], &["y"]));
    check("layer", &giving(layer, DataType::Fp32, 3), &default());
    let instance =
        of(&[2, 3, 4, 5]).initializer(weights("w", &[3])).initializer(weights("b", &[3]));
    let instance = instance.node(Node::new("InstanceNormalization", &["x", "w", "b"], &["y"]));
    check("instance", &giving(instance, DataType::Fp32, 4), &default());
}

#[test]
fn gelu_is_one_operator_however_it_is_computed() {
    let builder = of(&[2, 6])
        .floats("root", &[], &[std::f32::consts::SQRT_2])
        .floats("one", &[], &[1.0])
        .floats("half", &[], &[0.5]);
    let builder = builder
        .node(Node::new("Div", &["x", "root"], &["d"]))
        .node(Node::new("Erf", &["d"], &["e"]))
        .node(Node::new("Add", &["e", "one"], &["a"]))
        .node(Node::new("Mul", &["x", "a"], &["m"]))
        .node(Node::new("Mul", &["m", "half"], &["y"]));
    let exported = check("gelu", &giving(builder, DataType::Fp32, 2), &default());
    assert_eq!(kinds(&exported), ["GELU"]);
}

#[test]
fn everything_without_a_counterpart_is_named_at_once() {
    let builder = of(&[2, 3]).node(Node::new("Hardmax", &["x"], &["h"]).with("axis", 1));
    let builder =
        builder.node(Node::new("Det", &["h"], &["d"])).node(Node::new("Relu", &["d"], &["y"]));
    let model = builder.output("y", ElementType::Float32, &[]).model().with_opset("", 18);
    let model = model.check().unwrap();
    match export(&model, Target::Tflite, &default(), &Limits::default()) {
        Err(ConvertError::Unsupported(missing)) => {
            let names: Vec<&str> = missing.iter().map(|one| one.operator.as_str()).collect();
            assert_eq!(names, ["Hardmax", "Det"]);
        }
        other => panic!("expected it to be refused, found {other:?}"),
    }
}

#[test]
fn names_of_classes_go_along() {
    let model = simple(&[2, 3], Node::new("Softmax", &["x"], &["y"]));
    let labels = vec!["cat".to_owned(), "dog".to_owned(), "".to_owned(), "cow".to_owned()];
    let options = ExportOptions { labels: labels.clone(), ..default() };
    let exported = check("labels", &model, &options);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.tflite");
    std::fs::write(&path, &exported.files[0].1).unwrap();
    let written = open(&path, &Options::default(), &Limits::default()).unwrap();
    assert_eq!(convert(written.as_ref(), &Options::default()).unwrap().labels, labels);
}

/// The interpreter of TensorFlow Lite aborts, or reads memory that is not its own.
#[test]
fn more_dimensions_than_kernels_take_are_refused() {
    let five = [Dim::Fixed(2), Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(1), Dim::Fixed(2)];
    let model = GraphBuilder::new("g")
        .input("x", DataType::Fp32, &five)
        .floats("limits", &[1, 3, 1, 3, 1], &[0.5; 9])
        .output("y", DataType::Bool, &five.map(|_| Dim::Free))
        .node(Node::new("Less", &["x", "limits"], &["y"]))
        .model()
        .check()
        .unwrap();
    let error = export(&model, Target::Tflite, &default(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("5 dimensions, where TensorFlow Lite takes at most 4"));
}
