//! Checkpoints: `variables.index` says where each tensor lies in the files beside it.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use prost::Message as _;

use super::census::{self, Message, varint};
use super::proto::{BundleEntryProto, BundleHeaderProto, TrackableObjectGraph};
use super::weight::Weight;
use super::{dtype, table};
use crate::input::{Input, Source};
use crate::{ConvertError, Format, Limits};

/// Where the tensors of a checkpoint are, by key.
#[derive(Debug)]
pub(super) struct Bundle {
    entries: BTreeMap<String, BundleEntryProto>,
    shards: Vec<Input>,
}

const FORMAT: &str = Format::SavedModel.name();

/// Files that a checkpoint may be split into.
const MAX_SHARDS: i32 = 4096;

const OBJECT_GRAPH: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

impl Bundle {
    /// Reads the index of the checkpoint in a SavedModel; `None` where it has no variables.
    pub(super) fn open(source: &Source, limits: &Limits) -> Result<Option<Bundle>, ConvertError> {
        let Some(index) = source.beside("variables/variables.index")? else { return Ok(None) };
        let bytes = index.read_all(limits.description_bytes)?;
        let table = table::read(&bytes).map_err(|message| malformed("the index", message))?;
        if table.len() > limits.nodes {
            return Err(ConvertError::TooLarge {
                place: "variables.index".into(),
                what: "tensors",
                found: table.len() as u64,
                limit: limits.nodes as u64,
            });
        }
        let mut entries = BTreeMap::new();
        let mut header = BundleHeaderProto::default();
        for (key, value) in table {
            let key = String::from_utf8_lossy(&key).into_owned();
            let place = format!("key '{key}' of the index");
            let damaged = |error: prost::DecodeError| malformed(&place, error.to_string());
            if key.is_empty() {
                header = BundleHeaderProto::decode(value).map_err(damaged)?;
                continue;
            }
            census::check(&value, Message::BundleEntry, FORMAT, limits)?;
            entries.insert(key, BundleEntryProto::decode(value).map_err(damaged)?);
        }
        if header.endianness != 0 {
            let message = "it is big-endian; save the model on another machine";
            return Err(malformed("the checkpoint", message));
        }
        Ok(Some(Bundle { entries, shards: shards(source, header.num_shards)? }))
    }

    /// Whether there is a tensor under this key.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The tensor under a key, not yet read; `None` when there is none.
    pub(super) fn weight(&self, key: &str) -> Result<Option<Weight>, ConvertError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        let place = format!("variable '{key}'");
        let bad = |message: &str| malformed(&place, message);
        if !entry.slices.is_empty() {
            return Err(bad("it is stored in several parts; save the model without partitions"));
        }
        let element_type = dtype::element_type(entry.dtype)
            .ok_or_else(|| bad(&format!("type number {} is no tensor", entry.dtype)))?;
        let (input, range) = self.place(entry).ok_or_else(|| bad("it lies in no file"))?;
        let weight = Weight::in_file(element_type, entry.shape.as_ref(), input, range);
        weight.map(Some).map_err(|message| bad(&message))
    }

    fn place(&self, entry: &BundleEntryProto) -> Option<(Input, (u64, u64))> {
        let shard = self.shards.get(usize::try_from(entry.shard).ok()?)?;
        let offset = u64::try_from(entry.offset).ok()?;
        Some((shard.clone(), (offset, u64::try_from(entry.size).ok()?)))
    }

    /// Keys by the full names of variables, as the checkpoint's own description has them.
    pub(super) fn keys_by_name(
        &self,
        limits: &Limits,
    ) -> Result<BTreeMap<String, String>, ConvertError> {
        let Some(entry) = self.entries.get(OBJECT_GRAPH) else { return Ok(BTreeMap::new()) };
        let place = "the graph of objects of the checkpoint";
        let (input, (offset, size)) =
            self.place(entry).ok_or_else(|| malformed(place, "it lies in no file"))?;
        if size > limits.description_bytes {
            let (place, limit) = (place.into(), limits.description_bytes);
            return Err(ConvertError::TooLarge { place, what: "bytes", found: size, limit });
        }
        let len = usize::try_from(size).map_err(|_| malformed(place, "it is too large"))?;
        let bytes = text(input.read(offset, len)?)
            .ok_or_else(|| malformed(place, "expected one text, found something else"))?;
        census::check(&bytes, Message::ObjectGraph, FORMAT, limits)?;
        let graph = TrackableObjectGraph::decode(bytes)
            .map_err(|error| malformed(place, error.to_string()))?;
        let values = graph.nodes.into_iter().flat_map(|object| object.attributes);
        let values = values.filter(|value| value.name == "VARIABLE_VALUE");
        Ok(values.map(|value| (value.full_name, value.checkpoint_key)).collect())
    }
}

/// The only element of a tensor of strings: their lengths, a checksum, then the strings.
fn text(mut bytes: Bytes) -> Option<Bytes> {
    let (length, rest) = varint(&bytes)?;
    let start = bytes.len() - rest.len();
    bytes.advance(start.checked_add(4).filter(|&start| start <= bytes.len())?);
    (bytes.len() as u64 == length).then_some(bytes)
}

fn shards(source: &Source, count: i32) -> Result<Vec<Input>, ConvertError> {
    if !(1..=MAX_SHARDS).contains(&count) {
        return Err(malformed("the checkpoint", format!("it has {count} files of data")));
    }
    let shard = |number| {
        let name = format!("variables/variables.data-{number:05}-of-{count:05}");
        source
            .beside(&name)?
            .ok_or_else(|| malformed("the checkpoint", format!("the file '{name}' is missing")))
    };
    (0..count).map(shard).collect()
}

fn malformed(place: &str, message: impl Into<String>) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: message.into() }
}
