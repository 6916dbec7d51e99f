//! Evaluates a model by TensorFlow Lite's definitions of its operators.

use std::collections::HashMap;
use std::sync::Arc;

use modelyard_graph::{Constant, ElementType};
use modelyard_tensor::Tensor as Wire;

use super::interface::Interface;
use super::model::{Model, Quantization, Subgraph, Tensor};
use super::ops;
use super::quantization::{Halves, bounds};
use super::stop::{Stop, mismatch};
use crate::EvaluateError;
use crate::reference::elementwise::cast;
use crate::reference::layout::elements;
use crate::reference::shape::{concat, narrow};
use crate::reference::{Array, Data};

/// An evaluation of one graph that is under way.
pub(crate) struct Evaluation<'a> {
    pub(crate) model: &'a Model,
    /// How sums of products of integers are rounded.
    pub(crate) halves: Halves,
    pub(crate) graph: &'a Subgraph,
    values: Vec<Option<Arc<Array>>>,
    /// Names of the variables behind handles.
    pub(crate) handles: HashMap<usize, String>,
    /// What variables hold, by name; shared by all graphs of a run.
    pub(crate) variables: &'a mut HashMap<String, Arc<Array>>,
    /// Bytes of values that are held.
    held: u64,
    depth: usize,
}

/// Evaluates the graph behind `interface` on inputs and states, in their order.
pub(crate) fn evaluate(
    model: (&Model, Halves),
    interface: &Interface,
    inputs: &[Wire],
) -> Result<Vec<Wire>, EvaluateError> {
    let states = &interface.variables.states;
    let count = interface.inputs.len() + states.len();
    if inputs.len() != count {
        let found = inputs.len();
        return Err(EvaluateError(format!("expected {count} inputs, found {found}")));
    }
    let arrays: Vec<Array> = inputs.iter().map(Array::from_tensor).collect::<Result<_, _>>()?;
    if !interface.batch.freed {
        return finished(run(model, interface, arrays)?);
    }
    // The file computes one row: each by itself.
    let rows = arrays.first().and_then(|array| array.dims().first()).copied().unwrap_or(1);
    let mut outputs: Vec<Vec<Array>> = Vec::new();
    for row in 0..rows {
        let part = |array: &Array| narrow(array, 0, row, 1);
        let parts = arrays.iter().map(part).collect::<Result<_, _>>()?;
        outputs.push(run(model, interface, parts)?);
    }
    let joined = (0..interface.outputs.len() + states.len()).map(|output| {
        let parts: Vec<&Array> = outputs.iter().filter_map(|row| row.get(output)).collect();
        concat(&parts, 0)
    });
    finished(joined.collect::<Result<_, _>>()?)
}

fn finished(arrays: Vec<Array>) -> Result<Vec<Wire>, EvaluateError> {
    arrays.iter().map(Array::to_tensor).collect()
}

fn run(
    model: (&Model, Halves),
    interface: &Interface,
    mut inputs: Vec<Array>,
) -> Result<Vec<Array>, EvaluateError> {
    let states = &interface.variables.states;
    let given = inputs.split_off(interface.inputs.len());
    let named = states.iter().map(|state| state.name.clone());
    let mut variables: HashMap<String, Arc<Array>> =
        named.zip(given.into_iter().map(Arc::new)).collect();
    let inputs = inputs.into_iter().map(Arc::new).collect();
    let outputs = run_graph(model, interface.graph(model.0), inputs, &mut variables, 0)?;
    let last = states.iter().map(|state| {
        let value = variables.get(&state.name).cloned();
        value.ok_or_else(|| EvaluateError(format!("variable '{}' has no value", state.name)))
    });
    let last: Vec<Arc<Array>> = last.collect::<Result<_, _>>()?;
    Ok(outputs.into_iter().chain(last).map(Arc::unwrap_or_clone).collect())
}

