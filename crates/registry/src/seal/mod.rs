//! Encryption at rest: AES-256-GCM under keys that lie elsewhere.
//!
//! Each content is encrypted by a random data key of its own (`stream`), and that key, encrypted by a
//! key-encryption key, stands in the database beside the content's place (its *seal*). So keys are
//! changed without touching contents, and who has the contents and the database still has nothing.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | keys, seals |
//! | `stream` | a content in chunks |

pub(crate) mod stream;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::io;
use crate::keys::{KeyId, read_key, refuse_open_file};
use crate::{Digest, RegistryError};

/// The only algorithm of schema 1: data keys by AES-256-GCM, contents by STREAM over it (`stream`).
const ALGORITHM: &str = "AES-256-GCM-STREAM-1MiB";
/// What stands before the key when its name is made.
const CONTEXT: &[u8] = b"modelyard encryption key v1\n";

/// A key that data keys are encrypted by.
#[derive(Clone)]
pub struct EncryptionKey(Arc<Zeroizing<[u8; 32]>>);

/// The keys that a process has: the first encrypts, all decrypt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring(Vec<EncryptionKey>);

/// How a content is encrypted, as it stands in the database: JSON. An empty text is no seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub(crate) algorithm: String,
    /// The key that the data key is encrypted by.
    pub(crate) key: KeyId,
    /// Nonce and encrypted data key, in hexadecimal digits.
    pub(crate) data_key: String,
    /// The digest of the encrypted content, so that it can be checked without any key.
    pub(crate) sha256: Digest,
    /// Its size.
    pub(crate) bytes: u64,
}

/// A data key.
pub(crate) type DataKey = Zeroizing<[u8; 32]>;

impl EncryptionKey {
    /// A new key from the operating system's random bytes.
    pub fn generate() -> Result<EncryptionKey, RegistryError> {
        Ok(EncryptionKey(Arc::new(random_key()?)))
    }

    /// A key of 64 hexadecimal digits, as `openssl rand -hex 32` writes it.
    pub fn parse(text: &str) -> Result<EncryptionKey, RegistryError> {
        let bytes = text.trim().to_ascii_lowercase().parse::<Digest>();
        let bytes = bytes.map_err(|_| {
            // The text may be a key with a typing mistake: it is not repeated.
            RegistryError::Invalid(
                "wrong encryption key, expected 64 hexadecimal digits; `modelyard keys new --encryption` \
                 makes one"
                    .into(),
            )
        })?;
        Ok(EncryptionKey(Arc::new(Zeroizing::new(*bytes.as_bytes()))))
    }

    /// Whether a file is a key, whoever can read it.
    pub fn is_at(path: &Path) -> bool {
        read_key(path).is_ok_and(|text| EncryptionKey::parse(&text).is_ok())
    }

    /// Reads a key. A file that others can read is refused.
    pub fn read(path: &Path) -> Result<EncryptionKey, RegistryError> {
        let text = Zeroizing::new(read_key(path)?);
        refuse_open_file(path)?;
        let wrong = |error| RegistryError::Invalid(format!("'{}': {error}", path.display()));
        EncryptionKey::parse(&text).map_err(wrong)
    }

    /// The key as 64 hexadecimal digits: a secret.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&**self.0))
    }

    /// What it is called: the first 16 digits of its digest.
    pub fn id(&self) -> KeyId {
        KeyId::of(&[CONTEXT, &**self.0].concat())
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptionKey({})", self.id())
    }
}

impl Keyring {
    pub(crate) fn new(keys: Vec<EncryptionKey>) -> Keyring {
        Keyring(keys)
    }

    /// The key that encrypts, if there is one.
    pub(crate) fn first(&self) -> Option<&EncryptionKey> {
        self.0.first()
    }

    pub(crate) fn has(&self, key: &KeyId) -> bool {
        self.0.iter().any(|own| own.id() == *key)
    }

    /// The data key of a content.
    pub(crate) fn open(&self, seal: &Seal, content: &Digest) -> Result<DataKey, RegistryError> {
        if seal.algorithm != ALGORITHM {
            return Err(RegistryError::Untrusted(format!(
                "content {} is encrypted by '{}', which this modelyard does not know: use a newer one",
                content.short(),
                seal.algorithm.chars().take(60).collect::<String>()
            )));
        }
        let Some(key) = self.0.iter().find(|key| key.id() == seal.key) else {
            return Err(self.missing(&seal.key, content));
        };
        let wrong = || {
            RegistryError::Untrusted(format!(
                "the data key of content {} was tampered with or damaged",
                content.short()
            ))
        };
        let bytes = from_hex(&seal.data_key).ok_or_else(wrong)?;
        let (nonce, wrapped) = bytes.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut wrapped = Zeroizing::new(wrapped.to_vec());
        let opened =
            cipher(&key.0).open_in_place(nonce, Aad::from(content.as_bytes()), &mut wrapped);
        let key = <[u8; 32]>::try_from(&*opened.map_err(|_| wrong())?).map_err(|_| wrong())?;
        Ok(Zeroizing::new(key))
    }

