//! HDF5 files: attributes and datasets by path.

use std::fmt::Display;
use std::sync::Arc;

use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{
    Attribute, Dataset, Datatype, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem, Storage,
    StorageBuffer,
};
use modelyard_graph::ElementType;

use crate::input::Input;
use crate::keras::FORMAT;
use crate::keras::weight::Weight;
use crate::{ConvertError, Limits};

/// An open HDF5 file.
#[derive(Clone)]
pub(crate) struct Hdf5 {
    file: Hdf5File,
    limits: Limits,
}

/// An [`Input`] as the reader wants it.
struct InputStorage(Input);

impl Storage for InputStorage {
    fn len(&self) -> u64 {
        self.0.len
    }

    fn read_range(&self, offset: u64, len: usize) -> Result<StorageBuffer, Error> {
        let bytes = self.0.read(offset, len).map_err(|error| Error::InvalidData(chain(&error)))?;
        StorageBuffer::from_shared_owner(Arc::new(bytes), 0, len)
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Hdf5 {
    /// Opens the file.
    pub(crate) fn open(input: &Input, limits: &Limits) -> Result<Hdf5, ConvertError> {
        let most = usize::try_from(limits.tensor_bytes).unwrap_or(usize::MAX);
        let options = OpenOptions::default()
            // Weights are read once; keeping them would double the memory.
            .with_chunk_cache_bytes(0)
            .with_max_read_bytes(most);
        let storage = Arc::new(InputStorage(input.clone()));
        let file = Hdf5File::from_storage_with_options(storage, options)
            .map_err(|error| malformed("the HDF5 file", error))?;
        Ok(Hdf5 { file, limits: limits.clone() })
    }

    fn group(&self, path: &str) -> Result<Group, ConvertError> {
        let group = if path.is_empty() { self.file.root_group() } else { self.file.group(path) };
        group.map_err(|error| malformed(&format!("group '{path}'"), error))
    }

    /// Whether there is a group of this path.
    pub(crate) fn has_group(&self, path: &str) -> bool {
        self.file.group(path).is_ok()
    }

    /// Whether there is a dataset of this path.
    pub(crate) fn has_dataset(&self, path: &str) -> bool {
        self.file.dataset(path).is_ok()
    }

    /// The text of an attribute; `None` where there is none.
    pub(crate) fn text(&self, group: &str, name: &str) -> Result<Option<String>, ConvertError> {
        let Some(attribute) = self.attribute(group, name)? else { return Ok(None) };
        let text = attribute
            .read_string()
            .map_err(|error| malformed(&format!("attribute '{name}'"), error))?;
        let limit = self.limits.description_bytes;
        if text.len() as u64 > limit {
            let place = format!("attribute '{name}'");
            let found = text.len() as u64;
            return Err(ConvertError::TooLarge { place, what: "bytes", found, limit });
        }
        Ok(Some(text))
    }

    fn attribute(&self, group: &str, name: &str) -> Result<Option<Attribute>, ConvertError> {
        let place = || format!("attributes of group '{group}'");
        let all = self.group(group)?.attributes().map_err(|error| malformed(&place(), error))?;
        Ok(all.into_iter().find(|attribute| attribute.name == name))
    }

    /// The texts of an attribute; a long list is split into several, `name0`, `name1` and so on.
    pub(crate) fn texts(&self, group: &str, name: &str) -> Result<Vec<String>, ConvertError> {
        let place = || format!("attribute '{name}' of group '{group}'");
        let all = self.group(group)?.attributes().map_err(|error| malformed(&place(), error))?;
        let mut texts = Vec::new();
        let mut add = |attribute: &Attribute| -> Result<(), ConvertError> {
            // An empty list has no text type: numpy makes it floats.
            if attribute.num_elements().ok() == Some(0) {
                return Ok(());
            }
            texts.extend(attribute.read_strings().map_err(|error| malformed(&place(), error))?);
            Ok(())
        };
        if let Some(attribute) = all.iter().find(|attribute| attribute.name == name) {
            add(attribute)?;
            return Ok(texts);
        }
        for part in 0..all.len() {
            let wanted = format!("{name}{part}");
            match all.iter().find(|attribute| attribute.name == wanted) {
                Some(attribute) => add(attribute)?,
                None => break,
            }
        }
        Ok(texts)
    }

    fn dataset(&self, path: &str) -> Result<Dataset, ConvertError> {
        let missing = |error| malformed(&format!("weight '{path}'"), error);
        self.file.dataset(path).map_err(missing)
    }

    /// Reads a dataset; floats of all widths become 32-bit ones.
    pub(crate) fn read(&self, path: &str) -> Result<Weight, ConvertError> {
        let dataset = self.dataset(path)?;
        let place = format!("weight '{path}'");
        let dims = dims(path, &dataset)?;
        let found = dataset.raw_byte_len().map_err(|error| malformed(&place, error))? as u64;
        let limit = self.limits.tensor_bytes;
        if found > limit {
            return Err(ConvertError::TooLarge { place, what: "bytes", found, limit });
        }
        let element_type = element_type(dataset.dtype()).ok_or_else(|| {
            malformed(&place, format!("expected numbers, found {:?}", dataset.dtype()))
        })?;
        if found >= LARGE
            && let Some(bytes) =
                in_parts(&dataset, found, PART).map_err(|error| malformed(&place, error))?
        {
            return Ok(Weight::new(element_type, dims, bytes.into()));
        }
        let mut bytes = dataset.read_raw_bytes().map_err(|error| malformed(&place, error))?;
        if is_big_endian(dataset.dtype()) {
            let width = element_type.bits() / 8;
            bytes.chunks_exact_mut(width.max(1)).for_each(<[u8]>::reverse);
        }
        Ok(Weight::new(element_type, dims, bytes.into()).widened())
    }
}

/// Bytes from which on a weight is read in parts, and those of a part.
const LARGE: u64 = 16 << 20;
const PART: u64 = 4 << 20;

/// The bytes of a weight of floats, read in parts of about `part` bytes: read at once, the reader
/// would hold them twice. `None` where that is not possible.
fn in_parts(dataset: &Dataset, bytes: u64, part: u64) -> Result<Option<Vec<u8>>, Error> {
    let is_float = matches!(dataset.dtype(), Datatype::FloatingPoint { size: 4, .. });
    let rows = dataset.shape().first().copied().unwrap_or(0);
    if !is_float || dataset.chunks().is_some() || rows < 2 {
        return Ok(None);
    }
    let band = (part / (bytes / rows).max(1)).max(1);
    let mut all = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    let mut start = 0;
    while start < rows {
        let end = start.saturating_add(band).min(rows);
        let mut selections = vec![SliceInfoElem::Slice { start, end, step: 1 }];
        let whole = |&size: &u64| SliceInfoElem::Slice { start: 0, end: size, step: 1 };
        selections.extend(dataset.shape().iter().skip(1).map(whole));
        let values = dataset.read_slice::<f32>(&SliceInfo { selections })?;
        for value in &values {
            all.extend_from_slice(&value.to_le_bytes());
        }
        start = end;
    }
    Ok(Some(all))
}

fn dims(path: &str, dataset: &Dataset) -> Result<Vec<usize>, ConvertError> {
    let dims: Result<Vec<usize>, _> =
        dataset.shape().iter().map(|&size| usize::try_from(size)).collect();
    dims.map_err(|error| malformed(&format!("weight '{path}'"), error))
}

fn element_type(datatype: &Datatype) -> Option<ElementType> {
    Some(match datatype {
        Datatype::FloatingPoint { size: 2, .. } => ElementType::Float16,
        Datatype::FloatingPoint { size: 4, .. } => ElementType::Float32,
        Datatype::FloatingPoint { size: 8, .. } => ElementType::Float64,
        Datatype::FixedPoint { size: 1, signed: true, .. } => ElementType::Int8,
        Datatype::FixedPoint { size: 1, signed: false, .. } => ElementType::Uint8,
        Datatype::FixedPoint { size: 2, signed: true, .. } => ElementType::Int16,
        Datatype::FixedPoint { size: 2, signed: false, .. } => ElementType::Uint16,
        Datatype::FixedPoint { size: 4, signed: true, .. } => ElementType::Int32,
        Datatype::FixedPoint { size: 4, signed: false, .. } => ElementType::Uint32,
        Datatype::FixedPoint { size: 8, signed: true, .. } => ElementType::Int64,
        Datatype::FixedPoint { size: 8, signed: false, .. } => ElementType::Uint64,
        // How h5py writes booleans.
        Datatype::Enum { base, .. } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => {
            ElementType::Bool
        }
        _ => return None,
    })
}

fn is_big_endian(datatype: &Datatype) -> bool {
    use hdf5_reader::ByteOrder::BigEndian;
    matches!(
        datatype,
        Datatype::FloatingPoint { byte_order: BigEndian, .. }
            | Datatype::FixedPoint { byte_order: BigEndian, .. }
    )
}

impl std::fmt::Debug for Hdf5 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hdf5")
    }
}

pub(crate) fn malformed(place: &str, error: impl Display) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_weights_are_the_same_read_in_parts() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keras/keras1_h5.h5");
        let input = Input::memory("model.h5", std::fs::read(path).unwrap());
        let file = Hdf5::open(&input, &Limits::default()).unwrap();
        let name = "model_weights/convolution1d_1/convolution1d_1_W:0";
        let dataset = file.dataset(name).unwrap();
        let whole = dataset.read_raw_bytes().unwrap();
        assert_eq!(whole.len(), 3 * 12 * 5 * 4);
        for part in [1, 480, 1 << 20] {
            let found = in_parts(&dataset, whole.len() as u64, part).unwrap();
            assert_eq!(found.as_ref(), Some(&whole), "{part}");
        }
    }
}
