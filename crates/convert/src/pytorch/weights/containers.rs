//! The three containers that `torch.save` wrote over the years.
//!
//! | torch | container |
//! |---|---|
//! | 1.6 and later | a zip file: `data.pkl` and one entry a storage |
//! | 0.1.10 to 1.5 | five pickles, then the storages one after the other |
//! | before | a tar file: storages, tensors and a pickle |

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use modelyard_graph::ElementType;

use super::checkpoint::state_dict;
use super::rebuild::{StorageName, Tensors, storage_type};
use super::{FORMAT, damaged};
use crate::archive::Archive;
use crate::input::Input;
use crate::pytorch::pickle::{Machine, Node, Pickle};
use crate::pytorch::weight::{Storage, Weight};
use crate::{ConvertError, Limits};

type Result<T> = std::result::Result<T, ConvertError>;
type Weights = BTreeMap<String, Weight>;

/// Reads what `torch.save` wrote, whichever container it is.
pub(super) fn read(input: &Input, limits: &Limits) -> Result<Weights> {
    let head = input.head(512)?;
    if head.starts_with(b"PK") {
        zip(input, limits)
    } else if head.get(257..262) == Some(b"ustar") {
        super::tar::read(input, limits)
    } else {
        stream(input, limits)
    }
}

fn zip(input: &Input, limits: &Limits) -> Result<Weights> {
    let archive = Arc::new(Archive::open(input, FORMAT, limits)?);
    let names = archive.names();
    let found = names.iter().find_map(|name| name.strip_suffix("data.pkl"));
    let root = found.ok_or_else(|| damaged("the archive".into(), "it has no data.pkl"))?.to_owned();
    check_byte_order(&archive, &root)?;
    let bytes = archive.read(&format!("{root}data.pkl"))?;
    let pickle = Pickle::read(&bytes, limits)?;
    state_dict(&pickle, &|storage| {
        let name = format!("{root}data/{}", storage.key);
        if !archive.contains(&name) {
            return Err(damaged("the archive".into(), format!("it has no '{name}'")));
        }
        Ok(Storage::Entry(Arc::clone(&archive), name))
    })
}

fn check_byte_order(archive: &Archive, root: &str) -> Result<()> {
    let name = format!("{root}byteorder");
    if archive.contains(&name) && archive.read_text(&name)?.trim() != "little" {
        return Err(big_endian());
    }
    Ok(())
}

fn big_endian() -> ConvertError {
    damaged("the weights".into(), "they are big-endian; save them on a little-endian machine")
}

/// Five pickles: a magic number, a version, the system, the object, keys of the storages; then for
/// each key how many elements, and the elements.
fn stream(input: &Input, limits: &Limits) -> Result<Weights> {
    let mut at = 0;
    let mut pickles = Vec::new();
    for _ in 0..5 {
        let (pickle, next) = pickle_at(input, at, limits)?;
        at = next;
        pickles.push(pickle);
        if pickles.len() == 1 && !is_magic(&pickles[0]) {
            return Err(not_torch(&pickles[0]));
        }
    }
    let (system, object, keys) = (&pickles[2], &pickles[3], &pickles[4]);
    let order = system.entry(system.root(), "little_endian");
    if order.is_some_and(|order| system.int(order) == Some(0)) {
        return Err(big_endian());
    }
    let types = storage_types(object);
    let mut places = HashMap::new();
    for &key in keys.items(keys.root()).unwrap_or(&[]) {
        let key = match keys.node(key) {
            Node::Text(text) => text.clone(),
            Node::Int(number) => number.to_string(),
            _ => return Err(damaged("the storages".into(), "a key is no text")),
        };
        let count = input.read(at, 8)?;
        let count = count.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let width = types.get(&key).map_or(4, |element_type| element_type.bits() as u64 / 8);
        let start = at.saturating_add(8);
        let end = count.checked_mul(width).and_then(|len| start.checked_add(len));
        let end = end.filter(|&end| end <= input.len).ok_or_else(|| {
            let message = format!("storage '{key}' of {count} elements ends behind the file");
            damaged("the storages".into(), message)
        })?;
        places.insert(key, start);
        at = end;
    }
    state_dict(object, &|storage: &StorageName| {
        let place = places.get(&storage.key);
        let missing = || damaged("the storages".into(), format!("there is no '{}'", storage.key));
        Ok(Storage::File(input.clone(), *place.ok_or_else(missing)?))
    })
}

