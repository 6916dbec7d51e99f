//! Frozen graphs: one file, all weights in it as constants. It does not say what its inputs and
//! outputs are, so placeholders and values that nobody takes stand in where the caller does not.

use std::collections::HashSet;

use prost::Message as _;

use super::attrs::Attrs;
use super::census::{self, Message};
use super::inline::{Library, inline};
use super::model::{Endpoint, TensorFlowModel};
use super::proto::{GraphDef, NodeDef};
use super::saved_model::placeholder;
use super::sides;
use super::tables::Tables;
use crate::input::Source;
use crate::{ConvertError, Format, Limits, Options};

const FORMAT: &str = Format::GraphDef.name();

/// Reads a frozen graph.
pub(super) fn read(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<TensorFlowModel, ConvertError> {
    let bytes = source.file()?.read_all(limits.file_bytes.min(super::MAX_GRAPH_BYTES))?;
    census::check(&bytes, Message::Graph, FORMAT, limits)?;
    let graph =
        GraphDef::decode(bytes).map_err(|error| malformed("the file", error.to_string()))?;
    let library = Library::new(&graph, FORMAT, limits);
    let (feeds, inputs) = inputs(&graph, options)?;
    let fetches = outputs(&graph, options)?;
    let inlined = inline(&library, &graph.nodes, &feeds, &fetches)?;
    let inlined = sides::settled(inlined, limits);
    let producer = graph.versions.as_ref().map_or(0, |versions| versions.producer);
    let output = |name: &String| Endpoint {
        name: bare(name).to_owned(),
        // What comes out is found by converting.
        element_type: modelyard_graph::ElementType::Float32,
        dims: None,
    };
    let outputs = fetches.iter().map(output).collect();
    let notes = match options.outputs.is_empty() {
        true => vec![format!("outputs were taken from the graph's end: {}", fetches.join(", "))],
        false => Vec::new(),
    };
    Ok(TensorFlowModel {
        format: Format::GraphDef,
        producer: format!("TensorFlow (graph version {producer})"),
        graph: inlined,
        inputs,
        outputs,
        tables: Tables::new(),
        notes,
        limits: limits.clone(),
    })
}

/// The name of a value without the number of the first output.
fn bare(name: &str) -> &str {
    name.strip_suffix(":0").unwrap_or(name)
}

fn inputs(
    graph: &GraphDef,
    options: &Options,
) -> Result<(Vec<String>, Vec<Endpoint>), ConvertError> {
    let given = |name: &String| {
        let node_name = name.split(':').next().unwrap_or(name);
        let found = graph.nodes.iter().find(|node| node.name == node_name);
        found.map(|node| (name.clone(), node)).ok_or_else(|| {
            let names: Vec<&str> = placeholders(graph).map(|node| node.name.as_str()).collect();
            ConvertError::Option(format!(
                "the graph has no input '{name}'; its placeholders are: {}",
                shown(&names)
            ))
        })
    };
    let found: Vec<(String, &NodeDef)> = match options.inputs.is_empty() {
        true => placeholders(graph).map(|node| (node.name.clone(), node)).collect(),
        false => options.inputs.iter().map(given).collect::<Result<_, _>>()?,
    };
    let endpoint = |(name, node): &(String, &NodeDef)| {
        let attrs = Attrs::new(node.attrs.clone());
        let dtype = attrs.element_type("dtype").or_else(|| attrs.element_type("T"));
        // What another node than a placeholder gives may have left its shape.
        let shape = attrs.shape("shape").or_else(|| attrs.shapes("_output_shapes").first());
        placeholder(dtype, shape, bare(name))
    };
    let endpoints = found.iter().map(endpoint).collect::<Result<_, _>>()?;
    Ok((found.into_iter().map(|(name, _)| name).collect(), endpoints))
}

fn placeholders(graph: &GraphDef) -> impl Iterator<Item = &NodeDef> {
    graph.nodes.iter().filter(|node| matches!(node.op.as_str(), "Placeholder" | "PlaceholderV2"))
}

/// Operators whose results are not what a model is for.
const NO_OUTPUT: [&str; 14] = [
    "Assert",
    "Const",
    "NoOp",
    "Placeholder",
    "PlaceholderV2",
    "SaveV2",
    "RestoreV2",
    "Assign",
    "AssignVariableOp",
    "MergeV2Checkpoints",
    "ShardedFilename",
    "MergeSummary",
    "ScalarSummary",
    "HistogramSummary",
];

fn outputs(graph: &GraphDef, options: &Options) -> Result<Vec<String>, ConvertError> {
    let names: HashSet<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
    let used: HashSet<&str> = graph
        .nodes
        .iter()
        .flat_map(|node| &node.inputs)
        .map(|input| input.trim_start_matches('^').split(':').next().unwrap_or(input))
        .collect();
    let ends: Vec<&str> = graph
        .nodes
        .iter()
        .filter(|node| !used.contains(node.name.as_str()))
        .filter(|node| !NO_OUTPUT.contains(&node.op.as_str()))
        .map(|node| node.name.as_str())
        .collect();
    for name in &options.outputs {
        if !names.contains(name.split(':').next().unwrap_or(name)) {
            let message = format!(
                "the graph has no value '{name}'; values that nothing else takes are: {}",
                shown(&ends)
            );
            return Err(ConvertError::Option(message));
        }
    }
    if !options.outputs.is_empty() {
        return Ok(options.outputs.clone());
    }
    if ends.is_empty() {
        let message = "the graph ends nowhere; name its outputs";
        return Err(ConvertError::Option(message.into()));
    }
    Ok(ends.into_iter().map(str::to_owned).collect())
}

fn shown(names: &[&str]) -> String {
    const SHOWN: usize = 20;
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    if text.is_empty() { "none".into() } else { text }
}

fn malformed(place: &str, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: message.into() }
}
