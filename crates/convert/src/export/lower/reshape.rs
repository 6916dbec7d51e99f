//! Shapes as other frameworks understand them: no 0 for "as it was", at most one open size.

use modelyard_graph::Node;

use super::super::graph::{Rewriting, fixed, node};

pub(super) fn flatten(graph: &mut Rewriting, old: Node) -> Option<Node> {
    if let Some(shape) = stated(graph, &old) {
        let shape = graph.integers("shape", &shape);
        graph.add_as(node("Reshape", &[old.input(0)?, &shape]), old.output(0)?);
        return None;
    }
    // Of several open sizes: not every target has that, so that is for the targets to say.
    Some(old)
}

pub(super) fn reshape(graph: &mut Rewriting, mut old: Node) -> Option<Node> {
    let shape = match (stated(graph, &old), graph.facts.integers(&old, 1)) {
        (Some(shape), _) => Some(shape),
        // Open sizes that are not known to be what they are; without 0 it means the same anywhere.
        (None, Some(shape)) if !shape.contains(&0) => Some(shape),
        (None, Some(shape)) => return copied(graph, old, &shape),
        (None, None) => None,
    };
    if let Some(shape) = shape {
        old.inputs = vec![old.input(0)?.to_owned(), graph.integers("shape", &shape)];
    }
    old.attributes.retain(|attribute| attribute.name != "allowzero");
    Some(old)
}

/// The shape of what a node gives, if at most one size is open.
fn stated(graph: &Rewriting, old: &Node) -> Option<Vec<i64>> {
    let dims = graph.facts.dims(old.output(0)?)?;
    let open = dims.iter().filter(|dim| fixed(dim).is_none()).count();
    let size = |dim| fixed(dim).map_or(Some(-1), |size| i64::try_from(size).ok());
    (open <= 1).then(|| dims.iter().map(size).collect())?
}

/// A shape with sizes that are taken from the input.
fn copied(graph: &mut Rewriting, mut old: Node, shape: &[i64]) -> Option<Node> {
    let input = old.input(0)?.to_owned();
    if old.int("allowzero").unwrap_or(0) != 0 {
        return Some(old);
    }
    let whole = graph.add(node("Shape", &[&input]));
    let mut parts = Vec::new();
    for (place, &size) in shape.iter().enumerate() {
        parts.push(match size {
            0 => {
                let place = graph.integers("place", &[place as i64]);
                graph.add(node("Gather", &[&whole, &place]).with("axis", 0))
            }
            size => graph.integers("size", &[size]),
        });
    }
    let shape = graph.add(node("Concat", &parts).with("axis", 0));
    old.inputs = vec![input, shape];
    Some(old)
}
