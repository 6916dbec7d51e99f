//! State: values that a model keeps from one run to the next.
//!
//! ONNX has none. Each variable that is assigned becomes an input `state.<name>` and an output
//! `state.<name>.next`; one that is only initialized is a constant.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Constant, ElementType};

use super::model::{Model, Operator, Subgraph, Tensor};
use super::stop::{Stop, refused};
use crate::ConvertError;
use crate::reference::Array;

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
    /// What it holds before the first run.
    pub(crate) start: Start,
}

/// The values that a variable has at first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Start {
    /// All the same: zero, or the integer that stands for zero, where nothing else is said.
    Same(f64),
    /// Each its own, row-major.
    Values(Vec<f64>),
}

impl State {
    pub(crate) fn input(&self) -> String {
        format!("state.{}", self.name)
    }

    pub(crate) fn output(&self) -> String {
        format!("state.{}.next", self.name)
    }

    /// What it holds before the first run, in words.
    pub(crate) fn start_text(&self) -> String {
        match self.start {
            Start::Same(0.0) => "zeros".into(),
            Start::Same(value) => format!("{value} everywhere"),
            Start::Values(_) => "with the values in the metadata 'modelyard.state'".into(),
        }
    }

    /// What it holds before the first run, as JSON.
    pub(crate) fn start_json(&self) -> serde_json::Value {
        match &self.start {
            Start::Same(value) => serde_json::json!(value),
            Start::Values(values) => serde_json::json!(values),
        }
    }
}

/// What a VAR_HANDLE stands for: its shared name, within its container.
pub(crate) fn variable_name(op: &Operator) -> Result<String, ConvertError> {
    let (container, name) = (op.options.string(0)?, op.options.string(1)?);
    Ok(if container.is_empty() { name } else { format!("{container}/{name}") })
}

impl Variables {
    /// The variables that a graph changes: those it assigns, and tensors that keep their value.
    pub(crate) fn find(model: &Model, graph: &Subgraph) -> Result<Variables, ConvertError> {
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
        for op in graph.operators.iter().filter(|op| op.kind == "CALL_ONCE") {
            let index = usize::try_from(op.options.i32(0)?).ok();
            if let Some(initializer) = index.and_then(|index| model.subgraphs.get(index)) {
                initialized(model, initializer, &mut shown)?;
            }
        }
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
        start: Start::Same(zero_point.copied().unwrap_or(0) as f64),
    })
}

/// Reads the constants that the graph of a `CALL_ONCE` assigns.
fn initialized(model: &Model, graph: &Subgraph, states: &mut [State]) -> Result<(), ConvertError> {
    let mut handles = HashMap::new();
    for op in &graph.operators {
        match op.kind.as_str() {
            "VAR_HANDLE" => {
                handles.insert(op.output(0)?, variable_name(op)?);
            }
            "ASSIGN_VARIABLE" => {
                let name = handles.get(&op.input(0)?);
                let state = states.iter_mut().find(|state| Some(&state.name) == name);
                let tensor = &graph.tensors[op.input(1)?];
                if let Some(state) = state
                    && model.is_constant(tensor)
                    && let Some(start) = constant(model, tensor)?
                {
                    state.start = start;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The elements of a constant as numbers; `None` where they are none.
fn constant(model: &Model, tensor: &Tensor) -> Result<Option<Start>, ConvertError> {
    let Some(element_type) = tensor.element_type else { return Ok(None) };
    let bytes = model.elements(tensor)?;
    let constant = Constant::raw(&tensor.name, element_type, &tensor.shape, bytes);
    let values = Array::from_constant(&constant).and_then(|array| array.to_f64s());
    let Ok(values) = values else { return Ok(None) };
    let first = values.first().copied().unwrap_or(0.0);
    let is_same = values.iter().all(|value| value.to_bits() == first.to_bits());
    Ok(Some(if is_same { Start::Same(first) } else { Start::Values(values) }))
}
