//! What a request to load a model brings along, in place of what lies beside the model.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

use super::triton::TritonConfig;
use crate::config::layer::Layer;
use crate::config::mistake::Mistakes;

/// What came with a request to load.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The model's configuration as JSON, instead of `config.pbtxt` and over `model.toml`.
    pub(crate) config: Option<String>,
    /// The model itself, and the name of its folder; removed with the last version made of it.
    files: Option<(TempDir, PathBuf)>,
}

impl Given {
    /// Keeps files, by their paths such as `1/model.onnx`, for as long as this lives. Says what is
    /// wrong with a path, or why they cannot be kept.
    pub(crate) fn new(
        model: &str,
        config: Option<String>,
        files: &[(&str, &[u8])],
    ) -> Result<Given, String> {
        if files.is_empty() {
            return Ok(Given { config, files: None });
        }
        if config.is_none() {
            return Err("expected parameter 'config' beside files: a model given whole needs its \
                        configuration, such as {}"
                .into());
        }
        let failed = |error: io::Error| format!("failed to keep the given files: {error}");
        let temporary = TempDir::with_prefix("modelyard-given-").map_err(failed)?;
        let folder = temporary.path().join(model);
        for (path, content) in files {
            let path = folder.join(plain(path)?);
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
            fs::write(&path, content).map_err(failed)?;
        }
        Ok(Given { config, files: Some((temporary, folder)) })
    }

    /// The folder of the model, where it was given whole.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.files.as_ref().map(|(_, folder)| folder.clone())
    }
}

/// A path that stays below the folder it is joined to.
fn plain(path: &str) -> Result<&Path, String> {
    const LONGEST: usize = 512;
    let components = || Path::new(path).components();
    let is_plain = components().next().is_some()
        && components().all(|component| matches!(component, Component::Normal(_)))
        && path.len() <= LONGEST
        && !path.contains('\0')
        && !path.ends_with('/');
    is_plain.then_some(Path::new(path)).ok_or_else(|| {
        let shown: String = path.chars().take(64).collect();
        format!("wrong file path '{}', expected one such as '1/model.onnx'", shown.escape_debug())
    })
}

/// What is said in Triton's words: what was given, or else the file beside the model.
pub(super) fn triton(
    given: Option<&Given>,
    pbtxt: Option<&Path>,
    mistakes: &mut Mistakes,
) -> TritonConfig {
    match (given.and_then(|given| given.config.as_ref()), pbtxt) {
        (Some(json), _) => TritonConfig::from_json(json, mistakes),
        (None, Some(path)) => TritonConfig::read(path, mistakes),
        (None, None) => TritonConfig::default(),
    }
}

/// What lies beside a model, strongest first: what was given goes over `model.toml`, and that over
/// `config.pbtxt`.
pub(super) fn layers<'a>(
    given: Option<&Given>,
    own: &'a Layer,
    triton: &'a TritonConfig,
) -> [&'a Layer; 2] {
    match given.is_some_and(|given| given.config.is_some()) {
        true => [&triton.layer, own],
        false => [own, &triton.layer],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_below_their_folder_and_go_with_it() {
        let config = || Some("{}".to_owned());
        let given = Given::new("m", config(), &[("1/model.onnx", b"graph")]).unwrap();
        let folder = given.folder().unwrap();
        assert_eq!(fs::read(folder.join("1/model.onnx")).unwrap(), b"graph");
        drop(given);
        assert!(!folder.exists());
        for path in ["", "/etc/passwd", "../x", "1/../../x", ".", "./1/x", "1/x/", "1/\0"] {
            let error = Given::new("m", config(), &[(path, b"")]).unwrap_err();
            assert!(error.contains("wrong file path"), "{path}: {error}");
        }
        let error = Given::new("m", None, &[("1/model.onnx", b"")]).unwrap_err();
        assert!(error.contains("'config'"), "{error}");
    }
}
