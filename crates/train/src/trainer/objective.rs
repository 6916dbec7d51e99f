//! Which value of the graph is graded, and by which loss.

use modelyard_graph::{Model, Node};
use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::data::Targets;
use crate::error::{CompileError, OpError};
use crate::loss::{
    Distillation, Form, Graded, binary_cross_entropy, cross_entropy, distillation, kl_divergence,
    mean_squared_error,
};

/// A loss by name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// Mean squared error.
    MeanSquaredError,
    /// One class of several.
    CrossEntropy,
    /// Independent yes and no.
    BinaryCrossEntropy,
    /// To a distribution.
    KlDivergence,
    /// To a teacher, mixed with the labels: temperature and weight of the teacher.
    Distillation(f32, f32),
}

/// The value that is graded, what its numbers are, and the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    target: String,
    form: Form,
    loss: LossKind,
}

impl Objective {
    /// The objective for the first output of a model.
    ///
    /// Where the output comes out of a softmax (or a sigmoid, for binary cross-entropy) the
    /// numbers that go into it are graded: the same loss, but numerically stable. An output that
    /// comes out of neither is taken as logits.
    pub fn of(model: &Model, loss: LossKind) -> Result<Objective, CompileError> {
        let output = model.graph.outputs.first().map(|output| output.name.clone());
        let output =
            output.ok_or_else(|| CompileError::Uncovered(vec!["it has no output".into()]))?;
        if loss == LossKind::MeanSquaredError {
            return Ok(Objective { target: output, form: Form::Logits, loss });
        }
        let ends: &[&str] = match loss {
            LossKind::BinaryCrossEntropy => &["Sigmoid"],
            _ => &["Softmax", "LogSoftmax"],
        };
        let last = last_node(model, &output);
        let form = match last {
            Some(node) if ends.contains(&node.op_type.as_str()) => match logits_before(model, node)
            {
                Some(target) => return Ok(Objective { target, form: Form::Logits, loss }),
                None => Form::Probabilities,
            },
            Some(node) if node.op_type == "Softmax" || node.op_type == "Sigmoid" => {
                Form::Probabilities
            }
            _ => Form::Logits,
        };
        if let (LossKind::Distillation(..), Form::Probabilities) = (loss, form) {
            let reason = format!("output '{output}' has no logits: distillation needs them");
            return Err(CompileError::Uncovered(vec![reason]));
        }
        Ok(Objective { target: output, form, loss })
    }

    /// The name of the value that is graded.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The loss of a batch, and its gradient by the target.
    pub fn grade(&self, prediction: &Array, targets: &Targets) -> Result<Graded, OpError> {
        match (self.loss, targets) {
            (LossKind::Distillation(temperature, alpha), Targets::Soft { logits, classes }) => {
                let settings = Distillation { temperature, alpha };
                distillation(prediction, logits, classes, settings)
            }
            // Validation by labels alone.
            (LossKind::Distillation(..) | LossKind::CrossEntropy, _) => {
                cross_entropy(prediction, targets, self.form)
            }
            (LossKind::MeanSquaredError, _) => mean_squared_error(prediction, targets),
            (LossKind::BinaryCrossEntropy, _) => {
                binary_cross_entropy(prediction, targets, self.form)
            }
            (LossKind::KlDivergence, _) => kl_divergence(prediction, targets, self.form),
        }
    }

    /// How many examples of a batch are answered right; `None` where there are no classes.
    pub fn correct(&self, prediction: &Array, targets: &Targets) -> Option<Correct> {
        let classes: Vec<Option<usize>> = match targets {
            Targets::Classes(classes) => classes.iter().copied().map(Some).collect(),
            Targets::Soft { classes, .. } => classes.clone(),
            _ => return None,
        };
        let values = prediction.as_floats().ok()?;
        let columns = values.len().checked_div(classes.len())?.max(1);
        // One column answers yes above the middle: 0 for logits, 1/2 for probabilities.
        let middle = if self.form == Form::Logits { 0.0 } else { 0.5 };
        let answer = |row: &[f32]| match row {
            [one] => usize::from(*one > middle),
            _ => largest(row),
        };
        let rows = values.chunks_exact(columns).zip(&classes);
        Some(Correct {
            right: rows.filter(|(row, class)| Some(answer(row)) == **class).count(),
            of: classes.iter().flatten().count(),
        })
    }
}

