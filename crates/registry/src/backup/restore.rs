//! A registry from a backup: all of it, checked before anything of it counts.

use serde::Serialize;

use super::snapshot::Spool;
use super::{Archive, ENDING, SNAPSHOTS, Source, content_name};
use crate::contents::Taken;
use crate::database::blobs::Blob;
use crate::database::events::Actor;
use crate::storage::{self, transfer};
use crate::{Registry, RegistryError};

/// Faults that are named.
const NAMED_MOST: usize = 10;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The name of the snapshot.
    pub snapshot: String,
    /// Models.
    pub models: u64,
    /// Versions.
    pub versions: u64,
    /// Lines of the log.
    pub events: u64,
    /// Contents.
    pub contents: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Registry {
    /// Fills this registry, which must be empty, from a snapshot: the newest unless one is named. Where
    /// anything is damaged or missing, nothing is restored.
    pub async fn restore(
        &self,
        from: &Archive,
        (snapshot, actor): (Option<&str>, &Actor),
    ) -> Result<Restored, RegistryError> {
        let source = from.source()?;
        let names = source.names().await?;
        let name = match snapshot {
            Some(wanted) => names.iter().find(|(name, _)| name == wanted),
            None => names.last(),
        };
        let Some((name, _)) = name else {
            let known: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
            return Err(RegistryError::NotFound(format!(
                "the backup has no snapshot{}, there are: {}",
                snapshot.map(|name| format!(" '{name}'")).unwrap_or_default(),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        };
        let mut spool = Spool::new()?;
        let mut reader = source.read(&format!("{SNAPSHOTS}/{name}{ENDING}")).await?;
        while let Some(piece) = reader.next().await? {
            spool.write_bytes(&piece)?;
        }
        spool.check()?;
        // Said again when all is written; now it saves the work.
        self.database.require_empty().await?;
        // What is left over where this fails harms nothing, and `fsck` removes it. Here it must stay: it may
        // be what survived of the registry that was lost, or of somebody who restores at the same moment.
        self.fetch_contents(&source, &spool.contents).await?;
        self.database.load(spool.lines()?, (actor, name)).await?;
        let bytes = spool.contents.iter().map(|blob| blob.bytes).sum();
        let (counts, contents) = (spool.counts, spool.contents.len());
        let (models, versions, events) = (counts.models, counts.versions, counts.events);
        Ok(Restored { snapshot: name.clone(), models, versions, events, contents, bytes })
    }

    /// Copies all contents, each checked. Nothing refers to them yet.
    async fn fetch_contents(&self, source: &Source, blobs: &[Blob]) -> Result<(), RegistryError> {
        let mut faults = Vec::new();
        for blob in blobs {
            match self.fetch_content(source, blob).await {
                Ok(()) => {}
                // Of these there is no more to be learned.
                Err(Fault::Here(error)) => return Err(error),
                Err(Fault::InBackup(text)) => faults.push(text),
            }
        }
        if faults.is_empty() {
            return Ok(());
        }
        let more = match faults.len().saturating_sub(NAMED_MOST) {
            0 => String::new(),
            more => format!("; and {more} more"),
        };
        faults.truncate(NAMED_MOST);
        Err(RegistryError::Untrusted(format!(
            "the backup is damaged, nothing was restored: {}{more}",
            faults.join("; ")
        )))
    }

    async fn fetch_content(&self, source: &Source, blob: &Blob) -> Result<(), Fault> {
        let (name, wanted) = (content_name(&blob.place)?, blob.stored()?);
        let in_backup = |text: &str| Fault::InBackup(format!("content '{name}' {text}"));
        let reader = match source.read(&name).await {
            Ok(reader) => reader,
            Err(error) if is_missing(&error) => return Err(in_backup("is missing")),
            Err(error) => return Err(Fault::Here(error)),
        };
        let own = storage::name(&blob.place)?;
        // A restore that died may have left it.
        let how = (wanted.1, Taken::Replace);
        let mut writer = self.storage.contents.create(&own, how).await?;
        match transfer(reader, &mut writer).await {
            Ok(found) if found == wanted => Ok(writer.finish().await?),
            Ok(_) => {
                writer.discard().await;
                Err(in_backup("was tampered with or damaged"))
            }
            Err(error) => {
                writer.discard().await;
                Err(Fault::Here(error))
            }
        }
    }
}

/// Why a content was not copied.
enum Fault {
    /// Something failed that has nothing to do with what is in the backup.
    Here(RegistryError),
    /// It is not in the backup as it should be.
    InBackup(String),
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Fault {
        Fault::Here(error)
    }
}

fn is_missing(error: &RegistryError) -> bool {
    match error {
        RegistryError::NotFound(_) => true,
        RegistryError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
        RegistryError::Store { source, .. } => source.is_missing(),
        _ => false,
    }
}
