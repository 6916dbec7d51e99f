//! Tensors from files and back: what `predict` and `quickstart` read and write.
//!
//! | module | form |
//! |---|---|
//! | [`npy`], [`npz`] | NumPy's files |
//! | [`json`] | nested arrays and v2 tensors |
//! | [`image`] | PNG, JPEG and PGM pictures |
//! | [`idx`] | the files of MNIST |
//! | [`fit`] | making a tensor agree with a signature, or saying why it cannot |

pub(crate) mod fit;
pub(crate) mod idx;
pub(crate) mod image;
pub(crate) mod json;
pub(crate) mod npy;
mod npy_header;
mod npy_kind;
pub(crate) mod npz;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, bail};

/// Most bytes of one input file, and of what it unpacks to.
pub(crate) const INPUT_BYTES_MAX: usize = 1 << 30;

/// Reads a whole file of at most [`INPUT_BYTES_MAX`] bytes; `-` is standard input.
pub(crate) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        return read_bounded(io::stdin().lock()).context("failed to read standard input");
    }
    let context = || format!("failed to read '{}'", path.display());
    read_bounded(File::open(path).with_context(context)?).with_context(context)
}

/// Reads to the end, but no more than [`INPUT_BYTES_MAX`] bytes.
fn read_bounded(source: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut data = Vec::new();
    source.take(INPUT_BYTES_MAX as u64 + 1).read_to_end(&mut data)?;
    if data.len() > INPUT_BYTES_MAX {
        bail!("it is larger than {INPUT_BYTES_MAX} bytes, the most that is read");
    }
    Ok(data)
}