/// Right answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correct {
    /// How many are right.
    pub right: usize,
    /// Of how many whose class is known.
    pub of: usize,
}

/// The number of the largest element; the first of equals.
fn largest(row: &[f32]) -> usize {
    let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
    (1..row.len()).fold(0, better)
}

/// The node that gives a value, or what goes into it unchanged.
fn last_node<'a>(model: &'a Model, value: &str) -> Option<&'a Node> {
    let mut value = value.to_owned();
    // Each step goes to an earlier node, so this ends.
    for node in model.graph.nodes.iter().rev() {
        if node.outputs.contains(&value) {
            match node.op_type.as_str() {
                "Identity" | "Cast" | "Dropout" => value = node.input(0)?.to_owned(),
                _ => return Some(node),
            }
        }
    }
    None
}

/// The logits of an output: what goes into its final softmax, or the output itself.
pub fn logits_of(model: &Model, output: &str) -> String {
    let softmax = last_node(model, output)
        .filter(|node| matches!(node.op_type.as_str(), "Softmax" | "LogSoftmax"));
    softmax.and_then(|node| logits_before(model, node)).unwrap_or_else(|| output.to_owned())
}

/// What goes into a sigmoid, or into a softmax over the last axis.
fn logits_before(model: &Model, node: &Node) -> Option<String> {
    let input = node.input(0)?;
    let is_over_last = match node.op_type.as_str() {
        "Sigmoid" => true,
        _ => {
            let opset = model.opset("").unwrap_or(1);
            let axis = node.int("axis").unwrap_or(if opset < 13 { 1 } else { -1 });
            let rank = model.kinds().get(input).map(|kind| kind.rank as i64);
            axis == -1 || rank.is_some_and(|rank| axis == rank - 1)
        }
    };
    is_over_last.then(|| input.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::{Input, build, parse};
    use modelyard_tensor::DataType;

    fn model(layers: &str) -> Model {
        let input = Input { name: "x".into(), shape: vec![4], data_type: DataType::Fp32 };
        build(&parse(layers).unwrap(), &input, 1).unwrap()
    }

    #[test]
    fn logits_before_a_final_softmax_are_graded() {
        let objective = Objective::of(&model("dense(3, softmax)"), LossKind::CrossEntropy).unwrap();
        assert_eq!((objective.target(), objective.form), ("dense1.sum", Form::Logits));
        let objective = Objective::of(&model("dense(3)"), LossKind::CrossEntropy).unwrap();
        assert_eq!((objective.target(), objective.form), ("output", Form::Logits));
        let objective =
            Objective::of(&model("dense(1, sigmoid)"), LossKind::BinaryCrossEntropy).unwrap();
        assert_eq!((objective.target(), objective.form), ("dense1.sum", Form::Logits));
        let objective = Objective::of(&model("dense(1, sigmoid)"), LossKind::CrossEntropy).unwrap();
        assert_eq!((objective.target(), objective.form), ("probabilities", Form::Probabilities));
    }

    #[test]
    fn right_answers_are_counted() {
        let objective = Objective::of(&model("dense(3)"), LossKind::CrossEntropy).unwrap();
        let prediction = Array::floats([2, 3], vec![0.1, 0.9, 0.2, 0.7, 0.1, 0.1]);
        let correct = |prediction, targets| {
            objective.correct(prediction, &targets).map(|correct| (correct.right, correct.of))
        };
        assert_eq!(correct(&prediction, Targets::Classes(vec![1, 2])), Some((1, 2)));
        let logits = prediction.clone();
        let soft = Targets::Soft { logits, classes: vec![Some(1), None] };
        assert_eq!(correct(&prediction, soft), Some((1, 1)));
        let one = Array::floats([2, 1], vec![0.1, -0.9]);
        assert_eq!(correct(&one, Targets::Classes(vec![1, 0])), Some((2, 2)));
        assert_eq!(correct(&one, Targets::Unknown), None);
    }
}
