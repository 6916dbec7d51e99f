//! How far apart neighbouring values of a quantized output are.

use modelyard_graph::Model;

/// The scale of the DequantizeLinear that gives this output, where one does, directly or through
/// nodes that only move elements; the largest of them where there is one a channel.
pub fn quantization_step(model: &Model, output: &str) -> Option<f64> {
    let graph = &model.graph;
    let mut name = output;
    // No chain is longer than the graph.
    for _ in 0..=graph.nodes.len() {
        let node = graph.nodes.iter().find(|node| node.outputs.iter().any(|made| made == name))?;
        if node.is("DequantizeLinear") {
            let scale = graph.initializer(node.input(1)?)?.to_tensor()?.to_f64s()?;
            return scale.into_iter().reduce(f64::max);
        }
        let moves =
            ["Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice"];
        if !moves.iter().any(|op_type| node.is(op_type)) {
            return None;
        }
        name = node.input(0)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{ElementType, GraphBuilder, Node};
    use modelyard_tensor::Dim;

    #[test]
    fn the_scale_is_found_through_a_reshape() {
        let model = GraphBuilder::new("g")
            .input("x", ElementType::Uint8, &[Dim::Free])
            .floats("scale", &[], &[0.25])
            .integers("shape", &[1], &[-1])
            .node(Node::new("DequantizeLinear", &["x", "scale"], &["f"]))
            .node(Node::new("Reshape", &["f", "shape"], &["y"]))
            .node(Node::new("Relu", &["f"], &["z"]))
            .model();
        assert_eq!(quantization_step(&model, "y"), Some(0.25));
        assert_eq!(quantization_step(&model, "z"), None);
    }
}
