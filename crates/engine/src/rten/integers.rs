//! Constants that do not fit 32 bits.
//!
//! rten brings them to the nearest end, which is right for the limits of a Slice alone. What a
//! model computes of integers that fit may outgrow 32 bits all the same, and wraps: no file tells.

use modelyard_graph::{Constant, ElementType, Model, Node};

use crate::Refusal;

/// What stands against loading `model`.
pub(super) fn refusals(model: &Model) -> Vec<Refusal> {
    let graphs = model.nodes().flat_map(Node::subgraphs).chain([&model.graph]);
    let stored = graphs.flat_map(|graph| &graph.initializers);
    let stored = stored.filter_map(|constant| Some((constant.name.as_str(), widest(constant)?)));
    let nodes = model.nodes().filter(|node| node.is("Constant"));
    let made = nodes.filter_map(|node| Some((node.output(0)?, widest_attribute(node)?)));
    let taken = stored.chain(made).filter_map(|(name, value)| {
        let reason = format!("takes {value} of '{name}', and rten's integers have 32 bits");
        match model.nodes().find(|node| takes_whole(node, name)) {
            Some(user) => Some(Refusal::new(user, reason)),
            None => is_output(model, name).then(|| Refusal {
                operator: "output".into(),
                node: name.to_owned(),
                reason: format!("holds {value}, and rten's integers have 32 bits"),
            }),
        }
    });
    let fillers = model.nodes().filter(|node| node.is("ConstantOfShape"));
    let filled = fillers.filter_map(|node| {
        let value = node.tensor("value").and_then(widest)?;
        Some(Refusal::new(node, format!("gives {value}, and rten's integers have 32 bits")))
    });
    taken.chain(filled).collect()
}

fn is_output(model: &Model, name: &str) -> bool {
    let graphs = model.nodes().flat_map(Node::subgraphs).chain([&model.graph]);
    graphs.flat_map(|graph| &graph.outputs).any(|output| output.name == name)
}

/// An element that does not fit 32 bits.
fn widest(constant: &Constant) -> Option<i64> {
    let wide = |value: &i64| !fits(*value);
    let is_long = constant.element_type == ElementType::Int64;
    is_long.then(|| constant.integers(usize::MAX))??.into_iter().find(wide)
}

fn widest_attribute(node: &Node) -> Option<i64> {
    let wide = |value: &i64| !fits(*value);
    let listed = || node.ints("value_ints")?.iter().copied().find(wide);
    node.tensor("value").and_then(widest).or(node.int("value_int").filter(wide)).or_else(listed)
}

fn fits(value: i64) -> bool {
    i32::try_from(value).is_ok()
}

/// Whether the node takes this value other than as limits of a Slice.
fn takes_whole(node: &Node, name: &str) -> bool {
    node.inputs
        .iter()
        .enumerate()
        .any(|(index, input)| input == name && !(node.is("Slice") && (index == 1 || index == 2)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, graph};
    use super::*;
    use modelyard_graph::GraphBuilder;
    use modelyard_tensor::{DataType, Dim};

    fn check(builder: GraphBuilder, expected: &[&str]) {
        testing::check(refusals, builder, expected);
    }

    #[test]
    fn wide_constants_may_only_limit_slices() {
        let slice = |end: i64| {
            graph("x", DataType::Fp32, 1)
                .integers("start", &[1], &[0])
                .integers("end", &[1], &[end])
                .output("y", DataType::Fp32, &[Dim::Free])
                .node(Node::new("Slice", &["x", "start", "end"], &["y"]))
        };
        check(slice(i64::MAX), &[]);
        let add = |value: i64| {
            graph("x", DataType::Int64, 1)
                .integers("c", &[1], &[value])
                .output("y", DataType::Int64, &[Dim::Free])
                .node(Node::new("Add", &["x", "c"], &["y"]))
        };
        check(add(i64::MAX), &["Add_y"]);
        check(add(i64::from(i32::MIN)), &[]);
        let made = graph("x", DataType::Int64, 1)
            .output("y", DataType::Int64, &[Dim::Free])
            .node(Node::new("Constant", &[], &["c"]).with("value_int", 1i64 << 40))
            .node(Node::new("Add", &["x", "c"], &["y"]));
        check(made, &["Add_y"]);
    }

    #[test]
    fn wide_constants_are_refused_as_outputs_and_fillings_too() {
        let given = GraphBuilder::new("given").integers("y", &[1], &[i64::MAX]).output(
            "y",
            DataType::Int64,
            &[Dim::Fixed(1)],
        );
        check(given, &["y"]);
        let value = modelyard_graph::Constant::raw(
            "",
            DataType::Int64,
            &[1],
            (1i64 << 40).to_le_bytes().to_vec(),
        );
        let filled = GraphBuilder::new("filled")
            .integers("shape", &[1], &[2])
            .output("y", DataType::Int64, &[Dim::Free])
            .node(Node::new("ConstantOfShape", &["shape"], &["y"]).with("value", value));
        check(filled, &["ConstantOfShape_y"]);
    }
}