fn run_graph(
    (model, halves): (&Model, Halves),
    graph: &Subgraph,
    inputs: Vec<Arc<Array>>,
    variables: &mut HashMap<String, Arc<Array>>,
    depth: usize,
) -> Result<Vec<Arc<Array>>, EvaluateError> {
    if graph.inputs.len() != inputs.len() {
        let (name, expected, found) = (&graph.name, graph.inputs.len(), inputs.len());
        return Err(EvaluateError(format!("graph '{name}' takes {expected} values, not {found}")));
    }
    if depth > model.limits.depth {
        return Err(EvaluateError(format!("graphs nest deeper than {}", model.limits.depth)));
    }
    let mut evaluation = Evaluation { halves, depth, ..Evaluation::new(model, graph, variables) };
    for (&tensor, input) in graph.inputs.iter().zip(inputs) {
        evaluation.values[tensor] = Some(input);
    }
    let last = last_uses(graph);
    for (index, op) in graph.operators.iter().enumerate() {
        let at =
            |stop: Stop| EvaluateError::from(stop).at(format!("{} ({})", op.label(graph), op.kind));
        let entry = ops::find(op).ok_or_else(|| at(ops::unknown(op)))?;
        (entry.evaluate)(&mut evaluation, op).map_err(at)?;
        for tensor in op.inputs.iter().flatten().copied() {
            if last[tensor] == index {
                evaluation.drop(tensor);
            }
        }
    }
    let outputs = graph.outputs.iter().map(|&tensor| evaluation.raw(tensor));
    Ok(outputs.collect::<Result<_, Stop>>()?)
}

/// The operator that uses each tensor last; outputs are never used last.
fn last_uses(graph: &Subgraph) -> Vec<usize> {
    let mut last = vec![usize::MAX; graph.tensors.len()];
    for (index, op) in graph.operators.iter().enumerate() {
        for tensor in op.inputs.iter().flatten().copied() {
            last[tensor] = index;
        }
    }
    for &output in &graph.outputs {
        last[output] = usize::MAX;
    }
    last
}

impl<'a> Evaluation<'a> {
    /// Of a graph of which nothing is computed yet.
    pub(crate) fn new(
        model: &'a Model,
        graph: &'a Subgraph,
        variables: &'a mut HashMap<String, Arc<Array>>,
    ) -> Evaluation<'a> {
        let values = vec![None; graph.tensors.len()];
        let (halves, handles) = (Halves::AwayFromZero, HashMap::new());
        Evaluation { model, halves, graph, values, handles, variables, held: 0, depth: 0 }
    }
}

