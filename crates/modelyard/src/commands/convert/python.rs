//! The answers of the source's own framework, asked through Python where the machine has it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use modelyard_convert::SourceModel;
use modelyard_tensor::{Signature, Tensor};
use serde_json::json;

use super::judge::Question;
use crate::exit::{Exit, ExitWith};
use crate::tensors::{self, npz};

/// Loads a model with its framework and answers questions from `.npz` files.
const SCRIPT: &str = include_str!("against.py");

/// Characters of Python's complaint that are shown.
const COMPLAINT_MAX: usize = 2000;

/// What is asked.
pub(super) struct Model<'m> {
    pub(super) source: &'m dyn SourceModel,
    /// Where it is.
    pub(super) path: &'m Path,
    /// Values of the inputs that were fixed at conversion, by name.
    pub(super) fixed: &'m BTreeMap<String, String>,
}

/// Asks the framework that wrote a model for its answers to each set of inputs.
pub(super) fn answers(
    python: &Path,
    model: &Model<'_>,
    signature: &Signature,
    sets: Vec<Vec<Tensor>>,
) -> anyhow::Result<Vec<Question>> {
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let script = folder.path().join("against.py");
    std::fs::write(&script, SCRIPT).context("failed to write a script for Python")?;
    let names = |specs: &[modelyard_tensor::TensorSpec]| -> Vec<String> {
        specs.iter().map(|spec| spec.name.clone()).collect()
    };
    for (index, inputs) in sets.iter().enumerate() {
        let named: Vec<(String, &Tensor)> =
            inputs.iter().enumerate().map(|(at, tensor)| (format!("in{at}"), tensor)).collect();
        let file = npz::write(named.iter().map(|(name, tensor)| (name.as_str(), *tensor)))?;
        std::fs::write(folder.path().join(format!("in{index}.npz")), file)
            .context("failed to write inputs for Python")?;
    }
    let task = json!({
        "format": format!("{:?}", model.source.format()),
        "path": model.path,
        "fixed": model.fixed,
        "folder": folder.path(),
        "sets": sets.len(),
        "inputs": names(&signature.inputs),
        "outputs": names(&signature.outputs),
    });
    run(python, &script, &task.to_string()).exit_with(Exit::Engine)?;
    let mut questions = Vec::new();
    for (index, inputs) in sets.into_iter().enumerate() {
        let file = tensors::read_file(&folder.path().join(format!("out{index}.npz")))?;
        let arrays = npz::read(&file).context("failed to read the framework's answers")?;
        let mut answers = Vec::new();
        for at in 0..signature.outputs.len() {
            let name = format!("out{at}");
            let found = arrays.iter().find(|(other, _)| *other == name);
            let (_, tensor) = found.context("the framework gave another number of outputs")?;
            answers.push(tensor.clone());
        }
        questions.push(Question { inputs, answers });
    }
    Ok(questions)
}

fn run(python: &Path, script: &Path, task: &str) -> anyhow::Result<()> {
    let output = Command::new(python)
        .arg(script)
        .arg(task)
        .env("TF_CPP_MIN_LOG_LEVEL", "3")
        .output()
        .with_context(|| format!("failed to start '{}'; see --python", python.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let from = complaint.chars().count().saturating_sub(COMPLAINT_MAX);
    let shown: String = complaint.chars().skip(from).collect();
    bail!("the source's framework did not answer in Python ({}):\n{shown}", output.status)
}
