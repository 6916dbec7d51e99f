//! A registry as JSON lines, of no database in particular. Schema 1 is held by a file in `tests/golden`.
//!
//! The first line is a [`Line::Head`]. Contents stand before the versions that have them. The last line has
//! the digest of all before it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::database::blobs::Blob;
use crate::database::events::Event;
use crate::database::versions::State;
use crate::digest::Hasher;
use crate::error::io;
use crate::keys::Signature;
use crate::seal::Seal;
use crate::storage::name;
use crate::{AliasName, Digest, Manifest, ModelName, RegistryError, manifest};

/// The schema that is written and the newest that is read.
pub(crate) const SCHEMA: i64 = 1;
/// The longest line: a manifest as a JSON string may be twice as long.
const LINE_BYTES_MAX: u64 = 2 * manifest::BYTES_MAX as u64 + (1 << 20);

/// A line of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Line {
    /// What follows, when it was so, and who asked.
    Head { schema: i64, made_us: i64, by: String },
    /// A model.
    Model { name: ModelName, next_version: u64 },
    /// A content: where it lies in the backup, and how it is encrypted.
    Content { sha256: Digest, bytes: u64, place: String, seal: Option<Seal> },
    /// A version: its manifest to the byte.
    Version { manifest: String, signatures: Vec<Signature>, state: State },
    /// An alias; of one that points nowhere the epoch is known.
    Alias { model: ModelName, name: AliasName, version: Option<u64>, epoch: u64 },
    /// A line of the log.
    Event(Event),
    /// Nothing follows.
    End { lines: u64, sha256: Digest },
}

/// How much a snapshot has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) models: u64,
    pub(crate) versions: u64,
    pub(crate) events: u64,
    pub(crate) lines: u64,
}

/// A snapshot in a file of its own that goes when it is dropped.
pub(crate) struct Spool {
    file: BufWriter<tempfile::NamedTempFile>,
    hasher: Hasher,
    pub(crate) counts: Counts,
    /// All contents.
    pub(crate) contents: Vec<Blob>,
}

impl Counts {
    fn add(&mut self, line: &Line) {
        self.lines += 1;
        match line {
            Line::Model { .. } => self.models += 1,
            Line::Version { .. } => self.versions += 1,
            Line::Event(_) => self.events += 1,
            _ => {}
        }
    }
}

impl Spool {
    /// An empty one.
    pub(crate) fn new() -> Result<Spool, RegistryError> {
        let file = tempfile::NamedTempFile::new().map_err(io("make", &std::env::temp_dir()))?;
        let (counts, contents) = (Counts::default(), Vec::new());
        Ok(Spool { file: BufWriter::new(file), hasher: Hasher::default(), counts, contents })
    }

    /// Adds a line.
    pub(crate) fn write(&mut self, line: &Line) -> Result<(), RegistryError> {
        if let Line::Content { sha256, bytes, place, seal } = line {
            let seal = seal.as_ref().map(Seal::encode).transpose()?.unwrap_or_default();
            self.contents.push(Blob { sha256: *sha256, bytes: *bytes, place: place.clone(), seal });
        }
        self.counts.add(line);
        let mut bytes = serde_json::to_vec(line).map_err(|error| {
            RegistryError::Invalid(format!("failed to write a snapshot: {error}"))
        })?;
        bytes.push(b'\n');
        self.hasher.update(&bytes);
        self.write_bytes(&bytes)
    }

    /// Adds bytes as they are.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        let path = self.file.get_ref().path().to_owned();
        self.file.write_all(bytes).map_err(io("write", &path))
    }

    /// Adds the last line.
    pub(crate) fn end(&mut self) -> Result<(), RegistryError> {
        let (sha256, _) = self.hasher.clone().finish();
        self.write(&Line::End { lines: self.counts.lines, sha256 })
    }

    /// Where it lies, and its size.
    pub(crate) fn finish(&mut self) -> Result<(&Path, u64), RegistryError> {
        let path = self.file.get_ref().path().to_owned();
        self.file.flush().map_err(io("write", &path))?;
        let bytes = self.file.get_mut().as_file_mut().stream_position();
        Ok((self.file.get_ref().path(), bytes.map_err(io("read", &path))?))
    }

    /// Reads all of it, and checks that it is whole and fits together; notes its contents.
    pub(crate) fn check(&mut self) -> Result<(), RegistryError> {
        let mut check = Check::default();
        for line in self.lines()? {
            check.line(&line?)?;
        }
        if !check.has_ended {
            return Err(damaged("it is cut off"));
        }
        (self.counts, self.contents) = (check.counts, check.contents);
        Ok(())
    }

    /// Its lines, from the first.
    pub(crate) fn lines(&mut self) -> Result<Lines, RegistryError> {
        let (path, _) = self.finish()?;
        let file = File::open(path).map_err(io("read", path))?;
        Ok(Lines {
            file: BufReader::new(file),
            hasher: Hasher::default(),
            count: 0,
            has_ended: false,
        })
    }
}

