//! Convolutions that leave `kernel_shape` to the weights: rten counts the axes by that attribute
//! alone, and without it takes lists of strides and dilations to be empty.

use std::collections::HashMap;

use modelyard_graph::{Model, Node, ValueType};
use modelyard_tensor::Dim;

use super::{Amender, Answer};

/// Which input the weights are.
fn weights(node: &Node) -> Option<&str> {
    node.input(if node.op_type == "QLinearConv" { 3 } else { 1 })
}

/// Weights of convolutions that are no constants of the graph, where their sizes are known still.
pub(super) fn computed_weights(model: &Model) -> HashMap<String, Vec<usize>> {
    let open = |node: &Node| {
        let kinds = ["Conv", "ConvTranspose", "ConvInteger", "QLinearConv"];
        let name = weights(node).filter(|_| kinds.iter().any(|kind| node.is(kind)))?;
        let is_open = node.attribute("kernel_shape").is_none();
        (is_open && model.graph.initializer(name).is_none()).then(|| name.to_owned())
    };
    let names: Vec<String> = model.nodes().filter_map(open).collect();
    if names.is_empty() {
        return HashMap::new();
    }
    let types = model.types();
    let fixed = |name: String| {
        let Some(ValueType::Tensor { dims: Some(dims), .. }) = types.get(&name) else {
            return None;
        };
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => Some(*size),
            _ => None,
        };
        Some((name, dims.iter().map(size).collect::<Option<Vec<usize>>>()?))
    };
    names.into_iter().filter_map(fixed).collect()
}

/// States the size of the kernel.
pub(super) fn convolution(amender: &mut Amender, node: &Node) -> Answer {
    if node.attribute("kernel_shape").is_some() {
        return Ok(None);
    }
    let takes_lists = ["strides", "dilations"].iter().any(|name| node.attribute(name).is_some());
    let dims = weights(node).and_then(|name| amender.dims.get(name)?.get(2..));
    match dims {
        Some(dims) => {
            let kernel: Vec<i64> = dims.iter().map(|&size| size as i64).collect();
            Ok(Some(vec![node.clone().with("kernel_shape", kernel.as_slice())]))
        }
        None if !takes_lists => Ok(None),
        None => {
            Err("has strides or dilations, but neither kernel_shape nor weights of a known size")
        }
    }
}
