//! The file that tells others where this server listens: with port 0 nobody knows beforehand.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use modelyard_server::Addresses;

/// Removes what an earlier run left, so that nobody takes it for this one's.
pub(super) fn clear(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error)
            .with_context(|| format!("failed to remove the old address file '{}'", path.display())),
        _ => Ok(()),
    }
}

/// Writes `{"http":"HOST:PORT","grpc":…,"metrics":…}`; what does not listen is null. Readers see
/// the whole file or none.
pub(super) fn write(path: &Path, addresses: &Addresses) -> anyhow::Result<()> {
    let text = serde_json::json!({
        "http": addresses.http,
        "grpc": addresses.grpc,
        "metrics": addresses.metrics,
    });
    replace(path, format!("{text}\n").as_bytes())
        .with_context(|| format!("failed to write the address file '{}'", path.display()))
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&temporary, path)).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("addresses.json");
        fs::write(&path, "old").unwrap();
        clear(&path).unwrap();
        clear(&path).unwrap();
        assert!(!path.exists());
        let addresses =
            Addresses { http: Some(([127, 0, 0, 1], 80).into()), grpc: None, metrics: None };
        write(&path, &addresses).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"grpc\":null,\"http\":\"127.0.0.1:80\",\"metrics\":null}\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let addresses = Addresses { http: None, grpc: None, metrics: None };
        let error = write(Path::new("/nowhere/at/all.json"), &addresses).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all.json"));
    }
}
