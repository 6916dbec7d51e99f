//! How large a model may be. Checked before memory is taken.

/// Bounds on what is read from a model file.
///
/// The defaults take every published model that we know of. Memory is bounded by `file_bytes`
/// plus `structure_bytes`, and by a few hundred times the size of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the model file itself (protobuf ends at 2 GiB), without external data.
    pub file_bytes: u64,
    /// Bytes of all external data together.
    pub external_bytes: u64,
    /// Nodes, those of subgraphs and functions included.
    pub nodes: usize,
    /// Memory that everything but the bytes of tensors takes: nodes, names, attributes, and
    /// tensors written as lists of numbers.
    pub structure_bytes: u64,
    /// How deep graphs, types and tensors may nest, in protobuf messages.
    pub depth: usize,
    /// Dimensions of one tensor.
    pub rank: usize,
    /// Bytes of one tensor as its shape declares it.
    pub tensor_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes: 2 << 30,
            external_bytes: 64 << 30,
            nodes: 1 << 20,
            structure_bytes: 4 << 30,
            depth: 64,
            rank: 64,
            tensor_bytes: 32 << 30,
        }
    }
}
