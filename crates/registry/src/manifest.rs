//! What is known of a version, fixed when it is published.
//!
//! A manifest is kept as the very bytes that were signed. Schema 1 is JSON; its form is held by files in
//! `tests/golden`, which every later modelyard reads.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, ModelName, RegistryError};

/// The newest schema of manifests.
pub const SCHEMA: i64 = 1;
/// The largest manifest that is read or written, in bytes: names of a million classes fit.
pub(crate) const BYTES_MAX: usize = 32 << 20;
/// Most files of a version.
const FILES_MAX: usize = 10_000;
/// The longest name of a file, in bytes.
const FILE_NAME_BYTES_MAX: usize = 400;

/// What is known of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The schema that it is written in.
    pub schema: i64,
    /// The model.
    pub model: ModelName,
    /// The number that the version has, from 1.
    pub version: u64,
    /// When it was published: microseconds since 1970, UTC.
    pub created_us: i64,
    /// Who published it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What its author says of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Names that it is found by.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Its files; the first is the model.
    pub files: Vec<File>,
    /// What it takes and gives, how, and where it comes from.
    #[serde(flatten)]
    pub about: About,
}

/// One file of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it lies in the version's folder, with `/` between folders.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// What it holds.
    pub sha256: Digest,
}

/// What a version takes and gives, how, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Inputs and outputs.
    pub signature: Signature,
    /// Operator sets by domain; that of ONNX is `ai.onnx`.
    #[serde(default)]
    pub opsets: BTreeMap<String, i64>,
    /// Engine that should run it; any where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Names of the classes of outputs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Vec<String>>,
    /// How inputs are made ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocessing: Option<Value>,
    /// What was measured when it was published, such as `accuracy`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Where it comes from.
    #[serde(default)]
    pub lineage: Lineage,
}

/// Inputs and outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Inputs, in their order.
    pub inputs: Vec<Tensor>,
    /// Outputs, in their order.
    pub outputs: Vec<Tensor>,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its type in the words of the Open Inference Protocol: `FP32`, `INT64` ...
    pub datatype: String,
    /// Its dimensions; -1 is any.
    pub shape: Vec<i64>,
}

/// Where a version comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lineage {
    /// What the model was converted from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Value>,
    /// What was done to it to make it smaller or faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimized: Option<Value>,
    /// How it was trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Value>,
    /// The version that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// A version that another was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: u64,
    /// The digest of its manifest.
    pub manifest: Digest,
}

impl Manifest {
    /// The bytes that are stored, signed, and known by their digest.
    pub fn encode(&self) -> Result<Vec<u8>, RegistryError> {
        self.check()?;
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            RegistryError::Invalid(format!("failed to write a manifest: {error}"))
        })?;
        bytes.push(b'\n');
        match bytes.len() {
            0..=BYTES_MAX => Ok(bytes),
            found => Err(RegistryError::Invalid(format!(
                "the manifest has {found} bytes, expected at most {BYTES_MAX}"
            ))),
        }
    }

    /// Reads what [`Manifest::encode`] wrote, in this schema or an older one.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, RegistryError> {
        #[derive(Deserialize)]
        struct Head {
            schema: i64,
        }
        if bytes.len() > BYTES_MAX {
            let found = bytes.len();
            let text = format!("a manifest has {found} bytes, expected at most {BYTES_MAX}");
            return Err(RegistryError::Invalid(text));
        }
        let damaged = |error| RegistryError::Invalid(format!("a manifest is damaged: {error}"));
        // Fields of a schema that is not known yet may have any form.
        let head: Head = serde_json::from_slice(bytes).map_err(damaged)?;
        if head.schema > SCHEMA {
            let what = "a manifest".into();
            return Err(RegistryError::Newer { what, found: head.schema, known: SCHEMA });
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(damaged)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The digest of the content alone: names and digests of the files. Two versions with the same are
    /// the same model, whoever published them and when.
    pub fn content(&self) -> Digest {
        content(&self.files)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
    }

    fn check(&self) -> Result<(), RegistryError> {
        let wrong = |text: String| Err(RegistryError::Invalid(format!("wrong manifest: {text}")));
        if self.schema < 1 {
            return wrong(format!("expected a schema from 1, found {}", self.schema));
        }
        if self.version == 0 || i64::try_from(self.version).is_err() {
            return wrong(format!("expected a version from 1, found {}", self.version));
        }
        if self.files.is_empty() || self.files.len() > FILES_MAX {
            return wrong(format!("expected 1 to {FILES_MAX} files, found {}", self.files.len()));
        }
        let mut names = BTreeSet::new();
        for file in &self.files {
            check_file_name(&file.name).map_err(RegistryError::Invalid)?;
            if !names.insert(&file.name) {
                return wrong(format!("file '{}' is there twice", file.name));
            }
            if i64::try_from(file.bytes).is_err() {
                return wrong(format!("file '{}' has {} bytes", file.name, file.bytes));
            }
        }
        Ok(())
    }
}

/// The digest of names and digests of files.
pub(crate) fn content(files: &[File]) -> Digest {
    let mut lines: Vec<String> =
        files.iter().map(|file| format!("{} {}\n", file.sha256, file.name)).collect();
    lines.sort_unstable();
    Digest::of(lines.concat().as_bytes())
}

/// Whether a file of this name stays in the folder that it is put into.
pub(crate) fn check_file_name(name: &str) -> Result<(), String> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_harmless = |c: char| !c.is_control() && c != '\\' && c != ':';
    if name.len() <= FILE_NAME_BYTES_MAX
        && name.split('/').all(is_plain)
        && name.chars().all(is_harmless)
    {
        return Ok(());
    }
    Err(format!(
        "wrong file name '{}', expected at most {FILE_NAME_BYTES_MAX} bytes of a path that stays in its \
         folder, without control characters, '\\' and ':'",
        name.chars().take(100).flat_map(char::escape_debug).collect::<String>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            schema: SCHEMA,
            model: "digits".parse().unwrap(),
            version: 1,
            created_us: 1,
            author: String::new(),
            notes: String::new(),
            tags: BTreeSet::new(),
            files: vec![File { name: "model.onnx".into(), bytes: 3, sha256: Digest::of(b"abc") }],
            about: About::default(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = manifest();
        assert_eq!(Manifest::decode(&written.encode().unwrap()).unwrap(), written);
    }

    #[test]
    fn a_newer_schema_is_said_whatever_else_it_holds() {
        let error = Manifest::decode(br#"{"schema": 2, "files": "elsewhere"}"#).unwrap_err();
        assert!(error.to_string().contains("schema 2, this modelyard knows up to 1"), "{error}");
    }

    #[test]
    fn files_stay_in_their_folder() {
        for bad in [
            "",
            "..",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "a\\b",
            "a\0",
            "C:x",
            "a/",
            &"x".repeat(401),
        ] {
            let mut manifest = manifest();
            manifest.files[0].name = bad.to_owned();
            assert!(manifest.encode().is_err(), "{bad}");
        }
        for good in ["model.onnx", "a b.bin", "weights/ä.data"] {
            assert_eq!(check_file_name(good), Ok(()));
        }
        let mut twice = manifest();
        twice.files.push(twice.files[0].clone());
        assert!(twice.encode().unwrap_err().to_string().contains("twice"));
    }

    #[test]
    fn the_content_does_not_depend_on_who_published_it() {
        let (one, mut two) = (manifest(), manifest());
        two.author = "somebody".into();
        two.version = 7;
        assert_eq!(one.content(), two.content());
        two.files[0].sha256 = Digest::of(b"abd");
        assert_ne!(one.content(), two.content());
    }
}
