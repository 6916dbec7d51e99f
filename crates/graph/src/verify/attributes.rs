//! Attributes are named once and of the kind that ONNX means.

use std::collections::HashSet;

use super::Report;
use crate::{AttributeValue, Node};

/// Attributes that mean the same kind of thing in every operator of ONNX that has them.
const KINDS: &[(&str, &str)] = &[
    ("alpha", "a float"),
    ("auto_pad", "a string"),
    ("axes", "integers"),
    ("axis", "an integer"),
    ("beta", "a float"),
    ("body", "a graph"),
    ("dilations", "integers"),
    ("direction", "a string"),
    ("else_branch", "a graph"),
    ("epsilon", "a float"),
    ("group", "an integer"),
    ("hidden_size", "an integer"),
    ("keepdims", "an integer"),
    ("kernel_shape", "integers"),
    ("mode", "a string"),
    ("pads", "integers"),
    ("perm", "integers"),
    ("strides", "integers"),
    ("then_branch", "a graph"),
    ("to", "an integer"),
];

/// Operators of graphs, with the graphs they need.
const GRAPHS: &[(&str, &[&str])] =
    &[("If", &["then_branch", "else_branch"]), ("Loop", &["body"]), ("Scan", &["body"])];

/// Checks the attributes of `node`. References to a caller's attribute make sense in functions
/// only.
pub(super) fn check(node: &Node, in_function: bool, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for attribute in &node.attributes {
        let place = || format!("attribute '{}' of {node}", attribute.name);
        if attribute.name.is_empty() || !seen.insert(attribute.name.as_str()) {
            report.add(place(), "expected a name of its own, found none or one used twice");
        }
        if let AttributeValue::Reference { name, .. } = &attribute.value {
            if !in_function {
                let message =
                    format!("expected a value, found a reference to '{name}' outside a function");
                report.add(place(), message);
            }
            continue;
        }
        let known = KINDS.iter().find(|(name, _)| *name == attribute.name);
        if let Some((_, expected)) = known
            && node.domain.is_empty()
            && *expected != kind_name(&attribute.value)
        {
            let found = kind_name(&attribute.value);
            report.add(place(), format!("expected {expected}, found {found}"));
        }
    }
    let graphs = GRAPHS.iter().find(|(op_type, _)| node.is(op_type));
    for name in graphs.map_or(&[][..], |(_, names)| names) {
        if node.attribute(name).is_none() {
            report.add(node.to_string(), format!("expected a graph as '{name}', found none"));
        }
    }
}

fn kind_name(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::Float(_) => "a float",
        AttributeValue::Int(_) => "an integer",
        AttributeValue::String(_) => "a string",
        AttributeValue::Tensor(_) => "a tensor",
        AttributeValue::Graph(_) => "a graph",
        AttributeValue::SparseTensor(_) => "a sparse tensor",
        AttributeValue::Type(_) => "a type",
        AttributeValue::Floats(_) => "floats",
        AttributeValue::Ints(_) => "integers",
        AttributeValue::Strings(_) => "strings",
        AttributeValue::Tensors(_) => "tensors",
        AttributeValue::Graphs(_) => "graphs",
        AttributeValue::SparseTensors(_) => "sparse tensors",
        AttributeValue::Types(_) => "types",
        AttributeValue::Reference { .. } => "a reference",
    }
}
