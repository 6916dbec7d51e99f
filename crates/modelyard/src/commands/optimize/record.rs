//! What was tried, on disk: an interrupted search goes on where it stopped.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_optimize::search::{Recipe, Trial};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::measure::Bench;
use super::options::Args;
use crate::config::Config;
use crate::optimizing::sample::Sample;

/// The first line of a record: what its figures are of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) modelyard: String,
    /// SHA-256 of the original's file, in hexadecimal.
    pub(super) model: String,
    /// SHA-256 of the examples that are answered, and of those that ranges are taken from.
    pub(super) data: [String; 2],
    pub(super) engine: String,
    pub(super) threads: usize,
    /// Examples of a large batch.
    pub(super) batch: usize,
    pub(super) seed: u64,
}

impl Key {
    /// Of a search from this model on these examples.
    pub(super) fn of(
        (path, original): (&Path, &Model),
        (bench, calibration): (&Bench<'_>, &Sample<'_>),
        (args, config): (&Args, &Config),
    ) -> anyhow::Result<Key> {
        let bytes =
            std::fs::read(path).with_context(|| format!("failed to read '{}'", path.display()))?;
        // Weights that lie beside the file count too.
        let weights: Vec<_> =
            original.graph.initializers.iter().filter_map(|constant| constant.bytes()).collect();
        let pieces =
            std::iter::once(bytes.as_slice()).chain(weights.iter().map(|bytes| &bytes[..]));
        Ok(Key {
            modelyard: env!("CARGO_PKG_VERSION").into(),
            model: digest(pieces),
            data: [of_sample(&bench.sample)?, of_sample(calibration)?],
            engine: bench.original.engine.into(),
            threads: config.engine.threads,
            batch: args.batch,
            seed: args.seed,
        })
    }
}

/// SHA-256 of the inputs and targets of a sample, in hexadecimal.
fn of_sample(sample: &Sample<'_>) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    sample.each(|inputs| {
        inputs.tensors.iter().for_each(|tensor| digest.update(tensor.data()));
        digest.update(format!("{:?}", inputs.targets).as_bytes());
        Ok(())
    })?;
    Ok(hexadecimal(&digest.finalize()))
}

/// SHA-256 of some bytes, in hexadecimal.
pub(super) fn digest<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut digest = Sha256::new();
    pieces.into_iter().for_each(|piece| digest.update(piece));
    hexadecimal(&digest.finalize())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder with the trials so far, one a line.
pub(super) struct Record {
    file: File,
    /// What was tried before this run.
    pub(super) trials: Vec<Trial>,
}

impl Record {
    /// Opens the record in a folder, or begins a new one where the one there is of something else.
    pub(super) fn open(folder: &Path, key: &Key) -> anyhow::Result<Record> {
        let path = folder.join("trials.jsonl");
        let context = || format!("failed to use '{}'", path.display());
        std::fs::create_dir_all(folder).with_context(context)?;
        let trials = std::fs::read_to_string(&path).ok().and_then(|text| read(&text, key));
        let file = match &trials {
            Some(trials) => rewritten(&path, key, trials),
            None => {
                forget_models(folder).with_context(context)?;
                rewritten(&path, key, &[])
            }
        };
        Ok(Record { file: file.with_context(context)?, trials: trials.unwrap_or_default() })
    }

    /// The figures of a recipe, if it was tried.
    pub(super) fn find(&self, recipe: &Recipe) -> Option<&Trial> {
        self.trials.iter().find(|trial| trial.recipe == *recipe)
    }

    /// Keeps one more.
    pub(super) fn add(&mut self, trial: &Trial) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(trial)?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("failed to keep what was measured")?;
        self.file.sync_data().context("failed to keep what was measured")
    }
}

/// The trials, if they are of the same model and data. A line that is not whole ends them: it was being
/// written when the search was stopped.
fn read(text: &str, key: &Key) -> Option<Vec<Trial>> {
    let mut lines = text.lines();
    let found: Key = serde_json::from_str(lines.next()?).ok()?;
    (found == *key).then(|| lines.map_while(|line| serde_json::from_str(line).ok()).collect())
}

/// Removes models that were made for another search.
fn forget_models(folder: &Path) -> std::io::Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "onnx") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn rewritten(path: &PathBuf, key: &Key, trials: &[Trial]) -> anyhow::Result<File> {
    let mut text = serde_json::to_string(key)? + "\n";
    for trial in trials {
        text.push_str(&serde_json::to_string(trial)?);
        text.push('\n');
    }
    crate::files::write_atomically(path, text.as_bytes())?;
    Ok(OpenOptions::new().append(true).open(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(model: &str) -> Key {
        Key {
            modelyard: "0".into(),
            model: model.into(),
            data: ["a".into(), "b".into()],
            engine: "rten".into(),
            threads: 1,
            batch: 32,
            seed: 0,
        }
    }

    #[test]
    fn trials_are_there_again_unless_they_are_of_something_else() {
        let folder = tempfile::TempDir::new().unwrap();
        let trial = Trial { recipe: Recipe::default(), outcome: Err("no".into()) };
        Record::open(folder.path(), &key("m")).unwrap().add(&trial).unwrap();
        let path = folder.path().join("trials.jsonl");
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"recipe\": [").unwrap();
        let record = Record::open(folder.path(), &key("m")).unwrap();
        assert_eq!(record.trials, std::slice::from_ref(&trial));
        assert!(record.find(&Recipe::default()).is_some());
        assert_eq!(Record::open(folder.path(), &key("other")).unwrap().trials, []);
    }
}
