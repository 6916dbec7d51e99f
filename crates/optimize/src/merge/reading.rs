//! Logits or probabilities of each member, whichever are to be combined.

use modelyard_graph::{ElementType, Node};

use super::join::Joined;
use super::signature::Signature;
use super::{Member, Options};
use crate::OptimizeError;
use crate::links::Links;

/// What is combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// What goes into the last Softmax or Sigmoid.
    Logits,
    /// What comes out of it.
    Probabilities,
}

/// What an output gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gives {
    /// Any numbers: logits, where there are classes.
    Scores,
    /// Parts of one.
    Probabilities,
}

/// What becomes of a member's output before it is combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    /// A Softmax or Sigmoid is put behind it.
    Activate,
    /// The Softmax or Sigmoid before it is taken off.
    Bare,
}

/// The values that are combined.
pub(super) struct Readings {
    parts: Vec<Reading>,
    /// What they are.
    pub(super) gives: Gives,
    /// What their average is to be made.
    pub(super) averaged: Gives,
    /// Probabilities are those of a Sigmoid, not of a Softmax.
    pub(super) sigmoid: bool,
}

/// One of them.
pub(super) struct Reading {
    member: String,
    pub(super) value: String,
    pub(super) change: Change,
    pub(super) is_float32: bool,
}

impl Readings {
    pub(super) fn parts(&self) -> &[Reading] {
        &self.parts
    }

    /// Members of which this became.
    pub(super) fn named(&self, change: Change) -> Vec<String> {
        let parts = self.parts.iter().filter(|part| part.change == change);
        parts.map(|part| part.member.clone()).collect()
    }
}

/// Decides what is combined.
pub(super) fn read(
    joined: &Joined,
    members: &[&Member],
    signature: &Signature,
    options: &Options,
) -> Result<Readings, OptimizeError> {
    let links = Links::of(&joined.model.graph);
    let ends: Vec<End<'_>> = joined.outputs.iter().map(|output| End::of(output, &links)).collect();
    let given: Vec<Gives> = members
        .iter()
        .zip(&ends)
        .map(|(member, end)| member.gives.unwrap_or_else(|| end.gives()))
        .collect();
    let any = |gives| given.contains(&gives);
    let wanted = match options.of {
        Some(Of::Logits) => Gives::Scores,
        Some(Of::Probabilities) => Gives::Probabilities,
        None if any(Gives::Probabilities) => Gives::Probabilities,
        None => Gives::Scores,
    };
    let mut parts = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let output = &joined.outputs[index];
        let (value, change) = match (given[index], wanted) {
            (Gives::Scores, Gives::Probabilities) => (output.clone(), Change::Activate),
            (Gives::Probabilities, Gives::Scores) => (bare(member, &ends[index])?, Change::Bare),
            _ => (output.clone(), Change::Nothing),
        };
        let is_float32 = signature.types[index] == ElementType::Float32;
        parts.push(Reading { member: member.name.clone(), value, change, is_float32 });
    }
    let averaged = if any(Gives::Probabilities) { Gives::Probabilities } else { wanted };
    let changes = |wanted| parts.iter().any(|part: &Reading| part.change == wanted);
    let width = match changes(Change::Activate) || averaged != wanted {
        true => Some(signature.known_width("make probabilities of logits")?),
        false => signature.width(),
    };
    let has = |operator: &str| ends.iter().any(|end| end.node.is_some_and(|it| it.is(operator)));
    let sigmoid = width == Some(1) || (has("Sigmoid") && !has("Softmax"));
    Ok(Readings { parts, gives: wanted, averaged, sigmoid })
}

/// What goes into the Softmax or Sigmoid that a member ends with.
fn bare(member: &Member, end: &End<'_>) -> Result<String, OptimizeError> {
    let input = end.node.filter(|_| end.is_direct).and_then(|node| node.input(0));
    input.map(str::to_owned).ok_or_else(|| {
        OptimizeError::Invalid(format!(
            "cannot take the logits of '{}': its output is not that of a Softmax or Sigmoid; combine \
             probabilities",
            member.name
        ))
    })
}

/// Where a member's output comes from.
struct End<'a> {
    /// What made probabilities.
    node: Option<&'a Node>,
    /// Nothing that changes shapes or types stands between it and the output.
    is_direct: bool,
}

/// Nodes that are looked through at most.
const MOST_STEPS: usize = 16;

impl<'a> End<'a> {
    fn of(output: &str, links: &Links<'a>) -> End<'a> {
        let mut end = End { node: None, is_direct: true };
        let mut node = links.producer(output);
        for _ in 0..MOST_STEPS {
            let Some(found) = node.map(|number| &links.graph.nodes[number]) else { break };
            if makes_probabilities(found) {
                end.node = Some(found);
                break;
            }
            if !passes_on(found) {
                break;
            }
            end.is_direct &= found.is("Identity");
            node = found.input(0).and_then(|input| links.producer(input));
        }
        end.is_direct &= end.node.is_some_and(|node| node.is("Softmax") || node.is("Sigmoid"));
        end
    }

    fn gives(&self) -> Gives {
        if self.node.is_some() { Gives::Probabilities } else { Gives::Scores }
    }
}

fn makes_probabilities(node: &Node) -> bool {
    if node.domain == "ai.onnx.ml" {
        let activated = ["LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"];
        return node.string("post_transform").is_some_and(|found| activated.contains(&found))
            || (node.op_type == "Normalizer" && node.string("norm") == Some("L1"));
    }
    node.is("Softmax") || node.is("Sigmoid")
}

fn passes_on(node: &Node) -> bool {
    const OPERATORS: [&str; 8] = [
        "Cast",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
    ];
    node.domain.is_empty() && OPERATORS.contains(&node.op_type.as_str())
}