impl Evaluation<'_> {
    /// The tensor of this number.
    pub(crate) fn tensor(&self, tensor: usize) -> &Tensor {
        &self.graph.tensors[tensor]
    }

    /// What is stored of a tensor.
    pub(crate) fn raw(&mut self, tensor: usize) -> Result<Arc<Array>, Stop> {
        if let Some(value) = &self.values[tensor] {
            return Ok(value.clone());
        }
        let found = self.tensor(tensor);
        if found.is_variable
            && let Some(value) = self.variables.get(&found.name)
        {
            return Ok(value.clone());
        }
        let element_type = found.element_type.ok_or_else(|| mismatch("a handle is no value"))?;
        if self.model.is_constant(found) {
            let bytes = self.model.elements(found)?;
            let stored = match element_type {
                ElementType::Int4 => ElementType::Int8,
                other => other,
            };
            let constant = Constant::raw(&found.name, stored, &found.shape, bytes);
            return Ok(Arc::new(Array::from_constant(&constant)?));
        }
        if found.shape.contains(&0) {
            let empty = Array::from_f64s(element_type, &found.shape, Vec::new())?;
            return Ok(Arc::new(empty));
        }
        Err(mismatch(format!("'{}' is used before anything computes it", found.name)))
    }

    /// The real numbers of a tensor: floats as 32 bits, integers that are not quantized as they
    /// are.
    pub(crate) fn real(&mut self, tensor: usize) -> Result<Arc<Array>, Stop> {
        let raw = self.raw(tensor)?;
        if let Some(quantization) = self.tensor(tensor).quantized() {
            let values = quantization.real(raw.as_ints()?, raw.dims());
            return Ok(Arc::new(Array::floats(raw.dims(), values)?));
        }
        match raw.element_type() {
            ElementType::Float16 | ElementType::Bfloat16 => {
                Ok(Arc::new(cast(&raw, ElementType::Float32)?))
            }
            _ => Ok(raw),
        }
    }

    /// The elements of a tensor of integers.
    pub(crate) fn ints(&mut self, tensor: usize) -> Result<Vec<i64>, Stop> {
        Ok(self.raw(tensor)?.as_ints()?.to_vec())
    }

    /// The one element of a tensor of integers.
    pub(crate) fn int(&mut self, tensor: usize) -> Result<i64, Stop> {
        let found = self.ints(tensor)?;
        found.first().copied().ok_or_else(|| mismatch("expected a number, found none"))
    }

    /// How a tensor is quantized, when it is.
    pub(crate) fn quantized(&self, tensor: usize) -> Option<Quantization> {
        self.tensor(tensor).quantized().cloned()
    }

    /// A tensor holds these elements.
    pub(crate) fn give(&mut self, tensor: usize, array: Array) -> Result<(), Stop> {
        self.drop(tensor);
        self.held = self.held.saturating_add(bytes(&array));
        if self.held > self.model.limits.evaluation_bytes {
            let limit = self.model.limits.evaluation_bytes;
            return Err(mismatch(format!("the values take more than {limit} bytes")));
        }
        self.values[tensor] = Some(Arc::new(array));
        Ok(())
    }

    /// A tensor holds these real numbers, rounded to what it can hold.
    pub(crate) fn give_real(&mut self, tensor: usize, array: Array) -> Result<(), Stop> {
        let found = self.tensor(tensor);
        let Some(quantization) = found.quantized() else {
            let array = match found.element_type {
                Some(half @ (ElementType::Float16 | ElementType::Bfloat16)) => cast(&array, half)?,
                _ => array,
            };
            return self.give(tensor, array);
        };
        let element_type = found.element_type.unwrap_or(ElementType::Int8);
        let values = quantization.nearest(array.as_floats()?, array.dims(), element_type);
        self.give(tensor, Array::new(element_type, array.dims(), Data::Ints(values))?)
    }

    /// A tensor that keeps its value holds these real numbers in the next run.
    pub(crate) fn next_state(&mut self, tensor: usize, array: Array) -> Result<(), Stop> {
        self.give_real(tensor, array)?;
        let value = self.raw(tensor)?;
        let name = self.tensor(tensor).name.clone();
        self.variables.insert(name, value);
        Ok(())
    }

    /// A quantized tensor holds these integers, cut to what its type can hold.
    pub(crate) fn give_steps(
        &mut self,
        tensor: usize,
        dims: &[usize],
        steps: Vec<i64>,
    ) -> Result<(), Stop> {
        let element_type = self.tensor(tensor).element_type.unwrap_or(ElementType::Int8);
        let (least, most) = bounds(element_type);
        let steps = steps.into_iter().map(|step| step.clamp(least, most)).collect();
        self.give(tensor, Array::new(element_type, dims, Data::Ints(steps))?)
    }

    /// How many elements a shape has; an error where there is no room for them.
    pub(crate) fn room(&self, dims: &[usize]) -> Result<usize, Stop> {
        let count = elements(dims)?;
        let bytes = (count as u64).saturating_mul(8).saturating_add(self.held);
        let limit = self.model.limits.evaluation_bytes;
        match bytes <= limit {
            true => Ok(count),
            false => Err(mismatch(format!("shape {dims:?} takes more than {limit} bytes"))),
        }
    }

    /// Forgets the value of a tensor.
    fn drop(&mut self, tensor: usize) {
        if let Some(value) = self.values[tensor].take() {
            self.held = self.held.saturating_sub(bytes(&value));
        }
    }

    /// A constant of another graph.
    pub(crate) fn constant_of(&self, graph: &Subgraph, tensor: usize) -> Result<Arc<Array>, Stop> {
        let found = &graph.tensors[tensor];
        let element_type = found.element_type.ok_or_else(|| mismatch("a handle is no value"))?;
        let bytes = self.model.elements(found)?;
        let constant = Constant::raw(&found.name, element_type, &found.shape, bytes);
        Ok(Arc::new(Array::from_constant(&constant)?))
    }

    /// Runs another graph of the model.
    pub(crate) fn call(
        &mut self,
        graph: usize,
        inputs: Vec<Arc<Array>>,
    ) -> Result<Vec<Arc<Array>>, Stop> {
        let found = self.model.subgraphs.get(graph);
        let found = found.ok_or_else(|| mismatch(format!("there is no graph {graph}")))?;
        Ok(run_graph((self.model, self.halves), found, inputs, self.variables, self.depth + 1)?)
    }
}

fn bytes(array: &Array) -> u64 {
    let size = match array.data() {
        Data::Floats(_) => 4,
        Data::Bools(_) => 1,
        Data::Doubles(_) | Data::Ints(_) => 8,
        Data::Strings(_) => 32,
    };
    array.len() as u64 * size
}
