//! Lookup tables: filled when a model is loaded, by operators that the graph has for it.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::graph::{Graph, Node};
use super::inline::{Library, inline};
use super::proto::{AssetFileDef, NodeDef};
use super::weight::Weight;
use crate::input::Source;
use crate::{ConvertError, Format, Limits};

/// Keys and their values, one for one.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) keys: Weight,
    pub(super) values: Weight,
}

/// Tables by the names of the nodes that stand for them.
pub(super) type Tables = BTreeMap<String, Table>;

/// Operators that fill a table.
const FILLERS: [&str; 5] = [
    "InitializeTableV2",
    "InitializeTable",
    "LookupTableImportV2",
    "InitializeTableFromTextFileV2",
    "InitializeTableFromTextFile",
];

/// Tables that a model may have.
const MAX_TABLES: usize = 1000;

/// Where the parts of a SavedModel are.
pub(super) struct Files<'a> {
    pub(super) source: &'a Source,
    pub(super) assets: &'a [AssetFileDef],
    pub(super) limits: &'a Limits,
    /// What the graph assigns to variables: names of nodes by names of nodes.
    pub(super) assigned: HashMap<&'a str, &'a str>,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        source: &'a Source,
        (nodes, assets): (&'a [NodeDef], &'a [AssetFileDef]),
        limits: &'a Limits,
    ) -> Files<'a> {
        let bare = |text: &'a String| text.split(':').next().unwrap_or(text);
        let assigned = nodes
            .iter()
            .filter(|node| node.op == "AssignVariableOp")
            .filter_map(|node| Some((bare(node.inputs.first()?), bare(node.inputs.get(1)?))))
            .collect();
        Files { source, assets, limits, assigned }
    }
}

/// Finds what tables of the graph are filled with. A table that is filled in another way is not in
/// the answer, and refused where it is used.
pub(super) fn find(
    library: &Library<'_>,
    nodes: &[NodeDef],
    files: &Files<'_>,
) -> Result<Tables, ConvertError> {
    let mut tables = Tables::new();
    let fillers = nodes.iter().filter(|node| FILLERS.contains(&node.op.as_str()));
    if fillers.count() > MAX_TABLES {
        return Err(malformed("the graph", format!("it fills more than {MAX_TABLES} tables")));
    }
    for node in nodes.iter().filter(|node| FILLERS.contains(&node.op.as_str())) {
        let graph = inline(library, nodes, &[], &inputs(node))?;
        fill(&graph, node, files, &mut tables)?;
    }
    let calls = ["PartitionedCall", "StatefulPartitionedCall"];
    for call in nodes.iter().filter(|node| calls.contains(&node.op.as_str())) {
        let callee = call.attrs.get("f").and_then(|value| value.function.as_ref());
        let Some(function) = callee.and_then(|callee| library.get(&callee.name)) else { continue };
        let fillers: Vec<&NodeDef> =
            function.nodes.iter().filter(|node| FILLERS.contains(&node.op.as_str())).collect();
        if fillers.is_empty() {
            continue;
        }
        // What the function is given, under the names that it knows it by.
        let arguments = function.signature.iter().flat_map(|signature| &signature.inputs);
        let named: HashMap<&str, &String> =
            arguments.map(|argument| argument.name.as_str()).zip(&call.inputs).collect();
        for filler in fillers {
            let given = |input: &String| named.get(input.as_str()).copied().cloned();
            let outer: Option<Vec<String>> = inputs(filler).iter().map(given).collect();
            let graph = match outer {
                Some(outer) => inline(library, nodes, &[], &outer)?,
                None => mixed(library, nodes, (&function.nodes, &named), filler)?,
            };
            fill(&graph, filler, files, &mut tables)?;
        }
    }
    Ok(tables)
}

/// A filler some of whose inputs are constants inside the function.
fn mixed(
    library: &Library<'_>,
    nodes: &[NodeDef],
    (inner, named): (&[NodeDef], &HashMap<&str, &String>),
    filler: &NodeDef,
) -> Result<Graph, ConvertError> {
    let mut graph = Graph::default();
    for input in inputs(filler) {
        let part = match named.get(input.as_str()) {
            Some(outer) => inline(library, nodes, &[], &[(*outer).clone()])?,
            None => {
                let name = input.split(':').next().unwrap_or(&input).to_owned();
                inline(library, inner, &[], &[name])?
            }
        };
        let offset = graph.nodes.len();
        graph.nodes.extend(part.nodes.into_iter().map(|mut node| {
            for input in &mut node.inputs {
                input.node += offset;
            }
            node
        }));
        graph.outputs.extend(part.outputs.into_iter().map(|mut port| {
            port.node += offset;
            port
        }));
    }
    Ok(graph)
}

fn inputs(node: &NodeDef) -> Vec<String> {
    node.inputs.iter().filter(|input| !input.starts_with('^')).cloned().collect()
}