/// Lines of a snapshot, with their digest checked at the end.
pub(crate) struct Lines {
    file: BufReader<File>,
    hasher: Hasher,
    count: u64,
    has_ended: bool,
}

impl Iterator for Lines {
    type Item = Result<Line, RegistryError>;

    fn next(&mut self) -> Option<Result<Line, RegistryError>> {
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        match read {
            Ok(0) => None,
            Ok(_) => Some(self.parse(&bytes)),
            Err(error) => Some(Err(io("read", Path::new("a snapshot"))(error))),
        }
    }
}

impl Lines {
    fn parse(&mut self, bytes: &[u8]) -> Result<Line, RegistryError> {
        if self.has_ended {
            return Err(damaged("something follows its last line"));
        }
        if self.count == 0 {
            check_schema(bytes)?;
        }
        let line: Line = serde_json::from_slice(bytes)
            .map_err(|error| damaged(&format!("line {} is none: {error}", self.count + 1)))?;
        if let Line::End { lines, sha256 } = &line {
            self.has_ended = true;
            if (*lines, *sha256) != (self.count, self.hasher.clone().finish().0) {
                return Err(damaged("its digest is another"));
            }
        }
        self.hasher.update(bytes);
        self.count += 1;
        Ok(line)
    }
}

/// Refuses what a newer modelyard wrote, whatever form its lines have.
fn check_schema(bytes: &[u8]) -> Result<(), RegistryError> {
    #[derive(Deserialize)]
    struct Head {
        schema: i64,
    }
    let head: Head =
        serde_json::from_slice(bytes).map_err(|_| damaged("its first line says no schema"))?;
    match head.schema {
        found if found > SCHEMA => {
            Err(RegistryError::Newer { what: "the snapshot".into(), found, known: SCHEMA })
        }
        _ => Ok(()),
    }
}

/// What is known of a snapshot while it is checked.
#[derive(Default)]
struct Check {
    counts: Counts,
    contents: Vec<Blob>,
    known: BTreeSet<Digest>,
    models: BTreeSet<ModelName>,
    versions: BTreeSet<(ModelName, u64)>,
    has_ended: bool,
}

impl Check {
    fn line(&mut self, line: &Line) -> Result<(), RegistryError> {
        self.counts.add(line);
        match line {
            Line::Model { name, .. } => drop(self.models.insert(name.clone())),
            Line::Content { sha256, bytes, place, seal } => {
                // Leads nowhere else.
                name(place)?;
                let seal = seal.as_ref().map(Seal::encode).transpose()?.unwrap_or_default();
                let place = place.clone();
                self.contents.push(Blob { sha256: *sha256, bytes: *bytes, place, seal });
                self.known.insert(*sha256);
            }
            Line::Version { manifest, state, .. } => {
                let manifest = Manifest::decode(manifest.as_bytes())?;
                let (model, number) = (manifest.model.clone(), manifest.version);
                let lacks = |file: &&manifest::File| !self.known.contains(&file.sha256);
                if !self.models.contains(&model) {
                    return Err(damaged(&format!("it lacks model '{model}'")));
                }
                if *state != State::Removed && manifest.files.iter().find(lacks).is_some() {
                    return Err(damaged(&format!("it lacks contents of '{model}:{number}'")));
                }
                self.versions.insert((model, number));
            }
            Line::Alias { model, name, version: Some(version), .. } => {
                if !self.versions.contains(&(model.clone(), *version)) {
                    return Err(damaged(&format!("it lacks the version of '{model}:{name}'")));
                }
            }
            Line::End { .. } => self.has_ended = true,
            Line::Head { .. } | Line::Alias { .. } | Line::Event(_) => {}
        }
        Ok(())
    }
}

pub(crate) fn damaged(how: &str) -> RegistryError {
    RegistryError::Untrusted(format!("the snapshot is damaged: {how}"))
}
