//! Models and their external data on disk: the one place of this crate that does I/O.

mod write;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

pub use write::{External, WriteError, WriteOptions, Written, write};

use crate::{
    AttributeValue, Constant, ConstantData, ExternalData, Graph, Limits, Model, Problem, ReadError,
};

/// Reads and verifies the model at `path`, and checks that its external data is there: inside
/// the model's folder, within the bounds of its files.
pub fn read_file(path: &Path, limits: &Limits) -> Result<Model, ReadError> {
    let model = Model::parse(read_bounded(path, limits.file_bytes)?, limits)?;
    let folder = folder_of(path);
    let mut problems = Vec::new();
    let mut total = 0u64;
    for constant in model.constants() {
        let Some(external) = constant.external() else { continue };
        match check(&folder, constant, external) {
            Ok(length) => total = total.saturating_add(length),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(ReadError::Invalid(problems));
    }
    if total > limits.external_bytes {
        let (what, limit) = ("bytes of external data", limits.external_bytes);
        return Err(ReadError::TooLarge { what, found: total, limit });
    }
    Ok(model)
}

/// Reads and verifies the model at `path` as [`read_file`] does, with its external data in memory:
/// every tensor is then part of the model.
pub fn read_whole(path: &Path, limits: &Limits) -> Result<Model, ReadError> {
    let mut model = read_file(path, limits)?;
    let folder = folder_of(path);
    let mut files = HashMap::new();
    take_in(&mut model.graph, &folder, &mut files)?;
    Ok(model)
}

/// Replaces the external data of a graph, and of the graphs inside it, by its bytes. Checked by
/// [`read_file`]; what has changed on disk since is an error.
fn take_in(
    graph: &mut Graph,
    folder: &Path,
    files: &mut HashMap<String, Bytes>,
) -> Result<(), ReadError> {
    for constant in &mut graph.initializers {
        take_in_constant(constant, folder, files)?;
    }
    for attribute in graph.nodes.iter_mut().flat_map(|node| &mut node.attributes) {
        match &mut attribute.value {
            AttributeValue::Tensor(constant) => take_in_constant(constant, folder, files)?,
            AttributeValue::Graph(inner) => take_in(inner, folder, files)?,
            _ => {}
        }
    }
    Ok(())
}

fn take_in_constant(
    constant: &mut Constant,
    folder: &Path,
    files: &mut HashMap<String, Bytes>,
) -> Result<(), ReadError> {
    let Some(external) = constant.external() else { return Ok(()) };
    let invalid = |message: String| {
        let place = format!("external data of '{}'", constant.name);
        ReadError::Invalid(vec![Problem::new(place, message)])
    };
    if !files.contains_key(&external.location) {
        let path = resolve(folder, external).map_err(invalid)?;
        let bytes = std::fs::read(&path).map_err(|source| ReadError::Io {
            action: "read external data",
            path: path.clone(),
            source,
        })?;
        files.insert(external.location.clone(), bytes.into());
    }
    let bytes = &files[&external.location];
    let start = usize::try_from(external.offset).ok();
    let range = start.zip(constant.byte_len()).and_then(|(start, len)| {
        let end = start.checked_add(len)?;
        (end <= bytes.len()).then_some(start..end)
    });
    let range = range.ok_or_else(|| invalid(format!("'{}' is cut off", external.location)))?;
    constant.data = ConstantData::Raw(bytes.slice(range));
    Ok(())
}

/// The file that `external` is in.
///
/// Fails unless it is a file inside `folder`: no absolute path, no `..`, no symbolic link that
/// leads out.
pub fn resolve(folder: &Path, external: &ExternalData) -> Result<PathBuf, String> {
    let shown: String = external.location.chars().take(200).collect();
    let location = Path::new(&external.location);
    let inside =
        location.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    // A backslash separates on Windows only; no model needs one in a name.
    if !inside || external.location.contains(['\\', '\0']) {
        return Err(format!("expected a path inside the model's folder, found '{shown}'"));
    }
    let io = |error: std::io::Error| format!("failed to find '{shown}' beside the model: {error}");
    let folder = folder.canonicalize().map_err(io)?;
    let path = folder.join(location).canonicalize().map_err(io)?;
    if !path.starts_with(&folder) {
        return Err(format!("'{shown}' is a link that leads out of the model's folder"));
    }
    if !path.is_file() {
        return Err(format!("expected '{shown}' to be a file, found something else"));
    }
    Ok(path)
}

/// The folder that external data of the model at `path` must be in.
pub fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Checks one piece of external data; gives its length.
fn check(folder: &Path, constant: &Constant, external: &ExternalData) -> Result<u64, Problem> {
    let place = format!("external data of '{}'", constant.name);
    let path = resolve(folder, external).map_err(|message| Problem::new(&place, message))?;
    let size = path.metadata().map_err(|error| Problem::new(&place, error.to_string()))?.len();
    let available = size.checked_sub(external.offset);
    // Verified: where a length is stated, it is what the shape asks for.
    let length = constant.byte_len().map_or(u64::MAX, |length| length as u64);
    if available.is_none_or(|available| length > available) {
        return Err(Problem::new(
            place,
            format!(
                "expected {length} bytes at offset {} of '{}', found a file of {size} bytes",
                external.offset, external.location
            ),
        ));
    }
    Ok(length)
}

/// The bytes of a file that must not be larger than `limit`, however it grows meanwhile.
fn read_bounded(path: &Path, limit: u64) -> Result<Bytes, ReadError> {
    let io = |action| move |source| ReadError::Io { action, path: path.to_path_buf(), source };
    let file = File::open(path).map_err(io("open model file"))?;
    let size = file.metadata().map_err(io("read the size of model file"))?.len();
    let too_large = |found| ReadError::TooLarge { what: "bytes", found, limit };
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(|_| too_large(size))? + 1);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io("read model file"))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes.into())
}
