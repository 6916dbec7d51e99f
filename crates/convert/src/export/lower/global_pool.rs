//! Global pools: reductions over space.

use modelyard_graph::Node;

use super::super::graph::{Rewriting, node};

pub(super) fn average(graph: &mut Rewriting, old: Node) -> Option<Node> {
    reduce(graph, old, "ReduceMean")
}

pub(super) fn max(graph: &mut Rewriting, old: Node) -> Option<Node> {
    reduce(graph, old, "ReduceMax")
}

fn reduce(graph: &mut Rewriting, old: Node, operator: &str) -> Option<Node> {
    let input = old.input(0).unwrap_or_default();
    let Some(rank) = graph.facts.rank(input) else {
        let way_out = "state the shapes of the inputs when the model is converted";
        graph.refuse(&old, "an image whose number of dimensions is not known", way_out);
        return None;
    };
    let axes: Vec<i64> = (2..rank as i64).collect();
    let axes = graph.integers("axes", &axes);
    let reduced = node(operator, &[input, &axes]).with("keepdims", 1);
    graph.add_as(reduced, old.output(0).unwrap_or_default());
    None
}
