//! What a model takes and gives: names, state, rows.

use std::collections::HashSet;

use super::batch::{self, Batch};
use super::model::{Model, SignatureDef, Subgraph, damaged};
use super::variables::Variables;
use crate::{ConvertError, Options};

/// How the converted model is called.
#[derive(Debug)]
pub(crate) struct Interface {
    subgraph: usize,
    /// Names of the inputs, as many as the graph has.
    pub(crate) inputs: Vec<String>,
    /// Names of the outputs, as many as the graph has.
    pub(crate) outputs: Vec<String>,
    pub(crate) variables: Variables,
    pub(crate) batch: Batch,
    /// Whether the first dimension of each output, where it is free, is that of the inputs.
    pub(crate) batch_outputs: Vec<bool>,
}

impl Interface {
    /// Finds the graph and the names of its values: those of the signature that `options` names, or
    /// of the first one; those of the tensors where there is none.
    pub(crate) fn find(model: &Model, options: &Options) -> Result<Interface, ConvertError> {
        let signature = signature(model, options)?;
        let subgraph = signature.map_or(0, |signature| signature.subgraph);
        let Some(graph) = model.subgraphs.get(subgraph) else {
            return Err(damaged("the model", format!("there is no graph {subgraph}")));
        };
        let named = |tensors: &[usize], names: &[(usize, String)]| -> Vec<String> {
            let mut names = names.to_vec();
            let mut seen = HashSet::new();
            let name = |&tensor: &usize| {
                let found = names.iter().position(|(other, _)| *other == tensor);
                let name = match found {
                    Some(index) => names.remove(index).1,
                    None => graph.tensors[tensor].name.clone(),
                };
                distinct(if name.is_empty() { format!("tensor{tensor}") } else { name }, &mut seen)
            };
            tensors.iter().map(name).collect()
        };
        let empty = Vec::new();
        let inputs = named(&graph.inputs, signature.map_or(&empty, |found| &found.inputs));
        let mut outputs = named(&graph.outputs, signature.map_or(&empty, |found| &found.outputs));
        // ONNX has one space of names.
        for name in outputs.iter_mut().filter(|name| inputs.contains(name)) {
            name.push_str(".out");
        }
        let variables = Variables::find(model, graph)?;
        let rows = batch::rows(model, graph, &variables.states);
        Ok(Interface {
            batch_outputs: batch_outputs(graph, rows.is_some()),
            batch: freed(graph, rows),
            subgraph,
            inputs,
            outputs,
            variables,
        })
    }

    /// The graph that is called.
    pub(crate) fn graph<'m>(&self, model: &'m Model) -> &'m Subgraph {
        &model.subgraphs[self.subgraph]
    }

    /// Names of all outputs, state included.
    pub(crate) fn output_names(&self) -> Vec<String> {
        let states = self.variables.states.iter().map(|state| state.output());
        self.outputs.iter().cloned().chain(states).collect()
    }

    /// What the reader should know of it.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.batch.freed {
            notes.push(
                "the model was compiled for one row at a time; all its operators treat rows \
                 independently, so the first dimension is free"
                    .into(),
            );
        }
        for state in &self.variables.states {
            let start = state.start_text();
            notes.push(format!(
                "the model keeps '{}' from run to run: it is input '{}', at first {start}, and \
                 output '{}', to be given back in the next run",
                state.name,
                state.input(),
                state.output()
            ));
        }
        notes
    }
}

fn signature<'m>(
    model: &'m Model,
    options: &Options,
) -> Result<Option<&'m SignatureDef>, ConvertError> {
    let Some(wanted) = &options.signature else { return Ok(model.signatures.first()) };
    let found = model.signatures.iter().find(|signature| signature.key == *wanted);
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = model.signatures.iter().map(|found| found.key.as_str()).collect();
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        ConvertError::Option(format!("the model has no signature '{wanted}'; it has: {known}"))
    })
}

fn distinct(name: String, seen: &mut HashSet<String>) -> String {
    let mut found = name.clone();
    let mut count = 1;
    while !seen.insert(found.clone()) {
        found = format!("{name}_{count}");
        count += 1;
    }
    found
}

/// Frees the first dimension where every input was compiled for one row and the rows are known to
/// be independent. Where the source says which dimensions are free, it is left to it.
fn freed(graph: &Subgraph, rows: Option<Vec<Option<usize>>>) -> Batch {
    let mut dims = graph.inputs.iter().flat_map(|&input| &graph.tensors[input].signature);
    let is_fixed = dims.all(Option::is_some);
    match rows {
        Some(axes) if is_fixed => Batch { axes, freed: true },
        _ => Batch { axes: vec![None; graph.tensors.len()], freed: false },
    }
}

/// The first dimension of an output is that of the inputs where the rows were followed there, or
/// where the source leaves nothing else free.
fn batch_outputs(graph: &Subgraph, followed: bool) -> Vec<bool> {
    let only_first = |&tensor: &usize| {
        let signature = &graph.tensors[tensor].signature;
        signature.first() == Some(&None) && signature.iter().skip(1).all(Option::is_some)
    };
    let by_convention = graph.inputs.iter().all(only_first);
    let of = |output| followed || (by_convention && only_first(output));
    graph.outputs.iter().map(of).collect()
}

/// Elements of the longest window of the graph: a free dimension must not be shorter.
pub(crate) fn largest_window(graph: &Subgraph) -> usize {
    let mut largest = 1;
    for op in &graph.operators {
        if matches!(op.kind.as_str(), "CONV_2D" | "DEPTHWISE_CONV_2D")
            && let Some(filter) = op.optional(1)
        {
            let spatial = graph.tensors[filter].shape.iter().skip(1).take(2);
            largest = largest.max(spatial.copied().max().unwrap_or(1));
        }
    }
    if largest == 1 { 1 } else { largest.saturating_mul(4) }
}
