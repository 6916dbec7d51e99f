//! Contents as they lie: under the name of their digest, encrypted where there is a key.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use crate::contents::{Contents, Reader, Taken, Writer};
use crate::database::blobs::Blob;
use crate::digest::Hasher;
use crate::error::io;
use crate::keys::KeyId;
use crate::seal::stream::{Opening, Sealing};
use crate::seal::{DataKey, Keyring, Seal, random_key};
use crate::{Digest, RegistryError};

/// The folder of contents.
pub(crate) const BLOBS: &str = "blobs";
/// Bytes that are encrypted at once.
const PIECE_BYTES: usize = 1 << 20;

/// How far a content was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// It is what was stored.
    Whole,
    /// What lies there is what was stored there; what it is of, this key would show.
    Sealed(KeyId),
}

/// Contents, and the keys that they are encrypted by.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) contents: Contents,
    pub(crate) keys: Keyring,
}

/// The name of the file of a content.
pub(crate) fn name(place: &str) -> Result<String, RegistryError> {
    // Places come from the database: none may lead out of the folder.
    let is_plain = |c: char| c.is_ascii_hexdigit() || c == '.';
    match place.len() > 2 && place.chars().all(is_plain) && !place.starts_with('.') {
        true => Ok(format!("{BLOBS}/{}/{place}", &place[..2])),
        false => Err(RegistryError::Untrusted(format!(
            "the registry's database is damaged: a content lies in '{}'",
            place.escape_debug()
        ))),
    }
}

impl Blob {
    /// The digest and size of its file.
    pub(crate) fn stored(&self) -> Result<(Digest, u64), RegistryError> {
        let seal = Seal::parse(&self.seal)?;
        Ok(seal.map_or((self.sha256, self.bytes), |seal| (seal.sha256, seal.bytes)))
    }
}

impl Storage {
    /// Stores a file in a place of its own. Its content must be what it was said to be. What is there
    /// after that is on disk.
    pub(crate) async fn store(&self, from: &Path, sha256: &Digest) -> Result<Blob, RegistryError> {
        let file = File::open(from).map_err(io("read", from))?;
        let size = file.metadata().map_err(io("read", from))?.len();
        let place = format!("{sha256}.{:016x}", fastrand::u64(..));
        let size = if self.keys.first().is_some() { Sealing::size(size) } else { size };
        let mut writer = self.contents.create(&name(&place)?, (size, Taken::Refuse)).await?;
        match self.fill(&mut writer, BufReader::new(file), (from, sha256)).await {
            Ok((bytes, seal)) => {
                writer.finish().await?;
                Ok(Blob { sha256: *sha256, bytes, place, seal })
            }
            Err(error) => {
                writer.discard().await;
                Err(error)
            }
        }
    }

