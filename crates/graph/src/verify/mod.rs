//! What must hold before anybody works with a model.
//!
//! All mistakes are collected (up to a bound), so that an author sees them at once.
//!
//! | module | checks |
//! |---|---|
//! | `names` | every name is given once, and before it is taken |
//! | `order` | finds the cycle where nodes wait for each other |
//! | `tensors` | shapes, sizes, and that constants are as long as their shape says |
//! | `attributes` | attributes are named once and of the kind that ONNX means |
//!
//! Then `infer` looks for shapes that can never go together.

mod attributes;
mod names;
mod order;
mod tensors;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{Function, Graph, Limits, Model, Node, Problem};

/// More mistakes than this help nobody.
const MOST_PROBLEMS: usize = 100;

/// What is wrong with `model`.
pub(crate) fn problems(model: &Model, limits: &Limits) -> Vec<Problem> {
    let mut report = Report { limits, problems: Vec::new() };
    // Everything after this may recurse over the graphs inside nodes.
    if !fits(model, limits, &mut report) {
        return report.problems;
    }
    let mut functions: Vec<&Function> = Vec::new();
    let mut seen = HashSet::new();
    for function in &model.functions {
        if seen.insert((&function.domain, &function.name, &function.overload)) {
            functions.push(function);
        } else {
            report.add(place_of(function), "expected to be defined once, found twice");
        }
    }
    interface(model, &mut report);
    for constant in model.constants() {
        tensors::constant(constant, &mut report);
    }
    opsets("model", &model.graph.nodes, &model.opsets, &mut report);
    graph(&model.graph, &mut names::Scopes::default(), false, &mut report);
    for function in functions {
        let place = place_of(function);
        let opsets = if function.opsets.is_empty() { &model.opsets } else { &function.opsets };
        self::opsets(&place, &function.nodes, opsets, &mut report);
        names::function(function, &place, &mut report);
    }
    recursion(model, &mut report);
    // Shapes are followed only through what is sound.
    if report.problems.is_empty() {
        report.problems = crate::infer::conflicts(model);
        report.problems.truncate(MOST_PROBLEMS);
    }
    report.problems
}

/// The mistakes so far, and the bounds that apply.
struct Report<'a> {
    limits: &'a Limits,
    problems: Vec<Problem>,
}

impl Report<'_> {
    fn add(&mut self, place: impl Into<String>, message: impl Into<String>) {
        if !self.is_full() {
            self.problems.push(Problem::new(place, message));
        }
    }

    fn is_full(&self) -> bool {
        self.problems.len() >= MOST_PROBLEMS
    }
}

fn place_of(function: &Function) -> String {
    format!("function '{}' of domain '{}'", function.name, function.domain)
}

/// Whether depth and number of nodes are within bounds: a model built in code did not go
/// through the census.
fn fits(model: &Model, limits: &Limits, report: &mut Report<'_>) -> bool {
    let mut count = 0usize;
    let mut stack: Vec<(&[Node], usize)> = vec![(&model.graph.nodes, 1)];
    stack.extend(model.functions.iter().map(|function| (function.nodes.as_slice(), 1)));
    while let Some((nodes, depth)) = stack.pop() {
        count += nodes.len();
        if depth > limits.depth || count > limits.nodes {
            report.add(
                "model",
                format!(
                    "expected at most {} nodes and {} levels of graphs in graphs, found more",
                    limits.nodes, limits.depth
                ),
            );
            return false;
        }
        let inside = nodes.iter().flat_map(Node::subgraphs);
        stack.extend(inside.map(|graph| (graph.nodes.as_slice(), depth + 1)));
    }
    true
}

