//! The bounds on model files: keys under `[limits.model]`.

use modelyard_graph::Limits;

use super::key::{Key, Stack, keys};
use super::kind::Count;
use super::mistake::Mistakes;
use super::units::ByteSize;

const BYTES: ByteSize = ByteSize { min: 1, max: 1 << 42 };

keys! { ALL:
    /// Bytes of a model file itself, without external data.
    FILE_BYTES: ByteSize = "limits.model.file_bytes", "2GiB", ByteSize { min: 1, max: 2 << 30 };
    /// Bytes of all external data of a model.
    EXTERNAL_BYTES: ByteSize = "limits.model.external_bytes", "64GiB", BYTES;
    /// Bytes of one tensor of a model as its shape declares it.
    TENSOR_BYTES: ByteSize = "limits.model.tensor_bytes", "32GiB", BYTES;
    /// Memory of everything in a model but the bytes of tensors.
    STRUCTURE_BYTES: ByteSize = "limits.model.structure_bytes", "4GiB", BYTES;
    /// Nodes of a model, those of subgraphs and functions included.
    NODES: Count = "limits.model.nodes", "1048576", Count { min: 1, max: 1 << 24 };
    /// Nesting of graphs, types and tensors in a model.
    DEPTH: Count = "limits.model.depth", "64", Count { min: 1, max: 64 };
    /// Dimensions of one tensor of a model.
    RANK: Count = "limits.model.rank", "64", Count { min: 1, max: 1024 };
}

/// The checked limits.
pub(super) fn check(stack: &Stack<'_>, mistakes: &mut Mistakes) -> Limits {
    let mut bytes = |key: &Key<ByteSize>| stack.take(key, mistakes) as u64;
    Limits {
        file_bytes: bytes(&FILE_BYTES),
        external_bytes: bytes(&EXTERNAL_BYTES),
        tensor_bytes: bytes(&TENSOR_BYTES),
        structure_bytes: bytes(&STRUCTURE_BYTES),
        nodes: stack.take(&NODES, mistakes),
        depth: stack.take(&DEPTH, mistakes),
        rank: stack.take(&RANK, mistakes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_reader() {
        assert!(ALL.iter().all(|key| key.default_is_valid()));
        let limits = check(&Stack { layers: Vec::new() }, &mut Mistakes::default());
        assert_eq!(limits, Limits::default());
    }
}
