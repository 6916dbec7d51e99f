//! Ed25519 keys (RFC 8032) that manifests are signed with.
//!
//! Keys lie in files as PEM (PKCS#8 and SubjectPublicKeyInfo, RFC 8410), which `openssl pkey` reads too.

use std::fmt;
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signature as RawSignature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::error::io;
use crate::{Digest, RegistryError};

/// What stands before the bytes that are signed, so that no signature made for anything else holds.
const CONTEXT: &[u8] = b"modelyard manifest v1\n";
/// The largest file that may be a key.
const KEY_BYTES_MAX: u64 = 64 << 10;

/// What a public key is called: the first 16 digits of its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyId(String);

/// A key that signs.
pub struct Signer(SigningKey);

/// A key that signatures are checked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier(VerifyingKey);

/// A signature of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key that made it.
    pub key: KeyId,
    /// The signature, in hexadecimal digits.
    pub signature: String,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyId {
    /// The name of a key with these bytes.
    pub(crate) fn of(key: &[u8]) -> KeyId {
        KeyId(Digest::of(key).to_string()[..16].to_owned())
    }
}

impl Signer {
    /// A key of 32 random bytes, which must come from the operating system.
    pub fn new(seed: &[u8; 32]) -> Signer {
        Signer(SigningKey::from_bytes(seed))
    }

    /// Whether a file is a private key, whoever can read it.
    pub fn is_at(path: &Path) -> bool {
        read_key(path).is_ok_and(|text| SigningKey::from_pkcs8_pem(&text).is_ok())
    }

    /// Reads a private key. A file that others can read is refused.
    pub fn read(path: &Path) -> Result<Signer, RegistryError> {
        refuse_open_file(path)?;
        let text = read_key(path)?;
        let key =
            SigningKey::from_pkcs8_pem(&text).map_err(|error| wrong(path, "private", &error))?;
        Ok(Signer(key))
    }

    /// The private key as PEM.
    pub fn to_pem(&self) -> Result<String, RegistryError> {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF);
        let pem =
            pem.map_err(|error| RegistryError::Invalid(format!("failed to write a key: {error}")))?;
        Ok(pem.to_string())
    }

    /// The key that its signatures are checked by.
    pub fn verifier(&self) -> Verifier {
        Verifier(self.0.verifying_key())
    }

    /// Signs a manifest.
    pub fn sign(&self, manifest: &[u8]) -> Signature {
        let raw = self.0.sign(&[CONTEXT, manifest].concat());
        let signature = raw.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        Signature { key: self.verifier().id(), signature }
    }
}

impl Verifier {
    /// Reads public keys: files, and all files of folders whose names end in `.pub`.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Verifier>, RegistryError> {
        let mut keys = Vec::new();
        for path in paths {
            if !path.is_dir() {
                keys.push(Verifier::read(path)?);
                continue;
            }
            for entry in std::fs::read_dir(path).map_err(io("read folder", path))? {
                let file = entry.map_err(io("read folder", path))?.path();
                if file.extension().is_some_and(|extension| extension == "pub") {
                    keys.push(Verifier::read(&file)?);
                }
            }
        }
        Ok(keys)
    }

    /// Reads a public key.
    pub fn read(path: &Path) -> Result<Verifier, RegistryError> {
        let text = read_key(path)?;
        let key = VerifyingKey::from_public_key_pem(&text);
        Ok(Verifier(key.map_err(|error| wrong(path, "public", &error))?))
    }

    /// The public key as PEM.
    pub fn to_pem(&self) -> Result<String, RegistryError> {
        let pem = self.0.to_public_key_pem(LineEnding::LF);
        pem.map_err(|error| RegistryError::Invalid(format!("failed to write a key: {error}")))
    }

    /// What it is called.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.0.as_bytes())
    }

    /// Whether this key made the signature of these bytes. Weak keys and malleable signatures do not
    /// count (`verify_strict`).
    pub fn accepts(&self, manifest: &[u8], signature: &Signature) -> bool {
        let Some(bytes) = bytes_of(&signature.signature) else { return false };
        let message = [CONTEXT, manifest].concat();
        self.0.verify_strict(&message, &RawSignature::from_bytes(&bytes)).is_ok()
    }
}

