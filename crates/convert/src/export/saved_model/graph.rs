//! From the nodes of the model to those of TensorFlow.

use std::collections::HashMap;
use std::sync::Arc;

use modelyard_graph::{CHANNELS_LAST, Constant, ElementType, Node, ValueType};
use modelyard_tensor::Dim;

use super::call::Call;
use super::op::Op;
use super::ops;
use super::value::{Refusal, Source, Tensor, Value};
use super::writer::Writer;
use crate::export::graph::{REFUSED, missing};
use crate::export::{Facts, Prepared, unsupported};
use crate::tensorflow::dtype;
use crate::{ConvertError, Missing, Step};

/// A graph that was written.
pub(super) struct Graph {
    pub(super) writer: Writer,
    pub(super) inputs: Vec<Endpoint>,
    pub(super) outputs: Vec<Endpoint>,
    pub(super) steps: Vec<Step>,
}

/// An input or output of the model.
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) tensor: Tensor,
    pub(super) dims: Option<Vec<Dim>>,
}

/// Writes all nodes.
pub(super) fn write(prepared: &Prepared) -> Result<Graph, ConvertError> {
    let mut walk = Walk::new(prepared);
    let inputs = walk.inputs(prepared);
    for node in &prepared.model.graph.nodes {
        walk.node(node);
    }
    let outputs = walk.outputs(prepared);
    if !walk.missing.is_empty() {
        return Err(unsupported(walk.missing, &prepared.model));
    }
    Ok(Graph { writer: walk.writer, inputs, outputs, steps: walk.steps })
}

struct Walk<'a> {
    facts: &'a Facts,
    writer: Writer,
    values: HashMap<String, Value>,
    makers: HashMap<&'a str, &'a Node>,
    takers: HashMap<&'a str, Vec<&'a Node>>,
    constants: HashMap<&'a str, &'a Constant>,
    steps: Vec<Step>,
    missing: Vec<Missing>,
}

impl<'a> Walk<'a> {
    fn new(prepared: &'a Prepared) -> Walk<'a> {
        let graph = &prepared.model.graph;
        let constants: HashMap<&str, &Constant> =
            graph.initializers.iter().map(|constant| (constant.name.as_str(), constant)).collect();
        let value = |constant: &Constant| Value {
            name: constant.name.clone(),
            element_type: constant.element_type,
            dims: Some(constant.dims.iter().map(|&size| Dim::Fixed(size)).collect()),
            source: Source::Constant(Arc::new(constant.clone())),
        };
        let values =
            graph.initializers.iter().map(|constant| (constant.name.clone(), value(constant)));
        let makers = graph.nodes.iter().flat_map(|node| {
            let named = node.outputs.iter().filter(|name| !name.is_empty());
            named.map(move |name| (name.as_str(), node))
        });
        let mut takers: HashMap<&str, Vec<&Node>> = HashMap::new();
        for node in &graph.nodes {
            for name in &node.inputs {
                takers.entry(name).or_default().push(node);
            }
        }
        Walk {
            facts: &prepared.facts,
            writer: Writer::default(),
            values: values.collect(),
            makers: makers.collect(),
            takers,
            constants,
            steps: Vec::new(),
            missing: prepared.missing.clone(),
        }
    }

    fn refuse(&mut self, operator: &str, place: &str, refusal: Refusal) {
        let (reason, way_out) = (refusal.reason, refusal.way_out);
        let (operator, place) = (operator.to_owned(), place.to_owned());
        self.missing.push(Missing { operator, place, reason, way_out });
    }

    fn inputs(&mut self, prepared: &Prepared) -> Vec<Endpoint> {
        let mut inputs = Vec::new();
        for input in &prepared.model.graph.inputs {
            if self.constants.contains_key(input.name.as_str()) {
                continue;
            }
            let element_type = match &input.value_type {
                ValueType::Tensor { element_type, .. } => *element_type,
                other => {
                    let refusal = Refusal::new(format!("the type {other}"), "use tensors");
                    self.refuse("input", &input.name, refusal);
                    continue;
                }
            };
            if dtype::number(element_type).is_none() {
                let reason = format!("the type {element_type}, which TensorFlow has not");
                self.refuse("input", &input.name, Refusal::new(reason, "use another type"));
            }
            let dims = self.facts.dims(&input.name);
            let op = Op::new("Placeholder").kind("dtype", element_type);
            let op = op.shape("shape", dims.as_deref());
            let tensor = self.writer.add_as(&input.name, op, element_type);
            self.set(&input.name, tensor.clone());
            inputs.push(Endpoint { name: input.name.clone(), tensor, dims });
        }
        inputs
    }

    /// Outputs get nodes of their own, so that each has its name.
    fn outputs(&mut self, prepared: &Prepared) -> Vec<Endpoint> {
        let mut outputs = Vec::new();
        for output in &prepared.model.graph.outputs {
            let Some(value) = self.values.get(&output.name).cloned() else { continue };
            let found = match self.writer.tensor(&value) {
                Ok(found) => found,
                Err(refusal) => {
                    self.refuse("output", &output.name, refusal);
                    continue;
                }
            };
            let op = Op::new("Identity").input(&found).kind("T", found.element_type);
            let tensor = self.writer.add_as(&output.name, op, found.element_type);
            outputs.push(Endpoint { name: output.name.clone(), tensor, dims: value.dims });
        }
        outputs
    }

    /// Notes what a name stands for.
    fn set(&mut self, name: &str, tensor: Tensor) {
        let dims = self.facts.dims(name);
        let value = Value {
            name: name.to_owned(),
            element_type: tensor.element_type,
            dims,
            source: Source::Written(tensor),
        };
        self.values.insert(name.to_owned(), value);
    }

    fn node(&mut self, node: &'a Node) {
        let before = self.writer.nodes.len();
        self.writer.begin(node.label());
        match self.written(node) {
            Ok(tensors) => {
                for (name, tensor) in node.outputs.iter().zip(tensors) {
                    if !name.is_empty() {
                        self.set(name, tensor);
                    }
                }
            }
            Err(Some(refusal)) => {
                self.missing.push(missing(node, refusal.reason, refusal.way_out));
            }
            Err(None) => {}
        }
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            if !self.values.contains_key(name) {
                self.unknown(name);
            }
        }
        let written = self.writer.nodes.get(before..).unwrap_or_default();
        let nodes = written.iter().filter(|node| node.op != "Const");
        self.steps.push(Step {
            label: node.label().to_owned(),
            operator: operator(node),
            nodes: nodes.map(|node| node.op.clone()).collect(),
        });
    }

