//! A model that gives what is to be observed.

use std::collections::HashSet;

use modelyard_graph::{Model, Value, ValueType};

use crate::OptimizeError;
use crate::links::{Links, types, uses};
use crate::quantize::drop_unused;

/// The same model with these tensors as outputs, after its own; those that are outputs or inputs
/// already are not added. Second: where each tensor is found then, in the order of `tensors`.
pub fn watched(model: &Model, tensors: &[&str]) -> Result<(Model, Vec<Place>), OptimizeError> {
    let types = types(model);
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

/// A model that gives nothing but these tensors, in this order, with no more nodes than these need.
/// Inputs stay, used or not.
pub fn only(model: &Model, tensors: &[&str]) -> Result<Model, OptimizeError> {
    let (mut model, places) = watched(model, tensors)?;
    let graph = &mut model.graph;
    let position = |place: &Place| match place {
        Place::Output(position) => Some(graph.outputs[*position].clone()),
        Place::Input(_) => None,
    };
    graph.outputs = places.iter().filter_map(position).collect();
    let needed: HashSet<usize> = {
        let links = Links::of(graph);
        let mut wanted: Vec<&str> = graph.outputs.iter().map(|it| it.name.as_str()).collect();
        let mut needed = HashSet::new();
        while let Some(name) = wanted.pop() {
            if let Some(number) = links.producer(name)
                && needed.insert(number)
            {
                wanted.extend(uses(&graph.nodes[number]));
            }
        }
        needed
    };
    let mut number = 0..;
    graph.nodes.retain(|_| number.next().is_some_and(|number| needed.contains(&number)));
    graph.value_info.clear();
    drop_unused(&mut model);
    Ok(model.check()?)
}
