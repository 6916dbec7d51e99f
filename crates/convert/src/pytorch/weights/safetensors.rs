//! safetensors: a length, JSON of that length that names tensors, then their bytes.

use std::collections::BTreeMap;

use modelyard_graph::ElementType;
use serde::Deserialize;

use crate::input::Input;
use crate::pytorch::weight::{Storage, Weight};
use crate::{ConvertError, Limits};

/// What errors call the format.
const FORMAT: &str = "safetensors file";

/// One tensor, as the header has it.
#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// Reads the header; tensors are read where they are asked for.
pub(super) fn read(
    input: &Input,
    limits: &Limits,
) -> Result<BTreeMap<String, Weight>, ConvertError> {
    let length = input.head(8)?;
    let length = length.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let start = length.and_then(|length| length.checked_add(8)).filter(|&start| start <= input.len);
    let (Some(length), Some(start)) = (length, start) else {
        return Err(damaged("the header", "it ends behind the file"));
    };
    if length > limits.description_bytes {
        return Err(ConvertError::TooLarge {
            place: "the header".into(),
            what: "bytes",
            found: length,
            limit: limits.description_bytes,
        });
    }
    let text = input.read(8, length as usize)?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&text).map_err(|error| damaged("the header", error))?;
    let mut tensors = BTreeMap::new();
    for (name, entry) in header {
        if name == "__metadata__" {
            continue;
        }
        let place = format!("tensor '{name}'");
        let entry: Entry = serde_json::from_value(entry).map_err(|error| damaged(&place, error))?;
        let weight = weight(input, start, &entry).map_err(|message| damaged(&place, message))?;
        tensors.insert(name, weight?);
    }
    Ok(tensors)
}

fn weight(
    input: &Input,
    start: u64,
    entry: &Entry,
) -> Result<Result<Weight, ConvertError>, String> {
    let [from, to] = entry.data_offsets;
    let element_type = element_type(&entry.dtype)
        .ok_or_else(|| format!("elements of type {} have no counterpart", entry.dtype))?;
    let end = start.checked_add(to).filter(|&end| from <= to && end <= input.len);
    let end = end.ok_or_else(|| format!("its bytes {from} to {to} are outside of the file"))?;
    let count = entry.shape.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
    let expected = count.and_then(|count| element_type.byte_len(count));
    let found = to - from;
    if expected.map(|bytes| bytes as u64) != Some(found) {
        return Err(format!(
            "shape {:?} of {} does not take {found} bytes",
            entry.shape, entry.dtype
        ));
    }
    // It does not overflow: it is at most `end`.
    let storage = Storage::File(input.clone(), end - found);
    Ok(Weight::dense(storage, element_type, &entry.shape))
}

fn element_type(dtype: &str) -> Option<ElementType> {
    Some(match dtype {
        "BOOL" => ElementType::Bool,
        "U8" => ElementType::Uint8,
        "I8" => ElementType::Int8,
        "U16" => ElementType::Uint16,
        "I16" => ElementType::Int16,
        "U32" => ElementType::Uint32,
        "I32" => ElementType::Int32,
        "U64" => ElementType::Uint64,
        "I64" => ElementType::Int64,
        "F16" => ElementType::Float16,
        "BF16" => ElementType::Bfloat16,
        "F32" => ElementType::Float32,
        "F64" => ElementType::Float64,
        _ => return None,
    })
}

fn damaged(place: &str, message: impl std::fmt::Display) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: message.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Input {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend(vec![1; data]);
        Input::memory("weights", bytes)
    }

    fn refused(header: &str, data: usize, part: &str) {
        let error = read(&file(header, data), &Limits::default()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn tensors_lie_where_the_header_says() {
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
        let tensors = read(&file(header, 3), &Limits::default()).unwrap();
        assert_eq!(tensors["a"].sizes(), [2]);
        assert_eq!(tensors["a"].bytes().unwrap()[..], [1, 1]);
    }

    #[test]
    fn headers_are_not_believed() {
        let entry = |shape: &str, from: u64, to: u64| {
            format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[{from},{to}]}}}}"#)
        };
        refused(&entry("[1]", 0, 4), 3, "outside of the file");
        refused(&entry("[2]", 0, 4), 4, "does not take 4 bytes");
        refused(&entry("[1]", 4, 0), 4, "outside of the file");
        refused(&entry("[4611686018427387904,4]", 0, 4), 4, "does not take");
        refused(&entry("[1]", 18446744073709551612, 18446744073709551615), 4, "outside");
        refused(r#"{"a":{"dtype":"F4","shape":[],"data_offsets":[0,0]}}"#, 0, "type F4");
        refused(r#"{"a":1}"#, 0, "tensor 'a'");
        refused("[", 0, "the header");
        let cut = Input::memory("weights", vec![255; 20]);
        assert!(read(&cut, &Limits::default()).is_err());
        assert!(read(&Input::memory("weights", vec![1]), &Limits::default()).is_err());
    }
}
