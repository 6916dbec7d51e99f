//! Nodes whose output is as large as a *value* in the request says.
//!
//! rten ends the process when memory runs out, so `{"shape": [2000000000]}` would. Sizes that
//! follow from constants and from the shapes of inputs are no danger: those are bounded by the
//! request's own size, and nearly all models have only these. Where a size follows from the
//! elements of an input, the model is refused. ONNX Runtime runs it: it survives.

use std::collections::HashSet;

use modelyard_graph::{ElementType, Graph, Model, Node};

use crate::Refusal;

/// What stands against loading `model`.
pub(super) fn refusals(model: &Model) -> Vec<Refusal> {
    if !model.nodes().any(|node| !sizes(node).is_empty()) {
        return Vec::new();
    }
    let free = free(model);
    let stated = |node: &Node| {
        let name = sizes(node).iter().filter_map(|&index| node.input(index));
        let name = name.into_iter().find(|name| free.contains(*name))?;
        let reason = format!(
            "makes an output whose size is a value of the request, '{name}': one request could \
             take all memory; use engine 'onnxruntime'"
        );
        Some(Refusal::new(node, reason))
    };
    model.nodes().filter_map(stated).collect()
}

/// Which inputs of a node state sizes of its output.
fn sizes(node: &Node) -> &'static [usize] {
    if !node.domain.is_empty() {
        return &[];
    }
    match node.op_type.as_str() {
        "ConstantOfShape" => &[0],
        "Expand" | "Tile" | "Pad" | "OneHot" | "Upsample" | "CenterCropPad" | "DFT"
        | "AffineGrid" => &[1],
        "Range" => &[0, 1, 2],
        "Resize" => &[1, 2, 3],
        "MaxUnpool" => &[2],
        _ => &[],
    }
}

/// Names of values that a request can make as large as it likes.
fn free(model: &Model) -> HashSet<&str> {
    let constants: HashSet<&str> =
        model.graph.initializers.iter().map(|constant| constant.name.as_str()).collect();
    let given = model.graph.inputs.iter().filter(|input| {
        let is_bool = input
            .value_type
            .as_tensor()
            .is_some_and(|(element_type, _)| element_type == ElementType::Bool);
        !is_bool && !constants.contains(input.name.as_str())
    });
    let mut free: HashSet<&str> = given.map(|input| input.name.as_str()).collect();
    // What a loop carries comes round again.
    loop {
        let before = free.len();
        graph(&model.graph, &mut free);
        if free.len() == before {
            return free;
        }
    }
}

fn graph<'a>(inner: &'a Graph, free: &mut HashSet<&'a str>) {
    for node in &inner.nodes {
        let mut is_free = node.inputs.iter().any(|name| free.contains(name.as_str()));
        for body in node.subgraphs() {
            let carried = body.outputs.iter().any(|output| free.contains(output.name.as_str()));
            if is_free || carried {
                free.extend(body.inputs.iter().map(|input| input.name.as_str()));
            }
            graph(body, free);
            is_free |= body.outputs.iter().any(|output| free.contains(output.name.as_str()));
        }
        if is_free {
            let outputs = node.outputs.iter().enumerate();
            let outputs = outputs.filter(|(index, _)| !is_bounded(node, *index));
            free.extend(outputs.map(|(_, name)| name.as_str()));
        }
    }
}

/// Whether the output is bounded by the shapes of the inputs, whatever their elements are.
fn is_bounded(node: &Node, output: usize) -> bool {
    match node.op_type.as_str() {
        "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" | "Equal" | "Greater" | "Less"
        | "GreaterOrEqual" | "LessOrEqual" | "Not" | "And" | "Or" | "Xor" | "IsNaN" | "IsInf"
        | "Sign" => node.domain.is_empty(),
        "TopK" => output == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::GraphBuilder;
    use modelyard_tensor::{DataType, Dim};

    fn check(nodes: Vec<Node>, expected: &[&str]) {
        let builder = GraphBuilder::new("test")
            .input("x", DataType::Fp32, &[Dim::Free])
            .input("s", DataType::Int64, &[Dim::Fixed(1)])
            .integers("two", &[1], &[2])
            .floats("zero", &[], &[0.0])
            .output("y", DataType::Fp32, &[Dim::Free]);
        let model = nodes.into_iter().fold(builder, GraphBuilder::node).model().check().unwrap();
        let refusals = refusals(&model);
        let found: Vec<&str> = refusals.iter().map(|refusal| refusal.operator.as_str()).collect();
        assert_eq!(found, expected, "{refusals:?}");
    }

    /// `{"s": [2000000000]}` ended the process.
    #[test]
    fn a_size_that_a_request_states_is_refused() {
        check(vec![Node::new("ConstantOfShape", &["s"], &["y"])], &["ConstantOfShape"]);
        check(vec![Node::new("Tile", &["x", "s"], &["y"])], &["Tile"]);
        let twice = Node::new("Mul", &["s", "two"], &["size"]);
        check(vec![twice, Node::new("Expand", &["x", "size"], &["y"])], &["Expand"]);
    }

    #[test]
    fn sizes_that_follow_from_shapes_and_constants_are_not() {
        check(vec![Node::new("Tile", &["x", "two"], &["y"])], &[]);
        let shape = Node::new("Shape", &["x"], &["shape"]);
        let twice = Node::new("Mul", &["shape", "two"], &["size"]);
        check(vec![shape, twice, Node::new("ConstantOfShape", &["size"], &["y"])], &[]);
        let above = Node::new("Greater", &["x", "zero"], &["above"]);
        let number = Node::new("Cast", &["above"], &["number"]).with("to", 7i64);
        let count = Node::new("ReduceSum", &["number"], &["count"]);
        check(vec![above, number, count, Node::new("ConstantOfShape", &["count"], &["y"])], &[]);
    }
}