    /// Says that a content is encrypted by a key that is not there.
    fn missing(&self, wanted: &KeyId, content: &Digest) -> RegistryError {
        let given: Vec<String> = self.0.iter().map(|key| key.id().to_string()).collect();
        let given = match given.as_slice() {
            [] => "none was given".to_owned(),
            given => format!("given are {}", given.join(", ")),
        };
        RegistryError::Untrusted(format!(
            "content {} is encrypted by key {wanted}, {given}: name its file by --encryption-key",
            content.short()
        ))
    }
}

impl Seal {
    /// Reads a seal; none where the content is not encrypted.
    pub(crate) fn parse(text: &str) -> Result<Option<Seal>, RegistryError> {
        if text.is_empty() {
            return Ok(None);
        }
        let seal = serde_json::from_str(text).map_err(|error| {
            RegistryError::Untrusted(format!("the seal of a content is damaged: {error}"))
        })?;
        Ok(Some(seal))
    }

    /// As it is stored.
    pub(crate) fn encode(&self) -> Result<String, RegistryError> {
        serde_json::to_string(self)
            .map_err(|error| RegistryError::Invalid(format!("failed to write a seal: {error}")))
    }
}

impl EncryptionKey {
    /// Encrypts a data key, for a content with this digest alone.
    pub(crate) fn wrap(
        &self,
        (data_key, content): (&DataKey, &Digest),
        (sha256, bytes): (Digest, u64),
    ) -> Result<Seal, RegistryError> {
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        let (unique, mut wrapped) = (Nonce::assume_unique_for_key(nonce), data_key.to_vec());
        let aad = Aad::from(content.as_bytes());
        let sealed = cipher(&self.0).seal_in_place_append_tag(unique, aad, &mut wrapped);
        sealed.map_err(|_| RegistryError::Invalid("failed to encrypt a data key".to_owned()))?;
        Ok(Seal {
            algorithm: ALGORITHM.to_owned(),
            key: self.id(),
            data_key: hex(&nonce) + &hex(&wrapped),
            sha256,
            bytes,
        })
    }
}

/// A key of random bytes.
pub(crate) fn random_key() -> Result<DataKey, RegistryError> {
    let mut key = Zeroizing::new([0; 32]);
    random(&mut key[..])?;
    Ok(key)
}

fn random(bytes: &mut [u8]) -> Result<(), RegistryError> {
    SystemRandom::new().fill(bytes).map_err(|_| {
        let source = std::io::Error::other("there are none");
        io("get random bytes from", Path::new("the operating system"))(source)
    })
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("the key of AES-256 has 32 bytes");
    LessSafeKey::new(key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> EncryptionKey {
        EncryptionKey::parse(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_data_key_is_opened_by_its_key_and_for_its_content_alone() {
        let (content, data_key) = (Digest::of(b"content"), random_key().unwrap());
        let seal = key("a").wrap((&data_key, &content), (Digest::of(b"x"), 1)).unwrap();
        let seal = Seal::parse(&seal.encode().unwrap()).unwrap().unwrap();
        let ring = Keyring::new(vec![key("b"), key("a")]);
        assert_eq!(ring.open(&seal, &content).unwrap(), data_key);
        assert!(ring.open(&seal, &Digest::of(b"other")).is_err());
        let error = Keyring::new(vec![key("b")]).open(&seal, &content).unwrap_err().to_string();
        assert!(error.contains(&format!("by key {}", key("a").id())), "{error}");
        assert!(error.contains(&format!("given are {}", key("b").id())), "{error}");
        let last = if seal.data_key.ends_with('0') { "1" } else { "0" };
        for data_key in ["", "zz", &seal.data_key[2..], &format!("{}{last}", &seal.data_key[..119])]
        {
            let broken = Seal { data_key: data_key.to_owned(), ..seal.clone() };
            assert!(ring.open(&broken, &content).is_err(), "{data_key}");
        }
        let newer = Seal { algorithm: "ROT13".into(), ..seal };
        assert!(ring.open(&newer, &content).unwrap_err().to_string().contains("'ROT13'"));
    }

    #[test]
    fn a_key_is_never_shown() {
        let text = "0123456789abcdef".repeat(4);
        let key = EncryptionKey::parse(&format!("{}\n", text.to_uppercase())).unwrap();
        assert_eq!(*key.to_hex(), text);
        assert!(!format!("{key:?}").contains("0123456789abcdef"));
        let error = EncryptionKey::parse(&text[1..]).unwrap_err().to_string();
        assert!(!error.contains("123456"), "{error}");
    }
}
