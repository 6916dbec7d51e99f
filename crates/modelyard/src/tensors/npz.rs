//! NumPy's `.npz` format: a zip archive of `.npy` files, named after the arrays.

use std::io::{Cursor, Read, Write};

use anyhow::{Context, bail};
use modelyard_tensor::Tensor;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{INPUT_BYTES_MAX, npy};

const ARRAYS_MAX: usize = 1024;

/// Reads all arrays with their names, in the archive's order.
pub(crate) fn read(file: &[u8]) -> anyhow::Result<Vec<(String, Tensor)>> {
    read_within(file, INPUT_BYTES_MAX)
}

/// Reads all arrays, which together unpack to at most `bytes_max` bytes.
fn read_within(file: &[u8], bytes_max: usize) -> anyhow::Result<Vec<(String, Tensor)>> {
    let mut archive = ZipArchive::new(Cursor::new(file)).context("not a .npz file")?;
    if archive.len() > ARRAYS_MAX {
        bail!("the .npz file holds {} arrays, more than {ARRAYS_MAX}", archive.len());
    }
    let mut left = bytes_max;
    let mut tensors = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).context("failed to read the .npz file")?;
        let name = entry.name().context("failed to read the .npz file")?.into_owned();
        let name = name.strip_suffix(".npy").map_or(name.clone(), str::to_owned);
        let mut data = Vec::new();
        // What the archive says about sizes is not believed: the bytes that come out are counted.
        entry
            .take(left as u64 + 1)
            .read_to_end(&mut data)
            .with_context(|| format!("failed to unpack array '{name}'"))?;
        left = match left.checked_sub(data.len()) {
            Some(left) => left,
            None => bail!("the .npz file unpacks to more than {bytes_max} bytes"),
        };
        let tensor = npy::read(&data).with_context(|| format!("failed to read array '{name}'"))?;
        tensors.push((name, tensor));
    }
    Ok(tensors)
}

/// Writes named arrays, uncompressed, as `numpy.savez` does.
pub(crate) fn write<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
) -> anyhow::Result<Vec<u8>> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, tensor) in tensors {
        let data = npy::write(tensor).with_context(|| format!("failed to write '{name}'"))?;
        writer.start_file(format!("{name}.npy"), options)?;
        writer.write_all(&data)?;
    }
    Ok(writer.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Tensor {
        Tensor::from_vec([2, 3].into(), vec![1f32, 2., 3., 4., 5., 6.]).unwrap()
    }

    fn compressed(data: &[u8]) -> Vec<u8> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file("x.npy", options).unwrap();
        writer.write_all(data).unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn arrays_come_back_by_name() {
        let tensor = example();
        let file = write([("a", &tensor), ("b/c", &tensor)]).unwrap();
        let read = read(&file).unwrap();
        let names: Vec<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b/c"]);
        assert_eq!(read[1].1.values::<f32>().unwrap(), tensor.values::<f32>().unwrap());
    }

    #[test]
    fn compressed_arrays_are_read_within_the_limit() {
        let file = compressed(&npy::write(&example()).unwrap());
        assert_eq!(read(&file).unwrap()[0].0, "x");
        let bomb = compressed(&vec![0; 1 << 20]);
        assert!(bomb.len() < 4096);
        let error = read_within(&bomb, 1 << 16).unwrap_err().to_string();
        assert_eq!(error, "the .npz file unpacks to more than 65536 bytes");
    }

    proptest! {
        #[test]
        fn a_damaged_archive_is_read_or_refused(at in 0usize..1000, byte: u8, cut in 0usize..1000) {
            let mut file = compressed(&npy::write(&example()).unwrap());
            let length = file.len();
            file[at % length] = byte;
            let _ = read(&file);
            file.truncate(cut % length);
            let _ = read(&file);
        }
    }
}
