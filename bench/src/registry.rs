//! A registry, a repository folder, and models that differ in nothing but a note.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::check;
use crate::env::Env;

/// Field `metadata_props` of ONNX's `ModelProto`, whose entries are messages.
const METADATA: u8 = 14 << 3 | 2;
/// The key of the note.
const KEY: &[u8] = b"bench";
/// The folder of models, in the one that is removed.
const MODELS: &str = "models";

/// The same model with a note in its metadata, so that its digest is another one. Protobuf takes
/// fields in any order: an entry that is appended is one more entry.
pub(crate) fn noted(model: &[u8], note: usize) -> Vec<u8> {
    let value = format!("{note:08}");
    let mut entry = vec![0x0a, KEY.len() as u8];
    entry.extend_from_slice(KEY);
    entry.extend_from_slice(&[0x12, value.len() as u8]);
    entry.extend_from_slice(value.as_bytes());
    let mut noted = Vec::with_capacity(model.len() + entry.len() + 2);
    noted.extend_from_slice(model);
    noted.extend_from_slice(&[METADATA, entry.len() as u8]);
    noted.extend_from_slice(&entry);
    noted
}

/// A registry in a folder of its own, removed in the end.
pub(crate) struct Registry {
    modelyard: PathBuf,
    folder: TempDir,
}

impl Registry {
    /// An empty one.
    pub(crate) fn new(env: &Env) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix_in("registry-", &env.scratch)?;
        Ok(Registry { modelyard: env.modelyard.clone(), folder })
    }

    /// Where it lies.
    fn path(&self) -> PathBuf {
        self.folder.path().join("registry")
    }

    /// Where a server keeps what it fetched.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Publishes these bytes as the next version, with these flags.
    pub(crate) fn push(&self, model: &str, bytes: &[u8], flags: &[&str]) -> anyhow::Result<()> {
        let file = self.folder.path().join("pushed.onnx");
        std::fs::write(&file, bytes)?;
        let argument = format!("{model}={}", file.display());
        self.run(&[&["push", &argument], flags].concat())
    }

    /// Has an alias point to a version.
    pub(crate) fn point(&self, model: &str, version: usize, alias: &str) -> anyhow::Result<()> {
        self.run(&["alias", &format!("{model}:{version}"), alias])
    }

    /// Flags of a server that follows the alias `stable` of these models.
    pub(crate) fn followed<'a>(&self, models: impl Iterator<Item = &'a str>) -> Vec<String> {
        let text = |path: PathBuf| path.display().to_string();
        let mut flags = vec!["--registry".into(), text(self.path())];
        flags.extend(["--set".into(), format!("registry_cache={}", text(self.cache()))]);
        flags.extend(["--set".into(), "registry_poll=50ms".into()]);
        for model in models {
            flags.extend(["--from-registry".into(), format!("{model}:stable")]);
        }
        flags
    }

    /// Runs the command at the lowest priority: it would be another machine that publishes.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(&self.modelyard).arg("registry").args(arguments);
        command.arg("--registry").arg(self.path()).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("failed to start {command:?}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed: {errors}");
        Ok(())
    }
}

/// A repository folder in Triton's layout, removed in the end.
pub(crate) struct Repository {
    folder: TempDir,
}

impl Repository {
    /// An empty one.
    pub(crate) fn new(env: &Env) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix_in("repository-", &env.scratch)?;
        let repository = Repository { folder };
        std::fs::create_dir(repository.beside(MODELS))?;
        Ok(repository)
    }

    /// Puts a copy of this model into it, as version 1.
    pub(crate) fn add(&self, model: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let file = self.file(model);
        std::fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        Ok(std::fs::write(file, bytes)?)
    }

    /// A place outside of it, on the same disk, that goes with it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts another file, which lies beside, in the place of a model's, in one step.
    pub(crate) fn replace(&self, model: &str, by: &Path) -> anyhow::Result<()> {
        let aside = self.beside("aside");
        std::fs::hard_link(by, &aside)?;
        Ok(std::fs::rename(&aside, self.file(model))?)
    }

    /// Flags of a server that loads these models of it, and others when it is told.
    pub(crate) fn explicit<'a>(&self, models: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut flags = vec!["--repository".into(), self.beside(MODELS).display().to_string()];
        flags.extend(["--model-control-mode".into(), "explicit".into()]);
        for model in models {
            flags.extend(["--load-model".into(), model.into()]);
        }
        flags
    }

    fn file(&self, model: &str) -> PathBuf {
        self.beside(MODELS).join(model).join("1/model.onnx")
    }
}

/// Has the server at this address load or unload a model, and waits until it has.
pub(crate) fn order(address: &str, model: &str, what: &str) -> anyhow::Result<()> {
    let path = format!("/v2/repository/models/{model}/{what}");
    let answer = check::ask(address, "POST", &path, b"")?;
    let text = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == 200, "{path}: status {}: {text}", answer.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_graph::{Limits, Model};

    #[test]
    fn a_note_is_all_that_differs() {
        let model = modelyard_testkit::models::mlp();
        let read = |note| {
            let bytes = noted(&model.encode(), note);
            Model::parse(bytes.into(), &Limits::default()).unwrap()
        };
        assert_eq!(read(7).graph, model.graph);
        assert_eq!(read(7).metadata.get("bench").map(String::as_str), Some("00000007"));
        assert_ne!(read(7).metadata, read(8).metadata);
    }
}
