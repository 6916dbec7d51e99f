//! How large integers in an input may be: those that pick rows of a table, such as token ids.

use std::collections::BTreeMap;

use modelyard_graph::{AttributeValue, Graph, Model};

/// Operators that hand the values of their first input on, one by one.
const CARRIERS: [&str; 10] = [
    "Cast",
    "Identity",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Transpose",
    "Expand",
    "Tile",
    "Slice",
];

/// By input: the number of rows of the smallest table of constants that its values pick from.
pub(super) fn index_limits(model: &Model) -> BTreeMap<String, usize> {
    // By value: which input it carries.
    let mut carried: BTreeMap<&str, &str> =
        model.graph.inputs.iter().map(|input| (&*input.name, &*input.name)).collect();
    let mut limits: BTreeMap<String, usize> = BTreeMap::new();
    for node in &model.graph.nodes {
        let Some(first) = node.input(0) else { continue };
        if node.domain.is_empty() && CARRIERS.contains(&node.op_type.as_str()) {
            if let (Some(&input), Some(output)) = (carried.get(first), node.output(0)) {
                carried.insert(output, input);
            }
        } else if node.is("Gather")
            && let Some(&input) = node.input(1).and_then(|indices| carried.get(indices))
            && let Some(dims) = table(&model.graph, first)
            && let Some(&rows) =
                axis(node.int("axis").unwrap_or(0), dims.len()).and_then(|axis| dims.get(axis))
        {
            let limit = limits.entry(input.to_owned()).or_insert(rows);
            *limit = rows.min(*limit);
        }
    }
    limits
}

/// Dimensions of a constant, seen through one node that turns its stored type into another.
fn table<'a>(graph: &'a Graph, name: &str) -> Option<&'a [usize]> {
    if let Some(constant) = graph.initializer(name) {
        return Some(&constant.dims);
    }
    let node = graph.nodes.iter().find(|node| node.output(0) == Some(name))?;
    if node.is("Constant")
        && let Some(AttributeValue::Tensor(constant)) = node.attribute("value")
    {
        return Some(&constant.dims);
    }
    let is_view = node.is("Cast") || node.is("DequantizeLinear");
    is_view.then(|| graph.initializer(node.input(0)?)).flatten().map(|found| &*found.dims)
}

fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{ElementType, GraphBuilder, Node};
    use modelyard_tensor::Dim;

    #[test]
    fn an_embedding_limits_the_tokens_that_reach_it_through_a_cast() {
        let model = GraphBuilder::new("g")
            .input("tokens", ElementType::Int32, &[Dim::Free])
            .floats("small", &[5, 2], &[0.0; 10])
            .floats("large", &[9, 2], &[0.0; 18])
            .node(Node::new("Cast", &["tokens"], &["ids"]).with("to", 7i64))
            .node(Node::new("Gather", &["large", "ids"], &["one"]))
            .node(Node::new("Gather", &["small", "ids"], &["two"]))
            .model();
        assert_eq!(index_limits(&model), BTreeMap::from([("tokens".into(), 5)]));
    }
}
