//! All of a registry elsewhere, and back.
//!
//! A backup is a folder or a bucket: contents as they lie (what is encrypted stays so, under the same
//! names), each copied once, and one snapshot of all the rest for each time. Or it is one tar file with the
//! same. Everything appears whole or not at all, the snapshot last: what it names is there then.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | what is written |
//! | `snapshot` | all that is not contents, as JSON lines |
//! | `restore` | what is read, and checked before anything of it counts |
//! | `tar` | all of it as one file |

pub(crate) mod restore;
pub(crate) mod snapshot;
mod tar;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;

use serde::Serialize;

use crate::contents::faults::Hook;
use crate::contents::{Contents, Reader, Taken};
use crate::database::blobs::Blob;
use crate::database::events::Actor;
use crate::place::Store;
use crate::storage::{self, transfer};
use crate::{Registry, RegistryError};
use snapshot::{Line, SCHEMA, Spool};

/// The folders of a backup.
const CONTENTS: &str = "contents";
const SNAPSHOTS: &str = "snapshots";
/// How a snapshot's file ends.
const ENDING: &str = ".jsonl";
/// Tries when contents are removed at the same moment.
const TRIES: usize = 3;

/// Where backups are.
#[derive(Clone)]
pub struct Archive {
    kind: Kind,
    environment: Vec<(String, String)>,
    hook: Option<Hook>,
}

#[derive(Clone, Debug)]
enum Kind {
    Store(Store),
    Tar(PathBuf),
}

/// What was backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// The name of the snapshot.
    pub snapshot: String,
    /// Models in it.
    pub models: u64,
    /// Versions in it.
    pub versions: u64,
    /// Lines of the log in it.
    pub events: u64,
    /// Contents in it.
    pub contents: usize,
    /// Of these, contents that were not in the backup yet.
    pub copied: usize,
    /// Their bytes.
    pub copied_bytes: u64,
}

/// A snapshot in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotEntry {
    /// Its name; later ones come after.
    pub name: String,
    /// When it was made: microseconds since 1970, UTC. Nothing where that cannot be read.
    pub made_us: Option<i64>,
    /// Who made it; or why that cannot be read.
    pub by: String,
    /// Its size, without contents.
    pub bytes: u64,
}

/// What can be read of a backup.
enum Source {
    Store(Contents),
    Tar(tar::Index),
}

impl Archive {
    /// A folder, the URL of a bucket, or a file that ends in `.tar`.
    pub fn parse(text: &str) -> Result<Archive, RegistryError> {
        let kind = match Store::parse(text)? {
            Store::Folder(path) if path.extension().is_some_and(|ending| ending == "tar") => {
                Kind::Tar(path)
            }
            store => Kind::Store(store),
        };
        Ok(Archive { kind, environment: Vec::new(), hook: None })
    }

    /// What stores of objects take their credentials from, as [`crate::Place::with_environment`] does.
    pub fn with_environment(
        self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Archive {
        Archive { environment: variables.into_iter().collect(), ..self }
    }

    /// What a test makes go wrong.
    #[doc(hidden)]
    pub fn with_faults(self, hook: Hook) -> Archive {
        Archive { hook: Some(hook), ..self }
    }

    /// Refuses what is no backup.
    pub async fn require(&self) -> Result<(), RegistryError> {
        self.source()?.names().await.map(drop)
    }

    /// Its snapshots, oldest first. One that is damaged is listed as such.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotEntry>, RegistryError> {
        let source = self.source()?;
        let mut found = Vec::new();
        for (name, bytes) in source.names().await? {
            let (made_us, by) = match head(&source, &name).await {
                Ok((made_us, by)) => (Some(made_us), by),
                Err(error) => (None, error.to_string()),
            };
            found.push(SnapshotEntry { name, made_us, by, bytes });
        }
        Ok(found)
    }

    fn source(&self) -> Result<Source, RegistryError> {
        match &self.kind {
            Kind::Tar(path) => Ok(Source::Tar(tar::Index::read(path)?)),
            Kind::Store(Store::Folder(root)) if !root.join(SNAPSHOTS).is_dir() => {
                let text = format!("there is no backup in '{}'", root.display());
                Err(RegistryError::NotFound(text))
            }
            Kind::Store(store) => Ok(Source::Store(self.open(store)?)),
        }
    }

    fn open(&self, store: &Store) -> Result<Contents, RegistryError> {
        let contents = store.open(&self.environment)?;
        Ok(match &self.hook {
            Some(hook) => contents.with_faults(hook.clone()),
            None => contents,
        })
    }
}

