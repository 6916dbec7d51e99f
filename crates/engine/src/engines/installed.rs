//! Engines in the data directory: `engines/<engine>/<version>/` holds a library and
//! `manifest.json`, which says what it is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "manifest.json";

/// An engine's library that was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Version of the library.
    pub version: String,
    /// SHA-256 of the library, in hexadecimal.
    pub sha256: String,
    /// What it was taken from: the name of a wheel.
    pub source: String,
    /// Where the library lies.
    pub path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    engine: String,
    version: String,
    file: String,
    sha256: String,
    source: String,
}

impl Installed {
    /// Checks that the library is still what was installed.
    pub fn verify(&self) -> Result<(), String> {
        let shown = self.path.display();
        let found =
            sha256_file(&self.path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        if found == self.sha256 {
            return Ok(());
        }
        Err(format!(
            "{shown} has the SHA-256 {found}, expected {}; install it again with `modelyard engine \
             install onnxruntime --version {}`",
            self.sha256, self.version
        ))
    }
}

/// Where an engine of this version lies.
pub(super) fn folder(data_dir: &Path, engine: &str, version: &str) -> PathBuf {
    data_dir.join("engines").join(engine).join(version)
}

/// What is installed of `engine`, newest first. Folders without a readable manifest are passed
/// over.
pub(super) fn find(data_dir: &Path, engine: &str) -> Vec<Installed> {
    let Ok(folders) = fs::read_dir(data_dir.join("engines").join(engine)) else {
        return Vec::new();
    };
    let mut found: Vec<Installed> =
        folders.flatten().filter_map(|folder| read(&folder.path())).collect();
    found.sort_by_key(|installed| std::cmp::Reverse(version_key(&installed.version)));
    found
}

fn read(folder: &Path) -> Option<Installed> {
    let manifest = fs::read(folder.join(MANIFEST)).ok()?;
    let manifest: Manifest = serde_json::from_slice(&manifest).ok()?;
    // The library lies beside its manifest, whatever the manifest says.
    let file = Path::new(&manifest.file).file_name()?;
    Some(Installed {
        version: manifest.version,
        sha256: manifest.sha256,
        source: manifest.source,
        path: folder.join(file),
    })
}

fn version_key(version: &str) -> Vec<u64> {
    version.split(|letter: char| !letter.is_ascii_digit()).flat_map(str::parse).collect()
}

/// Writes a manifest beside a library that is in place already.
pub(super) fn record(engine: &str, installed: &Installed) -> io::Result<()> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let manifest = Manifest {
        engine: engine.to_owned(),
        version: installed.version.clone(),
        file: name(&installed.path).unwrap_or_default(),
        sha256: installed.sha256.clone(),
        source: installed.source.clone(),
    };
    let mut text = serde_json::to_vec_pretty(&manifest)?;
    text.push(b'\n');
    write_atomically(&installed.path.with_file_name(MANIFEST), |file| file.write_all(&text))
}

/// Writes a file so that it is there whole or not at all.
pub(super) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // As other files are, not for this user alone: data folders are shared.
    let mode = fs::Permissions::from_mode(0o666);
    let mut temporary = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
    write(temporary.as_file_mut())?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// SHA-256 of a file, in hexadecimal.
pub(super) fn sha256_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(data_dir: &Path, version: &str) -> Installed {
        let folder = folder(data_dir, "e", version);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("lib.so");
        fs::write(&path, version).unwrap();
        let sha256 = sha256_file(&path).unwrap();
        let installed =
            Installed { version: version.into(), sha256, source: "a wheel".into(), path };
        record("e", &installed).unwrap();
        installed
    }

    #[test]
    fn newest_version_comes_first() {
        let data_dir = tempfile::tempdir().unwrap();
        let old = install(data_dir.path(), "1.9.0");
        let new = install(data_dir.path(), "1.28.0");
        fs::create_dir_all(folder(data_dir.path(), "e", "9.0.0")).unwrap();
        assert_eq!(find(data_dir.path(), "e"), [new, old]);
        assert!(find(data_dir.path(), "other").is_empty());
    }

    #[test]
    fn what_is_installed_may_be_read_as_other_files_may() {
        let folder = tempfile::tempdir().unwrap();
        let (usual, installed) = (folder.path().join("usual"), folder.path().join("installed"));
        fs::write(&usual, "").unwrap();
        write_atomically(&installed, |_| Ok(())).unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&installed), mode(&usual));
    }

    #[test]
    fn a_changed_library_is_noticed() {
        let data_dir = tempfile::tempdir().unwrap();
        let installed = install(data_dir.path(), "1.0.0");
        assert_eq!(installed.verify(), Ok(()));
        fs::write(&installed.path, "changed").unwrap();
        assert!(installed.verify().unwrap_err().contains(&installed.sha256));
    }

    #[test]
    fn a_manifest_cannot_point_elsewhere() {
        let data_dir = tempfile::tempdir().unwrap();
        let installed = install(data_dir.path(), "1.0.0");
        let manifest = installed.path.with_file_name(MANIFEST);
        let text = fs::read_to_string(&manifest).unwrap().replace("lib.so", "/etc/passwd");
        fs::write(&manifest, text).unwrap();
        let found = find(data_dir.path(), "e").remove(0);
        assert_eq!(found.path.parent(), installed.path.parent());
    }
}
