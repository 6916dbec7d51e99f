//! Gets ONNX Runtime from a Python wheel: fetched by the user's own `pip`, or given as a file.
//!
//! Nothing of the wheel is run but the library that it is fetched for, and that only after its
//! version was found to be the one asked for.

use std::fs;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::installed::{self, Installed};
use crate::Engine;
use crate::onnxruntime::{self, OnnxRuntime};

/// The version that is installed unless told: the newest without telemetry code.
pub const DEFAULT_VERSION: &str = "1.28.0";

/// The largest library that is unpacked. The largest one known has 46 MB.
const MOST_LIBRARY_BYTES: u64 = 1 << 30;

/// The name that the library gets.
const LIBRARY: &str = "libonnxruntime.so";

/// Where to take the wheel from.
#[derive(Clone, Debug)]
pub enum Source {
    /// `pip download` of this version of the package `onnxruntime`.
    Pip {
        /// The version.
        version: String,
    },
    /// A wheel on disk.
    Wheel(PathBuf),
}

/// Why an engine was not installed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum InstallError {
    #[error("expected a version such as {DEFAULT_VERSION}, found '{0}'")]
    Version(String),
    #[error(
        "no pip found (tried {tried}); install Python's pip, or fetch a wheel of onnxruntime \
         elsewhere and pass it with --wheel FILE"
    )]
    NoPip { tried: String },
    #[error("pip could not fetch onnxruntime {version}: {message}")]
    Pip { version: String, message: String },
    #[error("{} is no wheel of onnxruntime: {message}", .path.display())]
    Wheel { path: PathBuf, message: String },
    #[error("the library in {} does not load: {message}", .path.display())]
    Library { path: PathBuf, message: String },
    #[error("cannot {action} {}", .path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
}

/// Installs ONNX Runtime into `data_dir`. What is installed already stays, except for the same
/// version, which is replaced.
pub fn install(data_dir: &Path, source: &Source) -> Result<Installed, InstallError> {
    let parent = data_dir.join("engines").join(onnxruntime::NAME);
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Io { action, path, source }
    };
    fs::create_dir_all(&parent).map_err(io("create folder", &parent))?;
    // Beside its place: a library is renamed there, and some systems forbid code in /tmp.
    let work = tempfile::Builder::new().prefix(".install-").tempdir_in(&parent);
    let work = work.map_err(io("create a folder in", &parent))?;
    let wheel = match source {
        Source::Pip { version } => download(version, work.path())?,
        Source::Wheel(path) => path.clone(),
    };
    let unpacked = work.path().join(LIBRARY);
    unpack(&wheel, &unpacked)?;
    let version = try_out(&wheel, &unpacked)?;
    let folder = installed::folder(data_dir, onnxruntime::NAME, &version);
    fs::create_dir_all(&folder).map_err(io("create folder", &folder))?;
    let path = folder.join(LIBRARY);
    let sha256 = installed::sha256_file(&unpacked).map_err(io("read", &unpacked))?;
    fs::rename(&unpacked, &path).map_err(io("write", &path))?;
    let wheel_name = wheel.file_name().map(|name| name.to_string_lossy().into_owned());
    let installed = Installed { version, sha256, source: wheel_name.unwrap_or_default(), path };
    installed::record(onnxruntime::NAME, &installed).map_err(io("write a manifest in", &folder))?;
    Ok(installed)
}

