//! A model that gives what is to be observed.

use modelyard_graph::{Model, Value, ValueType};

use crate::OptimizeError;

/// The same model with these tensors as outputs, after its own; those that are outputs or inputs
/// already are not added. Second: where each tensor is found then, in the order of `tensors`.
pub fn watched(model: &Model, tensors: &[&str]) -> Result<(Model, Vec<Place>), OptimizeError> {
    let types = model.types();
    let mut model = model.clone();
    let signature = model.signature().map_err(|error| OptimizeError::Invalid(error.to_string()))?;
    let inputs: Vec<String> = signature.inputs.iter().map(|input| input.name.clone()).collect();
    let graph = &mut model.graph;
    let mut places = Vec::with_capacity(tensors.len());
    for &name in tensors {
        if let Some(position) = inputs.iter().position(|input| input == name) {
            places.push(Place::Input(position));
            continue;
        }
        let found = graph.outputs.iter().position(|output| output.name == name);
        let position = found.unwrap_or(graph.outputs.len());
        if found.is_none() {
            let value_type = types.get(name).cloned().unwrap_or(ValueType::Unknown);
            graph.outputs.push(Value { name: name.to_owned(), value_type });
        }
        places.push(Place::Output(position));
    }
    Ok((model.check()?, places))
}

/// Where a tensor is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is this input of the model.
    Input(usize),
    /// It is this output.
    Output(usize),
}