/// Notes what a filler puts into its table; its inputs are the outputs of `graph`.
fn fill(
    graph: &Graph,
    filler: &NodeDef,
    files: &Files<'_>,
    tables: &mut Tables,
) -> Result<(), ConvertError> {
    let nodes: Vec<&Node> =
        graph.outputs.iter().filter_map(|&port| graph.nodes.get(graph.origin(port).node)).collect();
    let constant = |node: &Node| -> Result<Option<Weight>, ConvertError> {
        let Some(tensor) = node.attrs.tensor("value") else { return Ok(None) };
        let weight = Weight::of_proto(tensor, files.limits);
        weight.map(Some).map_err(|message| malformed(&node.name, message))
    };
    let table = match nodes.as_slice() {
        [_, keys, values] => match (constant(keys)?, constant(values)?) {
            (Some(keys), Some(values)) => Some(Table { keys, values }),
            _ => None,
        },
        [_, file] => match asset(graph, file, files)? {
            Some(lines) => text_table(&lines, filler),
            None => None,
        },
        _ => None,
    };
    if let (Some(table), Some(handle)) = (table, nodes.first())
        && table.keys.elements() == table.values.elements()
    {
        tables.insert(handle.name.clone(), table);
    }
    Ok(())
}

/// The lines of the asset whose name this node gives: a constant, or a variable that is set to one.
fn asset(
    graph: &Graph,
    node: &Node,
    files: &Files<'_>,
) -> Result<Option<Vec<Bytes>>, ConvertError> {
    let variable = node.inputs.first().and_then(|port| graph.nodes.get(port.node));
    let name = match (node.op.as_str(), variable) {
        ("ReadVariableOp", Some(variable)) => files.assigned.get(variable.name.as_str()).copied(),
        _ => Some(node.name.as_str()),
    };
    let named = |asset: &&AssetFileDef| {
        let tensor = asset.tensor.as_ref().map_or("", |tensor| tensor.name.as_str());
        tensor.split(':').next() == name
    };
    let Some(asset) = files.assets.iter().find(named) else { return Ok(None) };
    let Some(input) = files.source.beside(&format!("assets/{}", asset.filename))? else {
        return Err(malformed(&asset.filename, "the folder 'assets' does not have it".into()));
    };
    let bytes = input.read_all(files.limits.description_bytes)?;
    let mut lines: Vec<Bytes> = bytes
        .split(|&byte| byte == b'\n')
        .map(|line| bytes.slice_ref(line.strip_suffix(b"\r").unwrap_or(line)))
        .collect();
    if lines.last().is_some_and(Bytes::is_empty) {
        lines.pop();
    }
    if lines.len() > files.limits.nodes {
        return Err(ConvertError::TooLarge {
            place: format!("asset '{}'", asset.filename),
            what: "lines",
            found: lines.len() as u64,
            limit: files.limits.nodes as u64,
        });
    }
    Ok(Some(lines))
}

/// What `InitializeTableFromTextFileV2` makes of lines: each side is the whole line (-2), its number
/// (-1), or a column. `None` where a column is no number of the table's type.
fn text_table(lines: &[Bytes], filler: &NodeDef) -> Option<Table> {
    let attrs = super::attrs::Attrs::new(filler.attrs.clone());
    let delimiter = attrs.text("delimiter", "\t").bytes().next()?;
    let offset = attrs.int("offset", 0);
    let lines = lines.get(usize::try_from(offset).ok()?..)?;
    let size = usize::try_from(attrs.int("vocab_size", -1)).unwrap_or(lines.len());
    let lines = lines.get(..size.min(lines.len()))?;
    let side = |index: i64| -> Option<Weight> {
        match index {
            -1 => Some(integers(&(0..lines.len() as i64).collect::<Vec<_>>())),
            -2 => Some(Weight::strings(lines.to_vec())),
            column => {
                let column = usize::try_from(column).ok()?;
                let part = |line: &Bytes| {
                    let found = line.split(|&byte| byte == delimiter).nth(column)?;
                    Some(line.slice_ref(found))
                };
                let parts: Option<Vec<Bytes>> = lines.iter().map(part).collect();
                let parts = parts?;
                let number =
                    |part: &Bytes| std::str::from_utf8(part).ok()?.trim().parse::<i64>().ok();
                // Keys of text tables are text; values are numbers where all of them are.
                let numbers: Option<Vec<i64>> = parts.iter().map(number).collect();
                match numbers {
                    Some(numbers) if index == attrs.int("value_index", 0) => {
                        Some(integers(&numbers))
                    }
                    _ => Some(Weight::strings(parts)),
                }
            }
        }
    };
    let (keys, values) = (side(attrs.int("key_index", 0))?, side(attrs.int("value_index", 0))?);
    Some(Table { keys, values })
}

fn integers(values: &[i64]) -> Weight {
    Weight::integers(values)
}

fn malformed(name: &str, message: String) -> ConvertError {
    let place = format!("'{name}'");
    ConvertError::Malformed { format: Format::SavedModel.name(), place, message }
}