/// Checks that one of these keys signed a manifest; says which.
pub fn verify(
    keys: &[Verifier],
    manifest: &[u8],
    signatures: &[Signature],
) -> Result<KeyId, RegistryError> {
    for signature in signatures {
        let of_key = keys.iter().filter(|key| key.id() == signature.key);
        if let Some(key) = of_key.into_iter().find(|key| key.accepts(manifest, signature)) {
            return Ok(key.id());
        }
    }
    let list = |ids: Vec<String>| if ids.is_empty() { "none".into() } else { ids.join(", ") };
    let (known, signed) = (
        list(keys.iter().map(|key| key.id().to_string()).collect()),
        list(signatures.iter().map(|signature| signature.key.to_string()).collect()),
    );
    Err(RegistryError::Untrusted(format!(
        "no trusted key signed it: signed by {signed}, trusted are {known}"
    )))
}

fn bytes_of(text: &str) -> Option<[u8; 64]> {
    let mut bytes = [0; 64];
    if text.len() != 128 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

pub(crate) fn read_key(path: &Path) -> Result<String, RegistryError> {
    let size = std::fs::metadata(path).map_err(io("read key", path))?.len();
    if size > KEY_BYTES_MAX {
        let text = format!("'{}' has {size} bytes: expected a key", path.display());
        return Err(RegistryError::Invalid(text));
    }
    std::fs::read_to_string(path).map_err(io("read key", path))
}

fn wrong(path: &Path, what: &str, error: &dyn fmt::Display) -> RegistryError {
    RegistryError::Invalid(format!(
        "'{}' is no {what} Ed25519 key in PEM ({error}); `modelyard keys new` makes one",
        path.display()
    ))
}

/// Refuses a private key that others can read.
#[cfg(unix)]
pub(crate) fn refuse_open_file(path: &Path) -> Result<(), RegistryError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(io("read key", path))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(RegistryError::Invalid(format!(
        "others can read the private key '{}' (mode {:o}): chmod 600 it",
        path.display(),
        mode & 0o777
    )))
}

#[cfg(not(unix))]
pub(crate) fn refuse_open_file(_: &Path) -> Result<(), RegistryError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_rfc_8410() {
        // The private key of the RFC's section 10.3, and its public key of 10.1.
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("key.pem");
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        std::fs::write(&path, pem).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let signer = Signer::read(&path).unwrap();
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(signer.verifier().to_pem().unwrap(), public);
    }

    #[test]
    fn only_the_signed_bytes_under_a_trusted_key_are_accepted() {
        let (signer, other) = (Signer::new(&[7; 32]), Signer::new(&[8; 32]));
        let signature = signer.sign(b"manifest");
        let keys = [other.verifier(), signer.verifier()];
        assert_eq!(
            verify(&keys, b"manifest", std::slice::from_ref(&signature)).unwrap(),
            signer.verifier().id()
        );
        assert!(verify(&keys, b"manifesto", std::slice::from_ref(&signature)).is_err());
        let error = verify(&keys[..1], b"manifest", std::slice::from_ref(&signature)).unwrap_err();
        assert!(error.to_string().contains(&signer.verifier().id().to_string()), "{error}");
        assert!(
            verify(&keys, b"manifest", &[]).unwrap_err().to_string().contains("signed by none")
        );
        let claimed = Signature { key: other.verifier().id(), ..signature.clone() };
        assert!(verify(&keys, b"manifest", &[claimed]).is_err());
        for text in ["", "zz", &"é".repeat(64), &signature.signature[1..]] {
            let broken = Signature { signature: text.to_owned(), ..signature.clone() };
            assert!(verify(&keys, b"manifest", &[broken]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, Signer::new(&[1; 32]).to_pem().unwrap()).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert!(Signer::read(&path).err().unwrap().to_string().contains("chmod 600"));
        std::fs::write(folder.path().join("text"), "hello").unwrap();
        let error = Verifier::read(&folder.path().join("text")).unwrap_err().to_string();
        assert!(error.contains("is no public Ed25519 key"), "{error}");
    }
}
