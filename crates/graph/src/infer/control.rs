//! Graphs inside nodes, and functions of the model.

use std::collections::HashMap;

use super::fact::Fact;
use super::{MOST_DEPTH, MOST_VISITS, Walk, Walked};
use crate::{Attribute, AttributeValue, Function, Node};

impl Walk<'_> {
    pub(super) fn control(&mut self, node: &Node, inputs: Vec<Option<Fact>>) -> Option<Walked> {
        if self.depth >= MOST_DEPTH {
            return None;
        }
        // What a loop carries may grow from round to round, and it may end early.
        if self.shapes.is_some() && node.op_type != "If" {
            return None;
        }
        match node.op_type.as_str() {
            "If" => self.branches(node, &inputs),
            "Loop" => self.repeat(node, inputs),
            _ => self.scan(node, inputs),
        }
    }

    /// The branch that is taken if that is known, otherwise the dearer one.
    ///
    /// What sizes decide is not known: other sizes, that no walk has tried, may decide otherwise.
    fn branches(&mut self, node: &Node, inputs: &[Option<Fact>]) -> Option<Walked> {
        let condition = inputs.first()?.as_ref();
        let condition = condition.filter(|fact| fact.constant || self.is_estimate);
        let taken = condition.and_then(|fact| fact.values.as_ref()?.first().copied());
        let (yes, no) = (node.graph("then_branch")?, node.graph("else_branch")?);
        match taken {
            Some(0.0) => return Some(self.graph(no, Vec::new())),
            Some(_) => return Some(self.graph(yes, Vec::new())),
            None => {}
        }
        let yes = self.graph(yes, Vec::new());
        let no = self.graph(no, Vec::new());
        let agreed = |pair: (Option<Fact>, Option<Fact>)| match pair {
            (Some(yes), Some(no)) if yes.dims == no.dims => Some(yes.with_dims(&yes.dims)),
            _ => None,
        };
        Some(Walked {
            outputs: yes.outputs.into_iter().zip(no.outputs).map(agreed).collect(),
            flops: yes.flops.max(no.flops),
            peak_bytes: yes.peak_bytes.max(no.peak_bytes),
        })
    }

    /// A loop whose number of rounds is a constant; it may end earlier.
    fn repeat(&mut self, node: &Node, mut inputs: Vec<Option<Fact>>) -> Option<Walked> {
        let body = node.graph("body")?;
        let rounds = inputs.first()?.as_ref()?.values.as_ref()?.first().copied()?;
        let rounds = if rounds >= 0.0 { rounds as usize } else { return None };
        let states = inputs.len().checked_sub(2)?;
        inputs[0] = Some(Fact::new(crate::ElementType::Int64, &[]));
        inputs[1] = Some(Fact::new(crate::ElementType::Bool, &[]));
        let given: Vec<Option<Fact>> = inputs.into_iter().map(changing).collect();
        let mut walked = self.graph(body, given.clone());
        if self.strict {
            // A state whose shape changes has another one after each round, and nobody knows how
            // many rounds there are until the loop ends itself.
            keep_steady(given.iter().skip(2), walked.outputs.iter_mut().skip(1));
            walked.outputs.truncate(states + 1);
        }
        Some(times(walked, rounds, 1, states))
    }

    /// As many rounds as the scanned inputs are long.
    fn scan(&mut self, node: &Node, inputs: Vec<Option<Fact>>) -> Option<Walked> {
        let body = node.graph("body")?;
        let scanned = usize::try_from(node.int("num_scan_inputs")?).ok()?;
        let states = inputs.len().checked_sub(scanned)?;
        let special = ["scan_input_axes", "scan_output_axes"];
        let unusual = special
            .iter()
            .any(|name| node.ints(name).is_some_and(|axes| axes.iter().any(|axis| *axis != 0)));
        if unusual || self.model.opset("")? < 9 {
            return None;
        }
        let mut rounds = None;
        let mut given = Vec::new();
        for (index, fact) in inputs.into_iter().enumerate() {
            given.push(match fact {
                Some(fact) if index >= states => {
                    let (&length, rest) = fact.dims.split_first()?;
                    rounds = Some(length);
                    Some(fact.with_dims(rest))
                }
                other => changing(other),
            });
        }
        let mut walked = self.graph(body, given.clone());
        if self.strict {
            keep_steady(given.iter().take(states), walked.outputs.iter_mut());
        }
        Some(times(walked, rounds?, 0, states))
    }

    /// A function of the model, with its attributes put in.
    pub(super) fn call(
        &mut self,
        function: &Function,
        node: &Node,
        inputs: Vec<Option<Fact>>,
    ) -> Option<Walked> {
        self.visits = self.visits.saturating_add(function.nodes.len());
        if self.visits > MOST_VISITS || self.depth >= MOST_DEPTH {
            return None;
        }
        let nodes: Vec<Node> =
            function.nodes.iter().map(|inner| bound(inner, node, function)).collect();
        let names = function.inputs.iter().cloned();
        let facts: HashMap<String, Fact> =
            names.zip(inputs).filter_map(|(name, fact)| Some((name, fact?))).collect();
        let outputs: Vec<&str> = function.outputs.iter().map(String::as_str).collect();
        // A function sees nothing of what is around the call.
        let around = std::mem::take(&mut self.scopes);
        let walked = self.body(&nodes, facts, function.value_info.iter(), &outputs);
        self.scopes = around;
        Some(walked)
    }
}

/// What is carried from round to round keeps its shape, but not its elements.
fn changing(fact: Option<Fact>) -> Option<Fact> {
    fact.map(|fact| fact.with_dims(&fact.dims))
}

/// Forgets the states whose shape is another one after a round.
fn keep_steady<'a>(
    before: impl Iterator<Item = &'a Option<Fact>>,
    after: impl Iterator<Item = &'a mut Option<Fact>>,
) {
    for (before, after) in before.zip(after) {
        let dims = |fact: &Option<Fact>| fact.as_ref().map(|fact| fact.dims.clone());
        if dims(before).is_none() || dims(before) != dims(after) {
            *after = None;
        }
    }
}

/// The body's costs `rounds` times, and its outputs from `skip` on: `states` as they are, the
/// others stacked.
fn times(body: Walked, rounds: usize, skip: usize, states: usize) -> Walked {
    let outputs = body.outputs.into_iter().skip(skip).enumerate().map(|(index, fact)| {
        let fact = fact?;
        let mut dims = fact.dims.clone();
        if index >= states {
            dims.insert(0, rounds);
        }
        Some(fact.with_dims(&dims))
    });
    Walked {
        outputs: outputs.collect(),
        flops: body.flops.saturating_mul(rounds as u64),
        peak_bytes: body.peak_bytes,
    }
}

/// `inner` with references replaced by what the caller gives, or the function's default.
/// References in graphs inside nodes stay: what they decide is then unknown.
fn bound(inner: &Node, caller: &Node, function: &Function) -> Node {
    let mut node = inner.clone();
    node.attributes = inner
        .attributes
        .iter()
        .filter_map(|attribute| {
            let AttributeValue::Reference { name, .. } = &attribute.value else {
                return Some(attribute.clone());
            };
            let default = || function.defaults.iter().find(|default| default.name == *name);
            let value =
                caller.attribute(name).or_else(|| default().map(|default| &default.value))?.clone();
            Some(Attribute { name: attribute.name.clone(), value })
        })
        .collect();
    node
}