impl Source {
    /// Names and sizes of snapshots, oldest first.
    async fn names(&self) -> Result<Vec<(String, u64)>, RegistryError> {
        let files: Vec<(String, u64)> = match self {
            Source::Store(contents) => {
                let found = contents.list(SNAPSHOTS).await?.into_iter();
                found.map(|file| (file.name, file.bytes)).collect()
            }
            Source::Tar(index) => index.files().collect(),
        };
        let name = |(name, bytes): (String, u64)| {
            let name = name.strip_prefix(SNAPSHOTS)?.strip_prefix('/')?.strip_suffix(ENDING)?;
            Some((name.to_owned(), bytes))
        };
        let mut names: Vec<_> = files.into_iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    async fn read(&self, name: &str) -> Result<Reader, RegistryError> {
        match self {
            Source::Store(contents) => contents.read(name).await,
            Source::Tar(index) => index.open(name),
        }
    }
}

/// Where a content lies in a backup.
fn content_name(place: &str) -> Result<String, RegistryError> {
    Ok(storage::name(place)?.replacen(storage::BLOBS, CONTENTS, 1))
}

/// When a snapshot was made, and by whom: its first line.
async fn head(source: &Source, name: &str) -> Result<(i64, String), RegistryError> {
    let mut spool = Spool::new()?;
    let mut reader = source.read(&format!("{SNAPSHOTS}/{name}{ENDING}")).await?;
    if let Some(piece) = reader.next().await? {
        let line = piece.lines().next().and_then(Result::ok).unwrap_or_default();
        spool.write_bytes(line.as_bytes())?;
    }
    match spool.lines()?.next().transpose()? {
        Some(Line::Head { made_us, by, .. }) => Ok((made_us, by)),
        _ => Err(snapshot::damaged(&format!("'{name}' has no first line"))),
    }
}

impl Registry {
    /// Copies what is not in the backup yet, then writes a snapshot. Every content that is copied is checked.
    pub async fn back_up(&self, to: &Archive, actor: &Actor) -> Result<BackedUp, RegistryError> {
        let mut tries = 1;
        loop {
            let mut spool = Spool::new()?;
            let (made_us, by) = (actor.now_us, actor.name.clone());
            spool.write(&Line::Head { schema: SCHEMA, made_us, by })?;
            self.database.dump(|line| spool.write(line)).await?;
            spool.end()?;
            let written = match &to.kind {
                Kind::Tar(path) => self.write_tar(path, &mut spool).await,
                Kind::Store(store) => {
                    let target = to.open(store)?;
                    self.write_store(&target, &mut spool).await
                }
            };
            match written {
                Err(_) if tries < TRIES && self.were_removed(&spool.contents).await => tries += 1,
                other => return other,
            }
        }
    }

    /// Whether some of these contents are gone, or lie elsewhere: versions were removed meanwhile.
    async fn were_removed(&self, contents: &[Blob]) -> bool {
        for blob in contents {
            let now = self.database.blob(&blob.sha256).await;
            let is_gone = match now {
                Ok(now) => now.place != blob.place,
                Err(error) => matches!(error, RegistryError::NotFound(_)),
            };
            if is_gone {
                return true;
            }
        }
        false
    }

    async fn write_store(
        &self,
        target: &Contents,
        spool: &mut Spool,
    ) -> Result<BackedUp, RegistryError> {
        target.probe().await?;
        let there = target.list(CONTENTS).await?;
        let there: BTreeMap<String, u64> =
            there.into_iter().map(|file| (file.name, file.bytes)).collect();
        let (mut copied, mut copied_bytes) = (0, 0);
        for blob in &spool.contents {
            let (name, stored) = (content_name(&blob.place)?, blob.stored()?);
            if there.get(&name) == Some(&stored.1) {
                continue;
            }
            let mut writer = target.create(&name, (stored.1, Taken::Replace)).await?;
            let own = storage::name(&blob.place)?;
            let found = match self.storage.contents.read(&own).await {
                Ok(reader) => transfer(reader, &mut writer).await,
                Err(error) => Err(error),
            };
            match found.and_then(|found| self.storage.expect(&own, stored, found)) {
                Ok(()) => writer.finish().await?,
                Err(error) => {
                    writer.discard().await;
                    return Err(error);
                }
            }
            copied += 1;
            copied_bytes += stored.1;
        }
        let source = Source::Store(target.clone());
        let snapshot = next_name(&source.names().await?);
        let (path, bytes) = spool.finish()?;
        let name = format!("{SNAPSHOTS}/{snapshot}{ENDING}");
        let mut writer = target.create(&name, (bytes, Taken::Refuse)).await?;
        match transfer(Reader::part(path, (0, bytes))?, &mut writer).await {
            Ok(_) => writer.finish().await?,
            Err(error) => {
                writer.discard().await;
                return Err(error);
            }
        }
        Ok(backed_up(snapshot, spool, (copied, copied_bytes)))
    }

    async fn write_tar(
        &self,
        path: &std::path::Path,
        spool: &mut Spool,
    ) -> Result<BackedUp, RegistryError> {
        let mut tar = tar::Writer::create(path)?;
        let mut copied_bytes = 0;
        for blob in &spool.contents {
            let (own, stored) = (storage::name(&blob.place)?, blob.stored()?);
            let reader = self.storage.contents.read(&own).await?;
            let found = tar.add(&content_name(&blob.place)?, stored.1, reader).await?;
            self.storage.expect(&own, stored, found)?;
            copied_bytes += stored.1;
        }
        let snapshot = next_name(&[]);
        let (file, bytes) = spool.finish()?;
        let reader = Reader::part(file, (0, bytes))?;
        tar.add(&format!("{SNAPSHOTS}/{snapshot}{ENDING}"), bytes, reader).await?;
        tar.finish()?;
        let copied = spool.contents.len();
        Ok(backed_up(snapshot, spool, (copied, copied_bytes)))
    }
}

fn backed_up(snapshot: String, spool: &Spool, (copied, copied_bytes): (usize, u64)) -> BackedUp {
    let (counts, contents) = (&spool.counts, spool.contents.len());
    let (models, versions, events) = (counts.models, counts.versions, counts.events);
    BackedUp { snapshot, models, versions, events, contents, copied, copied_bytes }
}

/// A name that comes after all others, whatever the clock says. The second part keeps two apart that are
/// made at once.
fn next_name(names: &[(String, u64)]) -> String {
    let number = |(name, _): &(String, u64)| name.split('-').next()?.parse::<u32>().ok();
    let last = names.iter().filter_map(number).max().unwrap_or(0);
    format!("{:06}-{:08x}", last.saturating_add(1), fastrand::u32(..))
}
