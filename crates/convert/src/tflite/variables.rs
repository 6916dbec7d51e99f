//! State: values that a model keeps from one run to the next.
//!
//! ONNX has none. Each variable that is assigned becomes an input `state.<name>` and an output
//! `state.<name>.next`; one that is only initialized is a constant.

use std::collections::{HashMap, HashSet};

use modelyard_graph::ElementType;

use super::model::{Operator, Subgraph, Tensor};
use super::stop::{Stop, refused};
use crate::ConvertError;

/// The variables of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    /// Those that are inputs and outputs.
    pub(crate) states: Vec<State>,
    /// Names of the current values, by variable, while a model is converted.
    current: HashMap<String, String>,
}

/// A variable that is read or assigned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) element_type: ElementType,
    pub(crate) dims: Vec<usize>,
    /// The tensor of the main graph that shows what it holds.
    pub(crate) tensor: usize,
    /// The integer that stands for zero, with which it starts where nothing else is said.
    pub(crate) zero_point: i64,
}

impl State {
    pub(crate) fn input(&self) -> String {
        format!("state.{}", self.name)
    }

    pub(crate) fn output(&self) -> String {
        format!("state.{}.next", self.name)
    }
}

/// What a VAR_HANDLE stands for: its shared name, within its container.
pub(crate) fn variable_name(op: &Operator) -> Result<String, ConvertError> {
    let (container, name) = (op.options.string(0)?, op.options.string(1)?);
    Ok(if container.is_empty() { name } else { format!("{container}/{name}") })
}

impl Variables {
    /// The variables that a graph changes: those it assigns, and tensors that keep their value.
    pub(crate) fn find(graph: &Subgraph) -> Result<Variables, ConvertError> {
        let mut shown: Vec<State> = Vec::new();
        let mut assigned = HashSet::new();
        let mut handles = HashMap::new();
        for op in &graph.operators {
            match op.kind.as_str() {
                "VAR_HANDLE" => {
                    handles.insert(op.output(0)?, variable_name(op)?);
                }
                "READ_VARIABLE" => {
                    if let Some(name) = handles.get(&op.input(0)?) {
                        shown.extend(state(name, graph, op.output(0)?));
                    }
                }
                "ASSIGN_VARIABLE" => {
                    if let Some(name) = handles.get(&op.input(0)?) {
                        shown.extend(state(name, graph, op.input(1)?));
                        assigned.insert(name.clone());
                    }
                }
                _ => {
                    for tensor in op.inputs.iter().flatten().copied() {
                        let found = &graph.tensors[tensor];
                        if found.is_variable {
                            shown.extend(state(&found.name, graph, tensor));
                            assigned.insert(found.name.clone());
                        }
                    }
                }
            }
        }
        let mut seen = HashSet::new();
        shown.retain(|state| assigned.contains(&state.name) && seen.insert(state.name.clone()));
        Ok(Variables { states: shown, current: HashMap::new() })
    }

    /// The name of the value that a variable has now.
    pub(crate) fn current(&self, name: &str) -> Option<String> {
        self.current.get(name).cloned()
    }

    /// A variable has another value from here on.
    pub(crate) fn assign(&mut self, name: &str, value: String) {
        self.current.insert(name.to_owned(), value);
    }

    /// The name of the value that a variable has now; refused where it has none.
    pub(crate) fn read(&self, name: &str) -> Result<String, Stop> {
        self.current(name).ok_or_else(|| {
            refused(
                format!("variable '{name}', which the main graph does not name,"),
                "export the model with variables in its main graph",
            )
        })
    }
}

fn state(name: &str, graph: &Subgraph, tensor: usize) -> Option<State> {
    let found: &Tensor = &graph.tensors[tensor];
    let zero_point = found.quantized().and_then(|quantized| quantized.zero_points.first());
    Some(State {
        name: name.to_owned(),
        element_type: found.element_type?,
        dims: found.shape.clone(),
        tensor,
        zero_point: zero_point.copied().unwrap_or(0),
    })
}
