//! Reads the file that `tests/conformance/generate.py` writes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use bytes::Bytes;
use flate2::read::GzDecoder;
use modelyard_graph::{Limits, Model};
use modelyard_tensor::Tensor;

/// One test.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) model: Bytes,
    data: Bytes,
}

impl Case {
    /// Inputs and expected outputs; `None` when some of them are not tensors that the protocol
    /// can carry.
    pub(crate) fn tensors(&self) -> Option<(Vec<Tensor>, Vec<Tensor>)> {
        if self.data.is_empty() {
            return None;
        }
        let data = Model::parse(self.data.clone(), &Limits::default()).unwrap();
        let role = |role: &str| -> Option<Vec<Tensor>> {
            let tensors = data.graph.initializers.iter();
            let mut tensors: Vec<_> = tensors
                .filter_map(|tensor| Some((tensor.name.strip_prefix(role)?, tensor)))
                .collect();
            tensors.sort_by_key(|(index, _)| index.parse::<usize>().unwrap());
            tensors.into_iter().map(|(_, tensor)| aligned(tensor.to_tensor()?)).collect()
        };
        Some((role("input_")?, role("output_")?))
    }
}

/// The same tensor in memory that engines may read as its element type.
fn aligned(tensor: Tensor) -> Option<Tensor> {
    let mut buffer = modelyard_tensor::AlignedBuffer::zeroed(tensor.data().len());
    buffer.as_mut_slice().copy_from_slice(tensor.data());
    Tensor::new(tensor.data_type(), tensor.shape().clone(), buffer.into_bytes()).ok()
}

/// Calls `each` with every test in the file.
pub(crate) fn read(path: &Path, mut each: impl FnMut(Case)) {
    let mut stream = GzDecoder::new(File::open(path).unwrap());
    while let Some(name) = part(&mut stream) {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let model = part(&mut stream).unwrap();
        each(Case { name, model, data: part(&mut stream).unwrap() });
    }
}

fn part(stream: &mut impl Read) -> Option<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut part = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut part).unwrap();
    Some(part.into())
}