    /// Copies, encrypts where there is a key; answers the size and the seal.
    async fn fill(
        &self,
        writer: &mut Writer,
        mut file: impl Read,
        (from, sha256): (&Path, &Digest),
    ) -> Result<(u64, String), RegistryError> {
        let mut plain = Hasher::default();
        let mut sealing = match self.keys.first() {
            Some(key) => {
                let data_key = random_key()?;
                Some((key, Sealing::new(&data_key), data_key, Hasher::default()))
            }
            None => None,
        };
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = match file.read(&mut buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                count => &buffer[..count.map_err(io("read", from))?],
            };
            plain.update(piece);
            match &mut sealing {
                Some((_, sealing, _, hasher)) => {
                    let sealed = sealing.push((!piece.is_empty()).then_some(piece))?;
                    hasher.update(&sealed);
                    writer.write(&sealed).await?;
                }
                None => writer.write(piece).await?,
            }
            if piece.is_empty() {
                break;
            }
        }
        let (found, bytes) = plain.finish();
        if found != *sha256 {
            return Err(RegistryError::Conflict(format!(
                "'{}' changed while it was read: its content was {}, now is {}",
                from.display(),
                sha256.short(),
                found.short()
            )));
        }
        let Some((key, _, data_key, hasher)) = sealing else { return Ok((bytes, String::new())) };
        let seal = key.wrap((&data_key, sha256), hasher.finish())?;
        Ok((bytes, seal.encode()?))
    }

    /// Copies a content out, and checks that it is what was stored.
    pub(crate) async fn copy_out(
        &self,
        blob: &Blob,
        bytes: u64,
        to: &Path,
    ) -> Result<(), RegistryError> {
        let name = name(&blob.place)?;
        let key = match Seal::parse(&blob.seal)? {
            Some(seal) => Some(self.keys.open(&seal, &blob.sha256)?),
            None => None,
        };
        let reader = self.contents.read(&name).await?;
        let mut file = File::create_new(to).map_err(io("write", to))?;
        let write = |piece: &[u8]| file.write_all(piece).map_err(io("copy to", to));
        let found = copy(reader, key.map(|key| (key, blob.sha256)), write).await?;
        self.expect(&name, (blob.sha256, bytes), found)?;
        file.sync_all().map_err(io("write", to))
    }

    /// Checks that a content is what was stored.
    pub(crate) async fn check(&self, blob: &Blob, bytes: u64) -> Result<Checked, RegistryError> {
        let name = name(&blob.place)?;
        let seal = Seal::parse(&blob.seal)?;
        let Some(seal) = seal else {
            let reader = self.contents.read(&name).await?;
            let found = copy(reader, None, |_| Ok(())).await?;
            return self.expect(&name, (blob.sha256, bytes), found).map(|()| Checked::Whole);
        };
        if !self.keys.has(&seal.key) {
            let found = copy(self.contents.read(&name).await?, None, |_| Ok(())).await?;
            self.expect(&name, (seal.sha256, seal.bytes), found)?;
            return Ok(Checked::Sealed(seal.key));
        }
        let key = self.keys.open(&seal, &blob.sha256)?;
        let reader = self.contents.read(&name).await?;
        let found = copy(reader, Some((key, blob.sha256)), |_| Ok(())).await?;
        self.expect(&name, (blob.sha256, bytes), found).map(|()| Checked::Whole)
    }

    /// Removes a content. One that is not there is removed.
    pub(crate) async fn remove(&self, place: &str) -> Result<(), RegistryError> {
        self.contents.remove(&name(place)?).await
    }

    /// Compares digest and size.
    pub(crate) fn expect(
        &self,
        name: &str,
        wanted: (Digest, u64),
        found: (Digest, u64),
    ) -> Result<(), RegistryError> {
        expect(&self.contents.show(name), wanted, found)
    }
}

/// Checks that a file holds what it is said to.
pub(crate) fn check_file(path: &Path, wanted: (Digest, u64)) -> Result<(), RegistryError> {
    let file = File::open(path).map_err(io("read content", path))?;
    let found = Digest::copy(file, |_| Ok(())).map_err(io("read", path))?;
    expect(&path.display().to_string(), wanted, found)
}

fn expect(shown: &str, wanted: (Digest, u64), found: (Digest, u64)) -> Result<(), RegistryError> {
    if wanted == found {
        return Ok(());
    }
    Err(RegistryError::Untrusted(format!(
        "content '{shown}' was tampered with or damaged: expected {} bytes with digest {}, found {} with {}",
        wanted.1,
        wanted.0.short(),
        found.1,
        found.0.short()
    )))
}

/// Reads to the end, decrypts where there is a key; answers the digest and size of what was given to
/// `write`.
pub(crate) async fn copy(
    mut reader: Reader,
    key: Option<(DataKey, Digest)>,
    mut write: impl FnMut(&[u8]) -> Result<(), RegistryError>,
) -> Result<(Digest, u64), RegistryError> {
    let mut opening = key.map(|(key, content)| Opening::new(&key, content));
    let mut hasher = Hasher::default();
    loop {
        let piece = reader.next().await?;
        let opened;
        let plain = match &mut opening {
            Some(opening) => {
                opened = opening.push(piece.as_deref())?;
                &opened[..]
            }
            None => piece.as_deref().unwrap_or_default(),
        };
        hasher.update(plain);
        write(plain)?;
        if piece.is_none() {
            return Ok(hasher.finish());
        }
    }
}

/// Copies as it is, to the end; answers digest and size.
pub(crate) async fn transfer(
    mut reader: Reader,
    writer: &mut Writer,
) -> Result<(Digest, u64), RegistryError> {
    let mut hasher = Hasher::default();
    while let Some(piece) = reader.next().await? {
        hasher.update(&piece);
        writer.write(&piece).await?;
    }
    Ok(hasher.finish())
}