    /// A value that was refused: what follows is looked at all the same.
    fn unknown(&mut self, name: &str) {
        let value = Value {
            name: name.to_owned(),
            element_type: self.facts.element_type(name).unwrap_or(ElementType::Float32),
            dims: self.facts.dims(name),
            source: Source::Missing,
        };
        self.values.insert(name.to_owned(), value);
    }

    /// What was written of a node. No reason is given where it says nothing new: the node was refused
    /// before, or takes something of which nothing is known because its node was.
    fn written(&mut self, node: &'a Node) -> Result<Vec<Tensor>, Option<Refusal>> {
        if node.domain == REFUSED {
            return Err(None);
        }
        let rule = ops::find(node).ok_or_else(|| {
            Refusal::new("the operator", "rewrite the model without it, or serve the ONNX model")
        })?;
        let value = |name: &String| (!name.is_empty()).then(|| self.values.get(name).cloned());
        let inputs: Vec<Option<Value>> =
            node.inputs.iter().map(|name| value(name).flatten()).collect();
        let is_doubtful =
            |value: &Value| matches!(value.source, Source::Missing) && value.dims.is_none();
        if inputs.iter().flatten().any(is_doubtful) {
            return Err(None);
        }
        let untyped = inputs.iter().flatten().find(|value| {
            matches!(value.source, Source::Written(_))
                && dtype::number(value.element_type).is_none()
        });
        if let Some(value) = untyped {
            let reason = format!("elements of type {}", value.element_type);
            return Err(Some(Refusal::new(reason, "TensorFlow has no such type")));
        }
        let outputs = node.outputs.iter().map(|name| self.facts.dims(name)).collect();
        let (makers, takers, constants) = (&self.makers, &self.takers, &self.constants);
        let call = Call { node, inputs, outputs, makers, takers, constants };
        rule(&mut self.writer, &call).map_err(Some)
    }
}

/// What ONNX calls the operator.
fn operator(node: &Node) -> String {
    if node.domain == CHANNELS_LAST { node.op_type.clone() } else { node.operator() }
}
