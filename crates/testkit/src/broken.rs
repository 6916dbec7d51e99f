//! Files that must be refused, each with a word that the error must have.

use modelyard_graph::{Constant, GraphBuilder, Model, Node};
use modelyard_tensor::{DataType, Dim};

use crate::models;

/// A file that must be refused.
pub struct Broken {
    /// What is wrong with it, as a name.
    pub name: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
    /// A part of the error's text.
    pub error: &'static str,
}

/// All of them.
pub fn all() -> Vec<Broken> {
    let file = |name, model: Model, error| Broken { name, bytes: model.encode(), error };
    let bytes = |name, bytes, error| Broken { name, bytes, error };
    vec![
        file("cycle", cycle(), "cycle"),
        file("dangling", dangling(), "'nowhere'"),
        file("defined_twice", defined_twice(), "defined once"),
        file("absurd_dims", absurd_dims(), "'w'"),
        file("short_weights", short_weights(), "expected 64 bytes"),
        file("unknown_domain", unknown_domain(), "opset import"),
        bytes("negative_dims", negative_dims(), "dimension of 0 or more"),
        bytes("truncated", truncated(), "truncated"),
        bytes("empty", Vec::new(), "empty"),
        bytes("text", b"<html>not found</html>".to_vec(), "not an ONNX model"),
        bytes("deep", deep(10_000), "nesting"),
    ]
}

/// Two nodes that wait for each other.
pub fn cycle() -> Model {
    small()
        .node(Node::new("Add", &["x", "b"], &["a"]))
        .node(Node::new("Relu", &["a"], &["b"]))
        .node(Node::new("Relu", &["b"], &["y"]))
        .model()
}

/// A node that takes what nobody gives.
pub fn dangling() -> Model {
    small().node(Node::new("Add", &["x", "nowhere"], &["y"])).model()
}

/// Two nodes that give the same.
pub fn defined_twice() -> Model {
    small().node(Node::new("Relu", &["x"], &["y"])).node(Node::new("Abs", &["x"], &["y"])).model()
}

/// A few bytes that claim to be 2^80 floats.
pub fn absurd_dims() -> Model {
    with_weights(&[1 << 40, 1 << 40], 16)
}

/// An input with a dimension of -2. The builder cannot say that, so it is written as bytes.
pub fn negative_dims() -> Vec<u8> {
    // graph { input { name: "x" type { tensor_type { elem_type: 1 shape { dim { dim_value: -2
    let dim = message(1, &[&[0x08, 0xfe][..], &[0xff; 8], &[0x01]].concat());
    let tensor = [&[0x08, 0x01][..], &message(2, &dim)].concat();
    let input = [message(1, b"x"), message(2, &message(1, &tensor))].concat();
    message(7, &message(11, &input))
}

/// Weights with fewer bytes than their shape asks for.
pub fn short_weights() -> Model {
    with_weights(&[4, 4], 63)
}

/// An operator of a domain that is not imported.
pub fn unknown_domain() -> Model {
    small().node(Node::new("Gelu", &["x"], &["y"]).in_domain("com.example")).model()
}

/// A good file without its second half.
pub fn truncated() -> Vec<u8> {
    let mut bytes = models::mlp().encode();
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// Graphs in nodes in graphs, `depth` messages deep, as bytes: no program builds such a thing
/// without overflowing its own stack.
pub fn deep(depth: usize) -> Vec<u8> {
    // model.graph (7), then graph.node (1), node.attribute (5), attribute.g (6) in turn; written
    // from the inside out.
    let mut bytes: Vec<u8> = Vec::new();
    for level in (0..depth).rev() {
        let field: u8 = if level == 0 { 7 } else { [6, 1, 5][level % 3] };
        bytes = message(field, &bytes);
    }
    bytes
}

/// A field with these bytes in it.
fn message(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![field << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(bytes);
    message
}

fn small() -> GraphBuilder {
    GraphBuilder::new("broken").input("x", DataType::Fp32, &[Dim::Fixed(4)]).output(
        "y",
        DataType::Fp32,
        &[Dim::Fixed(4)],
    )
}

fn with_weights(dims: &[usize], bytes: usize) -> Model {
    small()
        .initializer(Constant::raw("w", DataType::Fp32, dims, vec![0; bytes]))
        .node(Node::new("MatMul", &["x", "w"], &["y"]))
        .model()
}

#[cfg(test)]
mod tests {
    use modelyard_graph::Limits;

    use super::*;

    #[test]
    fn all_are_refused_with_the_reason() {
        for broken in all() {
            let error = Model::parse(broken.bytes.into(), &Limits::default())
                .expect_err(broken.name)
                .to_string();
            assert!(error.contains(broken.error), "{}: {error}", broken.name);
        }
    }
}
