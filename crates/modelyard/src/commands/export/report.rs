//! What is said about an export.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use modelyard_convert::export::{Exported, Target};
use modelyard_tensor::TensorSpec;
use serde::Serialize;

use crate::commands::convert::prove::Proof;
use crate::commands::convert::report::{
    Mapping, Spec, mapping_lines, proof_lines, signature_lines,
};

/// What is said about an export.
#[derive(Serialize)]
pub(super) struct Report {
    model: String,
    target: &'static str,
    output: String,
    /// Size of all that was written.
    bytes: u64,
    /// Time for reading and exporting, without proof.
    seconds: f64,
    inputs: Vec<Spec>,
    outputs: Vec<Spec>,
    /// How many operators there are of each kind.
    operators: BTreeMap<String, usize>,
    /// Approximations, sizes that were fixed.
    notes: Vec<String>,
    proof: Proof,
    /// By node.
    steps: Vec<Mapping>,
}

impl Report {
    /// Puts together what is known.
    pub(super) fn new(
        (model, output): (&Path, &Path),
        target: Target,
        exported: &Exported,
        proof: Proof,
        time: Duration,
    ) -> Report {
        let signature = exported.model.signature().ok();
        let specs = |specs: Option<&Vec<TensorSpec>>| {
            specs.into_iter().flatten().map(Spec::new).collect::<Vec<_>>()
        };
        let operators = exported.operators().into_iter();
        Report {
            model: model.display().to_string(),
            target: target.name(),
            output: output.display().to_string(),
            bytes: exported.files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
            seconds: time.as_secs_f64(),
            inputs: specs(signature.map(|signature| &signature.inputs)),
            outputs: specs(signature.map(|signature| &signature.outputs)),
            operators: operators.map(|(name, count)| (name.to_owned(), count)).collect(),
            notes: exported.notes.clone(),
            proof,
            steps: exported.steps.iter().map(Mapping::new).collect(),
        }
    }

    /// The report for people; with what became of each node where it is asked for.
    pub(super) fn text(&self, explain: bool) -> String {
        let mut lines = Vec::new();
        if explain {
            lines.extend(mapping_lines(&self.steps));
            lines.push(String::new());
        }
        let count: usize = self.operators.values().sum();
        lines.push(format!(
            "{}  {}, {count} operators of {} kinds, {} bytes, in {:.2} s",
            self.output,
            self.target,
            self.operators.len(),
            self.bytes,
            self.seconds
        ));
        lines.extend(signature_lines(&self.inputs, &self.outputs));
        lines.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        lines.extend(proof_lines(&self.proof));
        lines.join("\n")
    }
}
