//! From an ensemble to ONNX: one node for all trees, then what the framework makes of the scores.

use modelyard_graph::{ElementType, Node};
use modelyard_tensor::Dim;

use super::ensemble::{Answer, Ensemble, Link, Scores};
use super::flatten::Lists;
use crate::emitter::{Emitter, node};
use crate::{Conversion, ConvertError};

/// Version of `ai.onnx.ml`: the last that has the operator in the form that all runtimes know.
const ML_OPSET: i64 = 3;

/// Metadata: names of the features, as a list in JSON.
const FEATURES: &str = "modelyard.features";

/// Metadata: how many classes there are.
const CLASSES: &str = "modelyard.classes";

pub(super) fn convert(ensemble: &Ensemble) -> Result<Conversion, ConvertError> {
    let mut emitter = Emitter::new("trees");
    let rows = || Dim::Symbol("batch".into());
    let dims = [rows(), Dim::Fixed(ensemble.features)];
    for output in ["label", "probabilities", "prediction"] {
        emitter.reserve(output);
    }
    let input = emitter.input("input", ElementType::Float32, Some(&dims));
    let scores = match &ensemble.scores {
        Scores::Trees(_) => trees(&mut emitter, ensemble, &input),
        Scores::Linear(weights) => linear(&mut emitter, ensemble, weights, &input),
    };
    emitter.begin("predict", &format!("{:?}", ensemble.answer));
    let classes = match ensemble.targets {
        1 => 2,
        targets => targets,
    };
    let probabilities = match ensemble.answer {
        Answer::Values(link) => {
            let mut value = linked(&mut emitter, link, &scores);
            let mut dims = vec![rows(), Dim::Fixed(ensemble.targets)];
            if ensemble.targets == 1 {
                value = squeezed(&mut emitter, &value);
                dims.pop();
            }
            emitter.output("prediction", &value, ElementType::Float32, Some(&dims));
            return finish(emitter, ensemble, None);
        }
        Answer::Sign => {
            let label = sign(&mut emitter, &scores);
            emitter.output("label", &label, ElementType::Int64, Some(&[rows()]));
            return finish(emitter, ensemble, Some(classes));
        }
        Answer::Binary(slope) => {
            let second = sigmoid(&mut emitter, slope, &scores);
            let one = emitter.scalar("one", 1.0);
            let first = emitter.add(node("Sub", &[&one, &second]));
            emitter.add(node("Concat", &[first, second]).with("axis", 1))
        }
        Answer::Softmax => emitter.add(node("Softmax", &[&scores]).with("axis", 1)),
        Answer::OneVersusAll(slope) => sigmoid(&mut emitter, slope, &scores),
    };
    let highest = node("ArgMax", &[&probabilities]).with("axis", 1).with("keepdims", 0);
    let label = emitter.add(highest);
    emitter.output("label", &label, ElementType::Int64, Some(&[rows()]));
    let dims = [rows(), Dim::Fixed(classes)];
    emitter.output("probabilities", &probabilities, ElementType::Float32, Some(&dims));
    finish(emitter, ensemble, Some(classes))
}

fn trees(emitter: &mut Emitter, ensemble: &Ensemble, input: &str) -> String {
    emitter.begin("trees", "Trees");
    emitter.require("ai.onnx.ml", ML_OPSET);
    let mut lists = Lists::default();
    for (number, tree) in ensemble.trees().iter().enumerate() {
        lists.add(number, tree, ensemble.targets);
    }
    let node = lists.finish(&ensemble.base);
    emitter.add(Node { inputs: vec![input.to_owned()], ..node })
}

/// Weights and biases; what is missing counts as zero.
fn linear(emitter: &mut Emitter, ensemble: &Ensemble, weights: &[f32], input: &str) -> String {
    emitter.begin("linear", "Linear");
    let missing = emitter.add(node("IsNaN", &[input]));
    let zero = emitter.scalar("zero", 0.0);
    let known = emitter.add(node("Where", &[missing.as_str(), &zero, input]));
    let (weights, biases) = weights.split_at(ensemble.features * ensemble.targets);
    let biases: Vec<f32> = biases.iter().zip(&ensemble.base).map(|(one, two)| one + two).collect();
    let weights = emitter.floats("weights", &[ensemble.features, ensemble.targets], weights);
    let biases = emitter.floats("biases", &[ensemble.targets], &biases);
    emitter.add(node("Gemm", &[known, weights, biases]))
}

fn linked(emitter: &mut Emitter, link: Link, scores: &str) -> String {
    match link {
        Link::Identity => scores.to_owned(),
        Link::Exp => emitter.add(node("Exp", &[scores])),
        Link::Sigmoid => emitter.add(node("Sigmoid", &[scores])),
        Link::Softplus => emitter.add(node("Softplus", &[scores])),
        Link::SignedSquare => {
            let size = emitter.add(node("Abs", &[scores]));
            emitter.add(node("Mul", &[scores, &size]))
        }
    }
}

fn sigmoid(emitter: &mut Emitter, slope: f32, scores: &str) -> String {
    let mut scores = scores.to_owned();
    if slope != 1.0 {
        let slope = emitter.scalar("slope", slope);
        scores = emitter.add(node("Mul", &[scores, slope]));
    }
    emitter.add(node("Sigmoid", &[scores]))
}

fn sign(emitter: &mut Emitter, scores: &str) -> String {
    let zero = emitter.scalar("zero", 0.0);
    let above = emitter.add(node("Greater", &[scores, &zero]));
    let above = squeezed(emitter, &above);
    let long = i64::from(ElementType::Int64.code());
    emitter.add(node("Cast", &[above]).with("to", long))
}

fn squeezed(emitter: &mut Emitter, value: &str) -> String {
    let axis = emitter.integers("axis", &[1]);
    emitter.add(node("Squeeze", &[value, &axis]))
}

fn finish(
    emitter: Emitter,
    ensemble: &Ensemble,
    classes: Option<usize>,
) -> Result<Conversion, ConvertError> {
    let (mut model, steps) = emitter.finish()?;
    if !ensemble.feature_names.is_empty() {
        let names = serde_json::Value::from(ensemble.feature_names.clone());
        model.metadata.insert(FEATURES.into(), names.to_string());
    }
    if let Some(classes) = classes {
        model.metadata.insert(CLASSES.into(), classes.to_string());
    }
    Ok(Conversion { notes: ensemble.notes.clone(), ..Conversion::new(model, steps) })
}