/// Inputs and outputs of the model: named, typed, each once.
fn interface(model: &Model, report: &mut Report<'_>) {
    let graph = &model.graph;
    let initializers: HashSet<&str> =
        graph.initializers.iter().map(|constant| constant.name.as_str()).collect();
    for input in &graph.inputs {
        let known = initializers.contains(input.name.as_str());
        if input.value_type == crate::ValueType::Unknown && !known {
            report.add(format!("input '{}'", input.name), "expected a type, found none");
        }
    }
    let mut seen = HashSet::new();
    for output in &graph.outputs {
        if !seen.insert(output.name.as_str()) {
            report.add(
                format!("output '{}'", output.name),
                "expected different names for all outputs, found this one twice",
            );
        }
    }
}

/// Every domain that nodes use is imported.
fn opsets(place: &str, nodes: &[Node], opsets: &BTreeMap<String, i64>, report: &mut Report<'_>) {
    let mut missing = BTreeMap::new();
    let mut stack = vec![nodes];
    while let Some(nodes) = stack.pop() {
        for node in nodes {
            if !opsets.contains_key(&node.domain) {
                missing.entry(node.domain.as_str()).or_insert(node);
            }
            stack.extend(node.subgraphs().map(|graph| graph.nodes.as_slice()));
        }
    }
    for (domain, node) in missing {
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        report.add(
            place,
            format!(
                "expected an opset import for domain '{domain}', which {node} uses, found none"
            ),
        );
    }
    for (domain, version) in opsets {
        if *version < 1 {
            let message =
                format!("expected version 1 or more of domain '{domain}', found {version}");
            report.add(place, message);
        }
    }
}

/// A graph with the graphs inside its nodes.
fn graph<'a>(
    graph: &'a Graph,
    scopes: &mut names::Scopes<'a>,
    in_function: bool,
    report: &mut Report<'_>,
) {
    for value in graph.inputs.iter().chain(&graph.outputs).chain(&graph.value_info) {
        tensors::value(value, report);
    }
    scopes.enter();
    names::define_interface(graph, scopes, report);
    nodes(&graph.nodes, scopes, in_function, report);
    names::check_outputs(graph, scopes, report);
    scopes.leave();
}

/// The nodes of a graph or function, in order.
fn nodes<'a>(
    nodes: &'a [Node],
    scopes: &mut names::Scopes<'a>,
    in_function: bool,
    report: &mut Report<'_>,
) {
    let mut unordered = false;
    for node in nodes {
        if report.is_full() {
            return;
        }
        if node.op_type.is_empty() {
            report.add(node.to_string(), "expected an operator, found none");
        }
        attributes::check(node, in_function, report);
        unordered |= names::take_inputs(node, nodes, scopes, report);
        for inside in node.subgraphs() {
            graph(inside, scopes, in_function, report);
        }
        names::give_outputs(node, scopes, report);
    }
    if unordered && let Some(cycle) = order::cycle(nodes) {
        report.add("graph", format!("expected no cycle, found {cycle}"));
    }
}

/// No function calls itself, through others or not.
fn recursion(model: &Model, report: &mut Report<'_>) {
    let by_name: HashMap<(&str, &str), usize> = model
        .functions
        .iter()
        .enumerate()
        .map(|(index, function)| ((&*function.domain, &*function.name), index))
        .collect();
    let calls: Vec<Vec<usize>> = model
        .functions
        .iter()
        .map(|function| {
            let mut called = Vec::new();
            let mut stack = vec![function.nodes.as_slice()];
            while let Some(nodes) = stack.pop() {
                for node in nodes {
                    called.extend(by_name.get(&(&*node.domain, &*node.op_type)));
                    stack.extend(node.subgraphs().map(|graph| graph.nodes.as_slice()));
                }
            }
            called
        })
        .collect();
    if let Some(cycle) = order::cycle_of(&calls) {
        let names: Vec<&str> =
            cycle.iter().map(|&index| model.functions[index].name.as_str()).collect();
        report.add(
            format!("function '{}'", names[0]),
            format!("expected no recursion, found {}", order::arrows(&names)),
        );
    }
}

#[cfg(test)]
mod tests;