/// Reads the pickle at a place of a file, and says where it ends.
pub(super) fn pickle_at(input: &Input, at: u64, limits: &Limits) -> Result<(Pickle, u64)> {
    let left = input.len.saturating_sub(at);
    let mut window = 64 << 10;
    loop {
        let len = left.min(window).min(limits.description_bytes);
        let bytes = input.read(at, usize::try_from(len).unwrap_or(usize::MAX))?;
        let mut machine = Machine::new(bytes, limits);
        match machine.pickle() {
            Ok(pickle) => return Ok((pickle, at + machine.position() as u64)),
            Err(error) if len == left || len == limits.description_bytes => return Err(error),
            // It may go on behind the window.
            Err(_) => window *= 16,
        }
    }
}

fn is_magic(pickle: &Pickle) -> bool {
    const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    matches!(pickle.node(pickle.root()), Node::Long(bytes) if bytes[..] == *MAGIC)
}

/// A pickle that `torch.save` did not write.
fn not_torch(pickle: &Pickle) -> ConvertError {
    let message = match pickle.forbidden() {
        Some(name) => format!(
            "the pickle wants to call {name}, which is never done; for models of scikit-learn and \
             others that are pickled, save them in a format of their own"
        ),
        None => "it is a pickle that torch.save did not write; save the weights with \
                 `torch.save(model.state_dict(), path)`"
            .into(),
    };
    damaged("the pickle".into(), message)
}

/// What the elements of each storage are, by key.
fn storage_types(pickle: &Pickle) -> HashMap<String, ElementType> {
    let tensors =
        Tensors { pickle, locate: &|_| Err(damaged("a storage".into(), "not asked for")) };
    let names = pickle.ids().filter_map(|id| tensors.storage_name(id));
    names.filter_map(|name| Some((name.key, name.element_type?))).collect()
}

/// The elements that a class of storages has.
pub(super) fn class_type(
    pickle: &Pickle,
    class: crate::pytorch::pickle::Id,
) -> Option<ElementType> {
    storage_type(pickle.global(class)?.1)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::input::Source;
    use crate::pytorch::weights::safetensors;

    fn fixture(name: &str) -> Source {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pytorch_weights");
        Source::open(&folder.join(name), &Limits::default()).unwrap()
    }

    fn loaded(name: &str) -> Result<Weights> {
        read(fixture(name).file()?, &Limits::default())
    }

    fn check(name: &str, count: usize) {
        let found = loaded(name).unwrap();
        let expected = fixture("expected.safetensors");
        let expected = safetensors::read(expected.file().unwrap(), &Limits::default()).unwrap();
        assert_eq!(found.len(), count, "{name}");
        for (tensor, weight) in &found {
            let other = &expected[tensor];
            assert_eq!(weight.element_type(), other.element_type(), "{name}: {tensor}");
            assert_eq!(weight.sizes(), other.sizes(), "{name}: {tensor}");
            assert_eq!(weight.bytes().unwrap(), other.bytes().unwrap(), "{name}: {tensor}");
        }
    }

    #[test]
    fn every_container_gives_the_same_tensors() {
        check("zip.pth", 13);
        check("stream.pth", 13);
        check("checkpoint.pth", 13);
        check("tar.pth", 3);
    }

    fn refused(name: &str, part: &str) {
        let error = loaded(name).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn whole_modules_and_calls_are_refused() {
        refused("module.pth", "a whole module of class __main__.Net");
        refused("module_stream.pth", "torch.export.save");
        refused("evil.pth", "the pickle wants to call posix.system, which is never done");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damaged_files_do_no_harm(
            name in proptest::sample::select(&["zip.pth", "stream.pth", "tar.pth", "evil.pth"]),
            at in 0.0..1.0f64,
            value: u8,
            cut: bool,
        ) {
            let bytes = fixture(name).file().unwrap().read_all(1 << 20).unwrap();
            let mut bytes = bytes.to_vec();
            let place = (at * bytes.len() as f64) as usize;
            if cut {
                bytes.truncate(place);
            } else {
                bytes[place] ^= value;
            }
            if let Ok(weights) = read(&Input::memory(name, bytes), &Limits::default()) {
                for weight in weights.values().filter(|weight| weight.byte_len() < 1 << 20) {
                    weight.bytes().ok();
                }
            }
        }
    }
}
