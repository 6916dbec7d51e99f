//! A batch of one example, fixed when the model was exported, made a batch of any size.
//!
//! Sound only where no operator mixes examples: each value that comes from the inputs must have its
//! examples along the first dimension, from the inputs to the outputs, and each operator on the way
//! must work on one example at a time. `rules` says that of each operator; what it does not know
//! is in the way. A reshape to `[1, ...]` is repaired. In the end the shapes are inferred anew, and
//! must bear it out.

mod rules;

use std::collections::{BTreeSet, HashMap};

use modelyard_tensor::Dim;

use crate::names::Names;
use crate::opset::Knowledge;
use crate::{Graph, Model, Node, Obstacle, Unadaptable, ValueType};

/// The model with a batch of any size, called `symbol`, in place of a batch of one; `None` when it
/// has no batch of one.
///
/// The result is not verified: see [`Model::verified`].
pub fn free(model: &Model, symbol: &str) -> Result<Option<Model>, Unadaptable> {
    let mut freed = model.clone();
    let inputs = free_inputs(&mut freed.graph, symbol);
    if inputs.is_empty() {
        return Ok(None);
    }
    let mut names = Names::of(model);
    let mut walk = Walk {
        knowledge: Knowledge::of(model),
        opset: model.opset("").unwrap_or(1),
        batched: inputs,
        reshapes: Vec::new(),
        obstacles: Vec::new(),
    };
    for (index, node) in model.graph.nodes.iter().enumerate() {
        walk.node(index, node);
    }
    for (index, shape) in std::mem::take(&mut walk.reshapes) {
        repair(&mut freed.graph, &mut names, index, &shape);
    }
    walk.outputs(&model.graph);
    if walk.obstacles.is_empty() {
        free_outputs(&mut freed.graph);
        freed.graph.value_info.clear();
        freed.state_types();
        walk.bear_out(&freed, symbol);
    }
    match walk.obstacles.is_empty() {
        true => Ok(Some(freed)),
        false => Err(Unadaptable {
            action: "let the batch have any size".into(),
            obstacles: walk.obstacles,
        }),
    }
}

/// Gives the inputs whose first dimension is 1 any number of examples; gives their names.
fn free_inputs(graph: &mut Graph, symbol: &str) -> BTreeSet<String> {
    let mut freed = BTreeSet::new();
    for input in &mut graph.inputs {
        let constant = graph.initializers.iter().any(|constant| constant.name == input.name);
        if let ValueType::Tensor { dims: Some(dims), .. } = &mut input.value_type
            && let Some(first) = dims.first_mut().filter(|first| **first == Dim::Fixed(1))
            && !constant
        {
            *first = Dim::Symbol(symbol.to_owned());
            freed.insert(input.name.clone());
        }
    }
    freed
}

fn free_outputs(graph: &mut Graph) {
    for output in &mut graph.outputs {
        if let ValueType::Tensor { dims: Some(dims), .. } = &mut output.value_type
            && let Some(first) = dims.first_mut()
        {
            *first = Dim::Free;
        }
    }
}

/// A reshape to one example becomes one to as many as there are.
fn repair(graph: &mut Graph, names: &mut Names, index: usize, shape: &[i64]) {
    let Some(node) = graph.nodes.get_mut(index) else { return };
    let name = names.unique(&format!("{}/shape", node.label()));
    let bytes: Vec<u8> = shape.iter().flat_map(|size| size.to_le_bytes()).collect();
    let element_type = crate::ElementType::Int64;
    // The zero that is put in means "as many as there are"; there is no other.
    node.attributes.retain(|attribute| attribute.name != "allowzero");
    if let Some(input) = node.inputs.get_mut(1) {
        input.clone_from(&name);
    }
    graph.initializers.push(crate::Constant::raw(&name, element_type, &[shape.len()], bytes));
}

/// The way from the inputs to the outputs.
struct Walk {
    /// Of the model with a batch of one.
    knowledge: Knowledge,
    opset: i64,
    /// Values that have their examples along the first dimension.
    batched: BTreeSet<String>,
    /// Reshapes to repair, with the shapes they should have.
    reshapes: Vec<(usize, Vec<i64>)>,
    obstacles: Vec<Obstacle>,
}

impl Walk {
    fn node(&mut self, index: usize, node: &Node) {
        let takes = node.inputs.iter().any(|name| self.batched.contains(name));
        if !takes && !self.captures(node) {
            return;
        }
        let site = rules::Site {
            node,
            knowledge: &self.knowledge,
            batched: &self.batched,
            opset: self.opset,
        };
        let effect = match self.captures(node) {
            true => Err("graphs inside nodes are not looked into".to_owned()),
            false => rules::effect(&site),
        };
        match effect {
            Ok(rules::Effect::NoExamples) => {}
            Ok(rules::Effect::Batched) => self.batched.extend(node.outputs.iter().cloned()),
            Ok(rules::Effect::Reshape(shape)) => {
                self.reshapes.push((index, shape));
                self.batched.extend(node.outputs.iter().cloned());
            }
            Err(reason) => {
                self.obstacle(node.operator(), node.label(), reason);
                // As if it did, so that all that is in the way is found.
                self.batched.extend(node.outputs.iter().cloned());
            }
        }
    }

    /// Whether a graph inside the node takes examples.
    fn captures(&self, node: &Node) -> bool {
        let mut graphs: Vec<&Graph> = node.subgraphs().collect();
        let inside = !graphs.is_empty();
        if inside && node.inputs.iter().any(|name| self.batched.contains(name)) {
            return true;
        }
        while let Some(graph) = graphs.pop() {
            let outputs = graph.outputs.iter().map(|output| &output.name);
            let mut taken = graph.nodes.iter().flat_map(|node| &node.inputs).chain(outputs);
            if taken.any(|name| self.batched.contains(name)) {
                return true;
            }
            graphs.extend(graph.nodes.iter().flat_map(Node::subgraphs));
        }
        false
    }

    fn obstacle(&mut self, operator: String, place: &str, reason: impl Into<String>) {
        self.obstacles.push(Obstacle {
            operator,
            place: place.to_owned(),
            reason: reason.into(),
            way_out: String::new(),
        });
    }

    /// Every output must have its examples along the first dimension.
    fn outputs(&mut self, graph: &Graph) {
        let lost: Vec<String> = graph
            .outputs
            .iter()
            .filter(|output| !self.batched.contains(&output.name))
            .map(|output| output.name.clone())
            .collect();
        for name in lost {
            self.obstacle("output".into(), &name, "it has no examples");
        }
    }

    /// Shapes that are inferred anew must say the same.
    fn bear_out(&mut self, freed: &Model, symbol: &str) {
        let types: HashMap<String, ValueType> = freed.types();
        let batch = Dim::Symbol(symbol.to_owned());
        let wrong = |name: &&String| match types.get(*name) {
            Some(ValueType::Tensor { dims: Some(dims), .. }) => dims.first() != Some(&batch),
            _ => true,
        };
        let found: Vec<String> =
            self.batched.iter().filter(|name| !name.is_empty()).filter(wrong).cloned().collect();
        for name in found.into_iter().take(10) {
            self.obstacle("value".into(), &name, "its first dimension would not be the batch");
        }
    }
}

#[cfg(test)]
mod tests;
