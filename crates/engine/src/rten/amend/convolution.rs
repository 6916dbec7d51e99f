//! Convolutions that leave `kernel_shape` to the weights: rten counts the axes by that attribute
//! alone, and without it takes lists of strides and dilations to be empty.

use std::collections::HashMap;

use modelyard_graph::{Model, Node, ValueType};
use modelyard_tensor::Dim;

use super::{Amender, Answer};

/// Whether the operator goes wrong: it has lists, and nothing that says how long they are.
fn is_open(node: &Node) -> bool {
    let has = |name: &str| node.attribute(name).is_some();
    !has("kernel_shape") && (has("strides") || has("dilations"))
}

/// Weights of convolutions that are no constants of the graph, where their sizes are known still.
pub(super) fn computed_weights(model: &Model) -> HashMap<String, Vec<usize>> {
    let open = |node: &Node| {
        let is_float = node.is("Conv") || node.is("ConvTranspose");
        let name = node.input(1).filter(|_| is_float && is_open(node))?;
        model.graph.initializer(name).is_none().then(|| name.to_owned())
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
    if !is_open(node) {
        return Ok(None);
    }
    match node.input(1).and_then(|name| amender.dims.get(name)?.get(2..)) {
        Some(dims) => {
            let kernel: Vec<i64> = dims.iter().map(|&size| size as i64).collect();
            Ok(Some(vec![node.clone().with("kernel_shape", kernel.as_slice())]))
        }
        None => {
            Err("has strides or dilations, but neither kernel_shape nor weights of a known size")
        }
    }
}
