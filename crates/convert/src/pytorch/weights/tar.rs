//! The oldest container: a tar file of `storages`, `tensors` and a `pickle` that names tensors.

use std::collections::HashMap;

use modelyard_graph::ElementType;

use super::containers::{class_type, pickle_at};
use super::damaged;
use crate::input::Input;
use crate::pytorch::pickle::{Node, Pickle};
use crate::pytorch::weight::{Storage, Weight};
use crate::{ConvertError, Limits};

type Result<T> = std::result::Result<T, ConvertError>;

/// Entries that are looked at.
const ENTRIES: usize = 64;

/// A storage of a file.
#[derive(Clone, Debug)]
struct Stored {
    start: u64,
    len: u64,
    element_type: ElementType,
}

/// Reads such a file.
pub(super) fn read(
    input: &Input,
    limits: &Limits,
) -> Result<std::collections::BTreeMap<String, Weight>> {
    let entries = entries(input)?;
    let entry = |name: &str| {
        entries
            .get(name)
            .copied()
            .ok_or_else(|| damaged("the tar file".into(), format!("it has no '{name}'")))
    };
    let storages = storages(input, entry("storages")?, limits)?;
    let tensors = tensors(input, entry("tensors")?, (&storages, limits))?;
    let (pickle, _) = pickle_at(input, entry("pickle")?, limits)?;
    if let Some(name) = pickle.forbidden() {
        let message = format!("the pickle wants to call {name}, which is never done");
        return Err(damaged("the pickle".into(), message));
    }
    let named = pickle.entries(pickle.root()).ok_or_else(|| {
        damaged("the pickle".into(), "expected a dict of tensors by name (a state dict)")
    })?;
    let mut weights = std::collections::BTreeMap::new();
    for &(name, value) in named {
        let (Some(name), Node::Persistent(id)) = (pickle.text(name), pickle.node(value)) else {
            continue;
        };
        let key = key(&pickle, *id);
        if let Some(weight) = key.and_then(|key| tensors.get(&key)) {
            weights.insert(name.to_owned(), weight.clone());
        }
    }
    Ok(weights)
}

/// Where each entry begins.
fn entries(input: &Input) -> Result<HashMap<String, u64>> {
    let mut found = HashMap::new();
    let mut at = 0u64;
    for _ in 0..ENTRIES {
        if at.saturating_add(512) > input.len {
            break;
        }
        let header = input.read(at, 512)?;
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        if header.iter().all(|&byte| byte == 0) {
            break;
        }
        let size = u64::from_str_radix(&text(124..136), 8);
        let size = size.map_err(|_| damaged("the tar file".into(), "a size is no number"))?;
        found.insert(text(0..100).trim_start_matches("./").to_owned(), at + 512);
        at = at.saturating_add(512).saturating_add(size.div_ceil(512).saturating_mul(512));
    }
    Ok(found)
}

fn key(pickle: &Pickle, id: crate::pytorch::pickle::Id) -> Option<String> {
    match pickle.node(id) {
        Node::Int(number) => Some(number.to_string()),
        Node::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// A number of storages; for each a pickle of key, location and class, then how many elements, and
/// the elements. At the end, storages that are stretches of others.
fn storages(input: &Input, at: u64, limits: &Limits) -> Result<HashMap<String, Stored>> {
    let wrong = |message: &str| damaged("the storages".into(), message);
    let (count, mut at) = counted(input, at, limits)?;
    let mut storages = HashMap::new();
    for _ in 0..count {
        let (pickle, next) = pickle_at(input, at, limits)?;
        let Some(&[id, _, class]) = pickle.items(pickle.root()) else {
            return Err(wrong("a storage has no key, location and class"));
        };
        let key = key(&pickle, id).ok_or_else(|| wrong("a storage has no key"))?;
        let element_type =
            class_type(&pickle, class).ok_or_else(|| wrong("a storage is of an unknown class"))?;
        let len = integer(input, next)?;
        let start = next.saturating_add(8);
        let end =
            len.checked_mul(element_type.bits() as u64 / 8).and_then(|len| start.checked_add(len));
        let end = end.filter(|&end| end <= input.len);
        at = end.ok_or_else(|| wrong("a storage ends behind the file"))?;
        storages.insert(key, Stored { start, len, element_type });
    }
    let (views, _) = pickle_at(input, at, limits)?;
    for &view in views.items(views.root()).unwrap_or(&[]) {
        let Some(&[name, root, offset, len]) = views.items(view) else { continue };
        let (Some(name), Some(root)) = (key(&views, name), key(&views, root)) else { continue };
        let number = |id| views.int(id).and_then(|value| u64::try_from(value).ok());
        if let (Some(root), Some(offset), Some(len)) =
            (storages.get(&root).cloned(), number(offset), number(len))
        {
            let start = offset
                .saturating_mul(root.element_type.bits() as u64 / 8)
                .saturating_add(root.start);
            storages.insert(name, Stored { start, len, ..root });
        }
    }
    Ok(storages)
}

/// A number of tensors; for each a pickle of key, storage and class, then rank, sizes, strides and
/// offset.
fn tensors(
    input: &Input,
    at: u64,
    (storages, limits): (&HashMap<String, Stored>, &Limits),
) -> Result<HashMap<String, Weight>> {
    let wrong = |message: &str| damaged("the tensors".into(), message);
    let (count, mut at) = counted(input, at, limits)?;
    let mut tensors = HashMap::new();
    for _ in 0..count {
        let (pickle, next) = pickle_at(input, at, limits)?;
        at = next;
        let Some(&[id, storage, ..]) = pickle.items(pickle.root()) else {
            return Err(wrong("a tensor has no key and storage"));
        };
        let (Some(id), Some(storage)) = (key(&pickle, id), key(&pickle, storage)) else {
            return Err(wrong("a tensor has no key"));
        };
        // Four bytes of rank, four that mean nothing.
        let rank = integer(input, at)? & 0xffff_ffff;
        if rank > 64 {
            return Err(wrong("a tensor has more than 64 dimensions"));
        }
        at += 8;
        let mut numbers = Vec::new();
        for _ in 0..2 * rank + 1 {
            let number = usize::try_from(integer(input, at)?);
            numbers.push(number.map_err(|_| wrong("a size overflows"))?);
            at += 8;
        }
        let (sizes, rest) = numbers.split_at(rank as usize);
        let (strides, offset) = rest.split_at(rank as usize);
        let found = storages.get(&storage).ok_or_else(|| wrong("a tensor has no storage"))?;
        let storage = Storage::File(input.clone(), found.start);
        let offset = offset.first().copied().unwrap_or(0);
        if offset as u64 > found.len {
            return Err(wrong("a tensor begins behind its storage"));
        }
        let weight = Weight::strided(storage, found.element_type, sizes, strides, offset)?;
        tensors.insert(id, weight);
    }
    Ok(tensors)
}

fn counted(input: &Input, at: u64, limits: &Limits) -> Result<(u64, u64)> {
    let (pickle, next) = pickle_at(input, at, limits)?;
    let count = pickle.int(pickle.root()).and_then(|count| u64::try_from(count).ok());
    let count = count.filter(|&count| count <= limits.nodes as u64);
    count
        .map(|count| (count, next))
        .ok_or_else(|| damaged("the tar file".into(), "a count is no number"))
}

fn integer(input: &Input, at: u64) -> Result<u64> {
    let bytes = input.read(at, 8)?;
    Ok(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}
