//! What ONNX Runtime is known to answer wrongly, found by the conformance suite.

use modelyard_graph::{Model, Node};

use crate::Refusal;

/// The nodes of `model` that stand against loading it.
pub(super) fn refusals(model: &Model) -> Vec<Refusal> {
    model.nodes().filter_map(|node| reason(node).map(|reason| Refusal::new(node, reason))).collect()
}

fn reason(node: &Node) -> Option<&'static str> {
    match node.op_type.as_str() {
        "MaxUnpool" if node.is("MaxUnpool") && node.input(2).is_some() => {
            Some("answers wrongly when output_shape is given")
        }
        _ => None,
    }
}
