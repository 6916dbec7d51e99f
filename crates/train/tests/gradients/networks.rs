//! Whole networks, as PyTorch exports them.
//!
//! The measure: the estimated norm of the difference ([`Sketch::distance`]), relative to the norm
//! that PyTorch has. Some parameters have no influence (a shift that batch normalization takes out
//! again, the bias of keys in attention), so that all of their gradient is rounding: where PyTorch
//! in 64 bits has less than [`NONE`] of the norm of all gradients together, the norm counts as
//! [`SHARE`] of that.

use modelyard_graph::{Limits, Model};
use modelyard_tensor::Shape;
use modelyard_train::{Array, Program};
use serde::Deserialize;

use crate::weights::{Entry, Sketch};
use crate::{Question, answer, members, mode};

/// What is promised.
const TOLERANCE: f64 = 1e-3;

/// A smaller share of the norm of all gradients is none.
const NONE: f64 = 1e-9;

/// The share that counts instead.
const SHARE: f64 = 1e-3;

#[test]
fn mobilenet_v2_learns_as_in_pytorch() {
    check(include_bytes!("../fixtures/mobilenet_v2.zip"));
}

#[test]
fn resnet18_learns_as_in_pytorch() {
    check(include_bytes!("../fixtures/resnet18.zip"));
}

#[test]
fn an_encoder_learns_as_in_pytorch() {
    check(include_bytes!("../fixtures/encoder.zip"));
}

#[test]
fn an_encoder_of_the_older_exporter_learns_as_in_pytorch() {
    check(include_bytes!("../fixtures/encoder-script.zip"));
}

/// `network.json` of a fixture.
#[derive(Deserialize)]
struct Network {
    weights: Vec<Entry>,
    inputs: Vec<Entry>,
    integers: Vec<Integers>,
    runs: Vec<Expected>,
}

#[derive(Deserialize)]
struct Integers {
    name: String,
    shape: Vec<usize>,
    values: Vec<i64>,
}

/// What PyTorch gives in one mode.
#[derive(Deserialize)]
struct Expected {
    mode: String,
    output: String,
    /// The gradient of the loss by the output.
    seed: Entry,
    value: Sketch,
    gradients: Vec<Sketch>,
}

impl Network {
    fn inputs(&self) -> Vec<(&str, Array)> {
        let floats = self.inputs.iter().map(|entry| (entry.name.as_str(), entry.array()));
        let integers = self.integers.iter().map(|input| {
            let array = Array::ints(Shape::new(&input.shape), input.values.clone());
            (input.name.as_str(), array)
        });
        floats.chain(integers).collect()
    }
}

fn check(fixture: &'static [u8]) {
    let (network, program) = load(fixture);
    let failures: Vec<String> =
        network.runs.iter().flat_map(|expected| failures(&program, &network, expected)).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// The network with the weights that belong to it.
fn load(fixture: &'static [u8]) -> (Network, Program) {
    let members = members(fixture);
    let member =
        |name| &members.iter().find(|(found, _)| found == name).expect("a network has it").1;
    let network: Network = serde_json::from_slice(member("network.json")).unwrap();
    let bytes = member("model.onnx").clone();
    let mut model = Model::parse(bytes.into(), &Limits::default()).unwrap();
    // The file has its weights as inputs: an initializer of the same name is their default.
    model.graph.initializers.extend(network.weights.iter().map(Entry::constant));
    let model = model.verified(&Limits::default()).unwrap();
    (network, Program::compile(&model).unwrap_or_else(|error| panic!("{error}")))
}

fn failures(program: &Program, network: &Network, expected: &Expected) -> Vec<String> {
    let trained: Vec<&str> = expected.gradients.iter().map(|sketch| sketch.name.as_str()).collect();
    let question = Question {
        mode: mode(&expected.mode),
        inputs: network.inputs(),
        targets: &[&expected.output],
        seeds: vec![(&expected.output, expected.seed.array())],
        trained: &trained,
    };
    let (values, gradients) = match answer(program, question) {
        Ok(answer) => answer,
        Err(error) => return vec![format!("{}: {error}", expected.mode)],
    };
    let squares = expected.gradients.iter().map(|sketch| sketch.norm * sketch.norm);
    let all = squares.sum::<f64>().sqrt();
    let scale = |norm: f64| if norm < NONE * all { SHARE * all } else { norm };
    let outputs = [(&expected.value, &values[0], expected.value.norm)].into_iter();
    let gradients = expected.gradients.iter().zip(&gradients);
    outputs
        .chain(gradients.map(|(sketch, found)| (sketch, found, scale(sketch.norm))))
        .filter_map(|(sketch, found, scale)| {
            let error = sketch.distance(found) / scale;
            let text = || format!("{}: '{}' differs by {error:.1e}", expected.mode, sketch.name);
            (error.is_nan() || error > TOLERANCE).then(text)
        })
        .collect()
}
