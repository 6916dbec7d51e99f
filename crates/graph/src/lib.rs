//! ONNX as a typed graph.

/// A model.
pub struct Model {}
