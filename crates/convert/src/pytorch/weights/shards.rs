//! Weights in one file, or in several that an index lists.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{StateDict, containers, damaged, safetensors};
use crate::input::{Input, Source};
use crate::{ConvertError, Format, Limits};

/// What `*.index.json` says: which file has which tensor.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Reads the weights of `input`, a file of `source`: with all the others, where it is an index or
/// one part of several.
pub(super) fn read(
    source: &Source,
    input: &Input,
    limits: &Limits,
) -> Result<StateDict, ConvertError> {
    if input.head(1)?.starts_with(b"{") {
        return indexed(source, input, limits);
    }
    let name = input.path.file_name().map(|name| name.to_string_lossy().into_owned());
    if let Some(index) = name.as_deref().and_then(index_of) {
        let Some(input) = source.beside(&index)? else {
            let message =
                format!("it is one of several files, but there is no '{index}' beside it");
            return Err(damaged("the file".into(), message));
        };
        return indexed(source, &input, limits);
    }
    one(input, limits)
}

/// The index of a file called `model-00001-of-00003.safetensors`.
fn index_of(name: &str) -> Option<String> {
    let (stem, ending) = name.rsplit_once('.')?;
    let (front, count) = stem.rsplit_once("-of-")?;
    let (base, part) = front.rsplit_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let several = number(count) && number(part) && count.trim_start_matches('0') != "1";
    several.then(|| format!("{base}.{ending}.index.json"))
}

fn one(input: &Input, limits: &Limits) -> Result<StateDict, ConvertError> {
    let head = input.head(16)?;
    let is_torch = head.starts_with(b"PK")
        || head.starts_with(&[0x80])
        || input.head(512)?.get(257..262) == Some(b"ustar");
    // The length of a header of safetensors may begin with the same byte as a pickle.
    let is_safetensors = head.get(8) == Some(&b'{');
    let notes = Vec::new();
    if is_torch && !is_safetensors {
        let tensors = containers::read(input, limits)?;
        return Ok(StateDict { format: Format::StateDict, tensors, notes });
    }
    let tensors = safetensors::read(input, limits)?;
    Ok(StateDict { format: Format::SafeTensors, tensors, notes })
}

fn indexed(source: &Source, input: &Input, limits: &Limits) -> Result<StateDict, ConvertError> {
    let text = input.read_all(limits.description_bytes)?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| {
        damaged(
            format!("'{}'", input.path.display()),
            format!("expected an index of weights: {error}"),
        )
    })?;
    let files: BTreeSet<&String> = index.weight_map.values().collect();
    let mut all = BTreeMap::new();
    let mut format = Format::SafeTensors;
    for name in files {
        let Some(file) = source.beside(name)? else {
            return Err(damaged(
                "the index".into(),
                format!("it names '{name}', which is not beside it"),
            ));
        };
        let dict = one(&file, limits)?;
        format = dict.format;
        all.extend(dict.tensors);
    }
    if let Some(name) = index.weight_map.keys().find(|name| !all.contains_key(*name)) {
        let file = &index.weight_map[name];
        return Err(damaged("the index".into(), format!("'{file}' has no tensor '{name}'")));
    }
    Ok(StateDict { format, tensors: all, notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_an_index() {
        let index = index_of("model-00002-of-00003.safetensors");
        assert_eq!(index.as_deref(), Some("model.safetensors.index.json"));
        assert_eq!(index_of("model-00001-of-00001.safetensors"), None);
        assert_eq!(index_of("one-of-us.bin"), None);
    }
}
