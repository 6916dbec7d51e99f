//! Sizes of kernels stated at the nodes that use them.
//!
//! ONNX lets a convolution leave `kernel_shape` out where the weights say it, but not every engine
//! looks there: the embedded one then takes the lists of strides and dilations to be empty.

use std::collections::HashMap;

use modelyard_graph::{Attribute, AttributeValue, Graph};

/// States `kernel_shape` where the shape of the weights is known.
pub(crate) fn state(graph: &mut Graph) {
    let mut dims: HashMap<String, Vec<usize>> = graph
        .initializers
        .iter()
        .map(|constant| (constant.name.clone(), constant.dims.clone()))
        .collect();
    for node in &mut graph.nodes {
        // Weights that are stored in another type have the shape of what is stored.
        if (node.is("DequantizeLinear") || node.is("Cast"))
            && let Some(stored) = node.input(0).and_then(|name| dims.get(name))
            && let Some(made) = node.output(0)
        {
            let (made, stored) = (made.to_owned(), stored.clone());
            dims.insert(made, stored);
        }
        let is_convolution = ["Conv", "ConvTranspose", "ConvInteger", "QLinearConv"]
            .iter()
            .any(|op_type| node.is(op_type));
        let weights = if node.is("QLinearConv") { 3 } else { 1 };
        if is_convolution
            && node.attribute("kernel_shape").is_none()
            && let Some(kernel) = node.input(weights).and_then(|name| dims.get(name)?.get(2..))
        {
            let kernel: Vec<i64> = kernel.iter().map(|&size| size as i64).collect();
            let value = AttributeValue::Ints(kernel);
            node.attributes.push(Attribute { name: "kernel_shape".into(), value });
        }
        for attribute in &mut node.attributes {
            if let AttributeValue::Graph(inner) = &mut attribute.value {
                state(inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{GraphBuilder, Node};

    #[test]
    fn a_convolution_states_the_size_of_its_kernel() {
        let mut graph = GraphBuilder::new("g")
            .floats("w", &[2, 1, 3, 5], &[0.0; 30])
            .node(Node::new("Conv", &["x", "w"], &["y"]))
            .node(Node::new("Conv", &["y", "unknown"], &["z"]))
            .build();
        state(&mut graph);
        assert_eq!(graph.nodes[0].ints("kernel_shape"), Some(&[3, 5][..]));
        assert_eq!(graph.nodes[1].ints("kernel_shape"), None);
    }
}
