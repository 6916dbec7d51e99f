//! A graph compiled for training.
//!
//! | module | does |
//! |---|---|
//! | `mod` | [`Program`]: names become slots, nodes become operators |
//! | `plan` | [`Plan`]: what a run evaluates, keeps and differentiates |
//! | `forward` | [`Pass`]: evaluates a plan, keeping what the way back needs |
//! | `backward` | the way back: gradients by what is trained |
//! | `weights` | [`Weights`]: the numbers that training changes |

mod backward;
mod forward;
mod plan;
mod weights;

use std::collections::HashMap;

pub use forward::{Mode, Pass, Run};
use modelyard_graph::{Model, Node};
use modelyard_tensor::TensorSpec;
pub use plan::Plan;
pub use weights::Weights;

use crate::array::Array;
use crate::error::CompileError;
use crate::operator::Operator;
use crate::ops;
use crate::site::Site;

/// Number of a value in a program.
type Slot = usize;

/// A model compiled for training: every name a number, every node an operator.
#[derive(Debug)]
pub struct Program {
    names: Vec<String>,
    slots: HashMap<String, Slot>,
    inputs: Vec<Input>,
    outputs: Vec<Slot>,
    steps: Vec<Step>,
    weights: Weights,
    /// By slot: the number of the weight that it holds.
    weight_of: Vec<Option<usize>>,
}

/// An input of the graph.
#[derive(Debug)]
struct Input {
    slot: Slot,
    spec: TensorSpec,
}

/// A node.
#[derive(Debug)]
struct Step {
    /// As errors name it.
    node: String,
    /// The operator, or why training does not cover the node.
    operator: Result<Box<dyn Operator>, String>,
    inputs: Vec<Option<Slot>>,
    outputs: Vec<Option<Slot>>,
}

impl Program {
    /// Compiles a model whose weights are in memory.
    ///
    /// Nodes that training does not cover are refused by [`Program::plan`], and only where they
    /// are needed: a model may carry more than what is trained.
    pub fn compile(model: &Model) -> Result<Program, CompileError> {
        let signature =
            model.signature().map_err(|error| CompileError::Uncovered(vec![error.to_string()]))?;
        let mut program = Program {
            names: Vec::new(),
            slots: HashMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            steps: Vec::new(),
            weights: Weights::default(),
            weight_of: Vec::new(),
        };
        program.add_initializers(model)?;
        for spec in &signature.inputs {
            let slot = program.slot(&spec.name);
            program.inputs.push(Input { slot, spec: spec.clone() });
        }
        for node in &model.graph.nodes {
            program.add_node(model, node);
        }
        program.outputs =
            signature.outputs.iter().map(|output| program.slot(&output.name)).collect();
        Ok(program)
    }

    /// The weights as the model has them.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The inputs, in the order of the model.
    pub fn inputs(&self) -> impl Iterator<Item = &TensorSpec> {
        self.inputs.iter().map(|input| &input.spec)
    }

    /// Names of the outputs, in the order of the model.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.outputs.iter().map(|&slot| self.names[slot].as_str())
    }

    fn add_initializers(&mut self, model: &Model) -> Result<(), CompileError> {
        let mut unusable = Vec::new();
        for sparse in &model.graph.sparse_initializers {
            unusable.push(format!("initializer '{}' is sparse", sparse.values.name));
        }
        for constant in &model.graph.initializers {
            match Array::from_constant(constant) {
                Some(array) => self.add_weight(&constant.name, array, constant.element_type),
                None if constant.external().is_some() => unusable.push(format!(
                    "initializer '{}' is in a file that is not loaded",
                    constant.name
                )),
                None => unusable.push(format!(
                    "initializer '{}' is made of {}",
                    constant.name, constant.element_type
                )),
            }
        }
        if unusable.is_empty() { Ok(()) } else { Err(CompileError::Uncovered(unusable)) }
    }

    fn add_weight(&mut self, name: &str, array: Array, element_type: modelyard_graph::ElementType) {
        let slot = self.slot(name);
        self.weight_of[slot] = Some(self.weights.push(name, array, element_type));
    }

    fn add_node(&mut self, model: &Model, node: &Node) {
        // A tensor in a node is a weight like any other: it can be trained.
        if node.is("Constant")
            && let Some(constant) = node.tensor("value")
            && let Some(array) = Array::from_constant(constant)
            && let Some(name) = node.output(0)
        {
            let element_type = constant.element_type;
            return self.add_weight(name, array, element_type);
        }
        let inputs: Vec<Option<Slot>> =
            node.inputs.iter().map(|name| (!name.is_empty()).then(|| self.slot(name))).collect();
        let operator = self.operator(model, node, &inputs);
        let outputs =
            node.outputs.iter().map(|name| (!name.is_empty()).then(|| self.slot(name))).collect();
        self.steps.push(Step { node: node.to_string(), operator, inputs, outputs });
    }

    fn operator(
        &self,
        model: &Model,
        node: &Node,
        inputs: &[Option<Slot>],
    ) -> Result<Box<dyn Operator>, String> {
        let constant_types: Vec<_> = inputs
            .iter()
            .map(|slot| self.weight_of[(*slot)?].map(|weight| self.weights.element_type(weight)))
            .collect();
        let build = ops::find(node)
            .ok_or_else(|| format!("{node}: training does not know this operator"))?;
        let opset = model.opset(&node.domain).unwrap_or(1);
        build(&Site { node, opset, constant_types: &constant_types })
            .map_err(|error| format!("{node}: {error}"))
    }

    /// The number of a value, a new one where the name is new.
    fn slot(&mut self, name: &str) -> Slot {
        if let Some(&slot) = self.slots.get(name) {
            return slot;
        }
        let slot = self.names.len();
        self.names.push(name.to_owned());
        self.slots.insert(name.to_owned(), slot);
        self.weight_of.push(None);
        slot
    }

    fn find(&self, name: &str) -> Result<Slot, CompileError> {
        self.slots.get(name).copied().ok_or_else(|| CompileError::NoValue {
            name: name.to_owned(),
            near: nearest(name, &self.names),
        })
    }
}

/// The three names that begin most like `name`.
fn nearest(name: &str, names: &[String]) -> String {
    let common =
        |other: &str| name.bytes().zip(other.bytes()).take_while(|(one, two)| one == two).count();
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_by_key(|other| std::cmp::Reverse(common(other)));
    sorted.truncate(3);
    sorted.join(", ")
}
