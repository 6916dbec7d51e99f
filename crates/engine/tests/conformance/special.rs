//! NaN and infinities through single operators, expected as NumPy has them.
//!
//! Twice each: given to the model, and coming up inside it. The ONNX node tests have few of these,
//! and an engine that makes a number of what is none answers something plausible.

use modelyard_engine::{Engine, LoadOptions, ModelFile, Parallelism};
use modelyard_graph::{GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim, Tensor};

use crate::compare;

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;
/// Their reciprocals are exact.
const GIVEN: [f32; 7] = [NAN, INF, -INF, 0.0, -2.0, 4.0, 0.5];

struct Case {
    node: Node,
    expected: [f32; 7],
}

fn case(op_type: &str, constants: &[&str], expected: [f32; 7]) -> Case {
    let inputs: Vec<&str> = [&["v"], constants].concat();
    Case { node: Node::new(op_type, &inputs, &["y"]), expected }
}

fn cases() -> Vec<Case> {
    let (low, high) = (f32::MIN, f32::MAX);
    vec![
        case("Relu", &[], [NAN, INF, 0.0, 0.0, 0.0, 4.0, 0.5]),
        case("Clip", &["zero", "one"], [NAN, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5]),
        case("Clip", &["minus", "one"], [NAN, 1.0, -1.0, 0.0, -1.0, 1.0, 0.5]),
        case("Clip", &["zero"], [NAN, high, 0.0, 0.0, 0.0, 4.0, 0.5]),
        case("Clip", &["", "one"], [NAN, 1.0, low, 0.0, -2.0, 1.0, 0.5]),
        case("Clip", &[], [NAN, high, low, 0.0, -2.0, 4.0, 0.5]),
        case("Sign", &[], [NAN, 1.0, -1.0, 0.0, -1.0, 1.0, 1.0]),
        case("Abs", &[], [NAN, INF, INF, 0.0, 2.0, 4.0, 0.5]),
        case("Max", &["one"], [NAN, INF, 1.0, 1.0, 1.0, 4.0, 1.0]),
        case("Min", &["one"], [NAN, 1.0, -INF, 0.0, -2.0, 1.0, 0.5]),
        case("Add", &["one"], [NAN, INF, -INF, 1.0, -1.0, 5.0, 1.5]),
        case("Mul", &["zero"], [NAN, NAN, NAN, 0.0, 0.0, 0.0, 0.0]),
        case("Sub", &["v"], [NAN, NAN, NAN, 0.0, 0.0, 0.0, 0.0]),
        case("LeakyRelu", &[], [NAN, INF, -INF, 0.0, -0.02, 4.0, 0.5]),
        case("Elu", &[], [NAN, INF, -1.0, 0.0, -0.864_664_7, 4.0, 0.5]),
        case("Sigmoid", &[], [NAN, 1.0, 0.0, 0.5, 0.119_202_92, 0.982_013_8, 0.622_459_4]),
        case("Tanh", &[], [NAN, 1.0, -1.0, 0.0, -0.964_027_6, 0.999_329_3, 0.462_117_2]),
        case("Exp", &[], [NAN, INF, 0.0, 1.0, 0.135_335_28, 54.598_15, 1.648_721_3]),
        case("Sqrt", &[], [NAN, INF, NAN, 0.0, NAN, 2.0, 0.707_106_77]),
        case("Floor", &[], [NAN, INF, -INF, 0.0, -2.0, 4.0, 0.0]),
        case("Round", &[], [NAN, INF, -INF, 0.0, -2.0, 4.0, 0.0]),
        case("ReduceMax", &[], [NAN; 7]),
        case("ReduceMin", &[], [NAN; 7]),
        case("ReduceSum", &[], [NAN; 7]),
        case("Softmax", &[], [NAN; 7]),
    ]
}

impl Case {
    /// The operator on the input itself, or on its reciprocal's reciprocal.
    fn model(&self, inside: bool) -> Model {
        let mut builder = GraphBuilder::new("special")
            .input("x", DataType::Fp32, &[Dim::Free])
            .output("y", DataType::Fp32, &[Dim::Free])
            .floats("zero", &[], &[0.0])
            .floats("one", &[], &[1.0])
            .floats("minus", &[], &[-1.0]);
        builder = if inside {
            builder.node(Node::new("Reciprocal", &["x"], &["r"])).node(Node::new(
                "Reciprocal",
                &["r"],
                &["v"],
            ))
        } else {
            builder.node(Node::new("Identity", &["x"], &["v"]))
        };
        builder.node(self.node.clone()).model().with_opset("", 17).check().unwrap()
    }

    /// What is wrong with an engine's answer; nothing when it gives none.
    fn wrong(&self, engine: &dyn Engine, inside: bool) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let (path, model) = (folder.path().join("model.onnx"), self.model(inside));
        std::fs::write(&path, model.encode()).unwrap();
        let loaded = engine
            .load(&ModelFile { path, model }, &LoadOptions { threads: 1, lone: false })
            .ok()?;
        let given = Tensor::from_vec([7].into(), GIVEN.to_vec()).unwrap();
        let found = loaded.session.run(&[given.view()], &[0], Parallelism::One).ok()?;
        let count = found[0].shape().elements().unwrap();
        let expected = Tensor::from_vec([count].into(), self.expected[..count].to_vec()).unwrap();
        let difference = compare::first_difference(&[expected], &found)?;
        Some(format!("{} {:?}, inside {inside}: {difference}", self.node.op_type, self.node.inputs))
    }
}

/// rten made a bound of NaN in Relu and Clip, and 0 in Sign.
pub(crate) fn check(engine: &dyn Engine) {
    let wrong: Vec<String> = cases()
        .iter()
        .flat_map(|case| [case.wrong(engine, false), case.wrong(engine, true)])
        .flatten()
        .collect();
    assert!(wrong.is_empty(), "{} answers wrongly:\n{}", engine.name(), wrong.join("\n"));
}
