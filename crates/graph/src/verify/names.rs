//! Every name is given once, and before it is taken.

use std::collections::HashSet;

use super::Report;
use crate::{Function, Graph, Node};

/// The names defined so far, from the outermost graph to the one being read. A graph inside a
/// node sees what was defined around it before that node.
#[derive(Default)]
pub(super) struct Scopes<'a> {
    stack: Vec<HashSet<&'a str>>,
}

impl<'a> Scopes<'a> {
    pub(super) fn enter(&mut self) {
        self.stack.push(HashSet::new());
    }

    pub(super) fn leave(&mut self) {
        self.stack.pop();
    }

    /// Whether the name was new in the innermost graph.
    fn define(&mut self, name: &'a str) -> bool {
        self.stack.last_mut().is_some_and(|names| names.insert(name))
    }

    fn has(&self, name: &str) -> bool {
        self.stack.iter().any(|names| names.contains(name))
    }
}

/// Inputs and initializers; one name may be both, which is a default.
pub(super) fn define_interface<'a>(
    graph: &'a Graph,
    scopes: &mut Scopes<'a>,
    report: &mut Report<'_>,
) {
    for input in &graph.inputs {
        if input.name.is_empty() {
            report.add("graph", "expected a name for each input, found an empty one");
        } else if !scopes.define(&input.name) {
            report.add(format!("input '{}'", input.name), "expected the name once, found it twice");
        }
    }
    let dense = graph.initializers.iter();
    let sparse = graph.sparse_initializers.iter().map(|sparse| &sparse.values);
    let mut seen = HashSet::new();
    for constant in dense.chain(sparse) {
        let place = || format!("initializer '{}'", constant.name);
        if constant.name.is_empty() {
            report.add(place(), "expected a name, found an empty one");
        } else if !seen.insert(constant.name.as_str()) {
            report.add(place(), "expected the name once, found it twice");
        }
        scopes.define(&constant.name);
    }
}

/// Checks what `node` takes. True when something is given only later: there may be a cycle.
pub(super) fn take_inputs(
    node: &Node,
    nodes: &[Node],
    scopes: &Scopes<'_>,
    report: &mut Report<'_>,
) -> bool {
    let mut later = false;
    for input in node.inputs.iter().filter(|input| !input.is_empty() && !scopes.has(input)) {
        if report.is_full() {
            break;
        }
        let giver = nodes.iter().find(|other| other.outputs.contains(input));
        let message = match giver {
            Some(giver) => {
                later = true;
                format!(
                    "expected input '{input}' to be given before, found that {giver} gives it \
                     later; nodes must be in topological order"
                )
            }
            None => format!(
                "expected input '{input}' to be a graph input, an initializer or the output of \
                 an earlier node, found no such name"
            ),
        };
        report.add(node.to_string(), message);
    }
    later
}

/// Defines what `node` gives.
pub(super) fn give_outputs<'a>(node: &'a Node, scopes: &mut Scopes<'a>, report: &mut Report<'_>) {
    for output in node.outputs.iter().filter(|output| !output.is_empty()) {
        if !scopes.define(output) {
            report.add(
                node.to_string(),
                format!("expected '{output}' to be defined once, found it defined before"),
            );
        }
    }
}

/// What the graph gives must exist.
pub(super) fn check_outputs(graph: &Graph, scopes: &Scopes<'_>, report: &mut Report<'_>) {
    for output in graph.outputs.iter().filter(|output| !scopes.has(&output.name)) {
        report.add(
            format!("output '{}' of graph '{}'", output.name, graph.name),
            "expected to be a node's output, an input or an initializer, found no such name",
        );
    }
}

/// A function sees its own inputs only.
pub(super) fn function(function: &Function, place: &str, report: &mut Report<'_>) {
    let mut scopes = Scopes::default();
    scopes.enter();
    for input in &function.inputs {
        if !scopes.define(input) {
            report.add(place, format!("expected input '{input}' once, found it twice"));
        }
    }
    super::nodes(&function.nodes, &mut scopes, true, report);
    for output in function.outputs.iter().filter(|output| !scopes.has(output)) {
        report.add(
            place,
            format!("expected output '{output}' to be given by a node, found no such name"),
        );
    }
}
