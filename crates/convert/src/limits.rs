//! How large what is read may be. Checked before memory is taken.

/// Bounds on what is read from a source model.
///
/// The defaults take every published model that we know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of text that describes a model: JSON, code, protobuf without tensors, pickles.
    pub description_bytes: u64,
    /// Bytes that one compressed entry of an archive may have when unpacked.
    pub entry_bytes: u64,
    /// Entries of one archive.
    pub entries: usize,
    /// Bytes of one tensor.
    pub tensor_bytes: u64,
    /// Nodes or layers, those inside others included.
    pub nodes: usize,
    /// How deep models, functions, JSON or messages may nest.
    pub depth: usize,
    /// Bytes that an evaluation may hold at once.
    pub evaluation_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes: 64 << 30,
            description_bytes: 256 << 20,
            entry_bytes: 16 << 30,
            entries: 1 << 18,
            tensor_bytes: 32 << 30,
            nodes: 1 << 20,
            depth: 64,
            evaluation_bytes: 8 << 30,
        }
    }
}
