//! The file that tells others where this server listens: with port 0 nobody knows beforehand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use modelyard_server::Addresses;

use crate::files;

/// The file, removed when this is dropped: an address where nobody listens is worse than none.
pub(super) struct AddressFile {
    path: PathBuf,
    /// What this server wrote.
    text: String,
}

impl AddressFile {
    /// Removes what an earlier run left, so that nobody takes it for this one's.
    pub(super) fn new(path: &Path) -> anyhow::Result<AddressFile> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| {
                    format!("failed to remove the old address file '{}'", path.display())
                })
            }
            _ => Ok(AddressFile { path: path.to_owned(), text: String::new() }),
        }
    }

    /// Writes `{"http":"HOST:PORT","grpc":…,"metrics":…}`; what does not listen is null. Readers
    /// see the whole file or none.
    pub(super) fn write(&mut self, addresses: &Addresses) -> anyhow::Result<()> {
        let json = serde_json::json!({
            "http": addresses.http,
            "grpc": addresses.grpc,
            "metrics": addresses.metrics,
        });
        self.text = format!("{json}\n");
        files::write_atomically(&self.path, self.text.as_bytes())
            .context("failed to write the address file")
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Another server may have taken the place meanwhile.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(port: u16) -> Addresses {
        Addresses { http: Some(([127, 0, 0, 1], port).into()), grpc: None, metrics: None }
    }

    #[test]
    fn the_file_is_there_as_long_as_its_server() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("addresses.json");
        fs::write(&path, "old").unwrap();
        let mut file = AddressFile::new(&path).unwrap();
        assert!(!path.exists());
        file.write(&listening(80)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"grpc\":null,\"http\":\"127.0.0.1:80\",\"metrics\":null}\n");
        let mut successor = AddressFile::new(&path).unwrap();
        successor.write(&listening(81)).unwrap();
        drop(file);
        assert!(path.exists(), "the file of another server was removed");
        drop(successor);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let mut file = AddressFile::new(Path::new("/nowhere/at/all.json")).unwrap();
        let error = format!("{:#}", file.write(&listening(80)).unwrap_err());
        assert!(error.contains("/nowhere/at/all.json"), "{error}");
    }
}