/// Ways to call pip.
const PIPS: [&[&str]; 4] =
    [&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"], &["pip"]];

/// Lets pip fetch a wheel into `folder`.
fn download(version: &str, folder: &Path) -> Result<PathBuf, InstallError> {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    if version.is_empty() || !version.chars().all(letters) {
        return Err(InstallError::Version(version.chars().take(40).collect()));
    }
    let call = |pip: &[&str]| {
        let mut command = Command::new(pip[0]);
        command.args(&pip[1..]);
        command
    };
    let works = |pip: &&&[&str]| {
        call(pip).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let pip = PIPS
        .iter()
        .find(works)
        .ok_or_else(|| InstallError::NoPip { tried: PIPS.map(|pip| pip.join(" ")).join(", ") })?;
    let mut message = String::new();
    // A Python that is too old or too new for the package still fetches a wheel made for another
    // one: the library in it is the same.
    for python in [None, Some("3.12"), Some("3.11"), Some("3.13")] {
        let mut command = call(pip);
        command.args(["download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]);
        command.arg("--dest").arg(folder);
        if let Some(python) = python {
            command.args(["--python-version", python]);
        }
        let output = command.arg(format!("onnxruntime=={version}")).output();
        match output {
            Ok(output) if output.status.success() => {
                return find_wheel(folder, version);
            }
            Ok(output) if message.is_empty() => message = last_error(&output.stderr),
            Ok(_) => {}
            Err(error) => message = error.to_string(),
        }
    }
    Err(InstallError::Pip { version: version.to_owned(), message })
}

/// The last line of pip's complaints that says something.
fn last_error(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().rfind(|line| line.starts_with("ERROR:"));
    error.or_else(|| lines().next_back()).unwrap_or("it said nothing").chars().take(500).collect()
}

fn find_wheel(folder: &Path, version: &str) -> Result<PathBuf, InstallError> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files
        .into_iter()
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| InstallError::Pip {
            version: version.to_owned(),
            message: "it left no wheel behind".into(),
        })
}

/// Unpacks the library of a wheel to `target`.
fn unpack(wheel: &Path, target: &Path) -> Result<(), InstallError> {
    let wrong = |message: String| InstallError::Wheel { path: wheel.to_owned(), message };
    let file = fs::File::open(wheel).map_err(|source| InstallError::Io {
        action: "open",
        path: wheel.to_owned(),
        source,
    })?;
    let mut archive =
        zip::ZipArchive::new(file).map_err(|error| wrong(format!("no zip archive: {error}")))?;
    let index = library_index(&mut archive)
        .ok_or_else(|| wrong("it holds no onnxruntime/capi/libonnxruntime.so".into()))?;
    let entry = archive.by_index(index).map_err(|error| wrong(error.to_string()))?;
    if entry.size() > MOST_LIBRARY_BYTES {
        return Err(wrong(format!(
            "its library has {} bytes, at most {MOST_LIBRARY_BYTES} are unpacked",
            entry.size()
        )));
    }
    // The size that the archive states is not trusted.
    let mut entry = entry.take(MOST_LIBRARY_BYTES);
    installed::write_atomically(target, |file| io::copy(&mut entry, file).map(drop))
        .map_err(|error| wrong(format!("cannot unpack its library: {error}")))
}

/// The entry that is the library itself: the largest one of its name (others are links to it).
fn library_index(archive: &mut zip::ZipArchive<impl Read + Seek>) -> Option<usize> {
    let indices = 0..archive.len();
    indices
        .filter_map(|index| {
            let entry = archive.by_index_raw(index).ok()?;
            let found = entry.name().ok()?.starts_with("onnxruntime/capi/libonnxruntime.so");
            found.then(|| (entry.size(), index))
        })
        .max()
        .map(|(_, index)| index)
}

/// Loads the library; gives its version.
fn try_out(wheel: &Path, library: &Path) -> Result<String, InstallError> {
    let wrong = |message| InstallError::Library { path: wheel.to_owned(), message };
    OnnxRuntime::open(library).map(|engine| engine.version()).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn wheel(folder: &Path, entries: &[(&str, &str)]) -> PathBuf {
        let path = folder.join("onnxruntime-1.28.0-test.whl");
        let mut writer = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for (name, content) in entries {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        path
    }

    #[test]
    fn says_what_is_wrong_with_a_wheel_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        let library = "onnxruntime/capi/libonnxruntime.so.1.28.0";
        for (entries, expected) in [
            (vec![("other.txt", "")], "holds no onnxruntime/capi"),
            (vec![(library, "no ELF"), ("../evil", "")], "does not load"),
        ] {
            let source = Source::Wheel(wheel(folder.path(), &entries));
            let error = install(&data_dir, &source).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let no_zip = folder.path().join("no.whl");
        fs::write(&no_zip, b"PK no").unwrap();
        assert!(matches!(
            install(&data_dir, &Source::Wheel(no_zip)),
            Err(InstallError::Wheel { .. })
        ));
        assert!(installed::find(&data_dir, onnxruntime::NAME).is_empty());
        let left = fs::read_dir(data_dir.join("engines/onnxruntime")).unwrap().count();
        assert_eq!(left, 0);
        assert!(!folder.path().join("evil").exists());
    }

    #[test]
    fn versions_are_no_arguments_to_pip() {
        for version in ["", "1.0 --index-url x", "--help", "1;2"] {
            let source = Source::Pip { version: version.into() };
            let folder = tempfile::tempdir().unwrap();
            let error = install(folder.path(), &source).unwrap_err();
            assert!(matches!(error, InstallError::Version(_)), "{error}");
        }
    }
}
