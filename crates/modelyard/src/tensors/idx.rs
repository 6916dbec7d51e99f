//! IDX, the format of the MNIST files: unsigned bytes with their dimensions, gzip-compressed.

use std::io::Read;

use anyhow::{Context, bail};
use flate2::read::GzDecoder;

use super::INPUT_BYTES_MAX;

/// Unsigned bytes and their dimensions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Idx {
    /// The dimensions, outermost first.
    pub(crate) dims: Vec<usize>,
    /// The elements, row-major.
    pub(crate) data: Vec<u8>,
}

impl Idx {
    /// Reads a gzip-compressed IDX file of unsigned bytes.
    pub(crate) fn read_gzip(file: &[u8]) -> anyhow::Result<Idx> {
        Idx::read(&unpacked(file)?)
    }

    /// Reads an IDX file of unsigned bytes, gzip-compressed or not.
    pub(crate) fn read_any(file: &[u8]) -> anyhow::Result<Idx> {
        if file.starts_with(&[0x1f, 0x8b]) { Idx::read_gzip(file) } else { Idx::read(file) }
    }

    fn read(bytes: &[u8]) -> anyhow::Result<Idx> {
        const UNSIGNED_BYTE: u8 = 0x08;
        let Some((&[0, 0, UNSIGNED_BYTE, rank], mut rest)) = bytes.split_first_chunk() else {
            bail!("not an IDX file of unsigned bytes");
        };
        let mut dims = Vec::new();
        for _ in 0..rank {
            let (dim, tail) = rest.split_first_chunk().context("the IDX header is cut off")?;
            dims.push(u32::from_be_bytes(*dim) as usize);
            rest = tail;
        }
        let elements = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
        if elements != Some(rest.len()) {
            bail!("the IDX file has {} elements, its header says {dims:?}", rest.len());
        }
        Ok(Idx { dims, data: rest.to_vec() })
    }
}

/// What a gzip-compressed file holds, at most [`INPUT_BYTES_MAX`] bytes.
pub(crate) fn unpacked(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(file)
        .take(INPUT_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .context("failed to unpack the gzip file")?;
    if bytes.len() > INPUT_BYTES_MAX {
        bail!("the gzip file unpacks to more than {INPUT_BYTES_MAX} bytes");
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_dimensions_and_elements() {
        let idx = Idx::read(&[0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 9]).unwrap();
        assert_eq!(idx, Idx { dims: vec![1, 2], data: vec![7, 9] });
    }

    #[test]
    fn refuses_other_types_and_wrong_counts() {
        assert!(Idx::read(&[0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0]).is_err());
        let error = Idx::read(&[0, 0, 8, 1, 0, 0, 0, 3, 1, 2]).unwrap_err().to_string();
        assert_eq!(error, "the IDX file has 2 elements, its header says [3]");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Idx::read(&bytes);
            let _ = Idx::read_gzip(&bytes);
        }
    }
}
