//! What is told of a pruned model.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use modelyard_optimize::prune::sparse::Masks;
use modelyard_optimize::prune::{Cost, GroupReport, Refused};
use modelyard_optimize::statistics::Difference;
use serde::Serialize;

use crate::optimizing::answers::{Agreement, Score};
use crate::training::record::Outcome;

/// How good the original and the pruned model are, and how alike.
#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) engine: &'static str,
    /// Which examples: `test` or `train`.
    pub(super) part: &'static str,
    pub(super) agreement: Agreement,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Score>,
    /// Of the share that is answered right: pruned minus original.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<Difference>,
}

/// A weight with zeros.
#[derive(Serialize)]
pub(super) struct Thinned {
    weight: String,
    zeros: usize,
    elements: usize,
}

/// What was done.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) output: String,
    pub(super) before: Cost,
    pub(super) after: Cost,
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
    /// Bytes after gzip, where weights are zero: what zeros are good for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gzip_bytes_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gzip_bytes_after: Option<u64>,
    pub(super) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) measured: Option<Measured>,
    /// How many times as long as the original a run of one example takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Difference>,
    pub(super) groups: Vec<GroupReport>,
    pub(super) refused: Vec<Refused>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) weights: Vec<Thinned>,
    pub(super) training: Vec<Outcome>,
}

/// Layers that the text lists.
const SHOWN: usize = 12;

/// Weights with their zeros.
pub(super) fn thinned(masks: &Masks) -> Vec<Thinned> {
    let thinned = |weight: &str| {
        let (zeros, elements) = masks.count(weight);
        Thinned { weight: weight.to_owned(), zeros, elements }
    };
    masks.names().map(thinned).collect()
}

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("wrote {} in {:.1} s\n", self.output, self.seconds);
        for (name, before, after) in [
            ("FLOPs", Some(self.before.flops), Some(self.after.flops)),
            ("parameters", Some(self.before.parameters), Some(self.after.parameters)),
            ("bytes", Some(self.bytes_before), Some(self.bytes_after)),
            ("gzipped", self.gzip_bytes_before, self.gzip_bytes_after),
        ] {
            let (Some(before), Some(after)) = (before, after) else { continue };
            let share = 100.0 * (after as f64 / before.max(1) as f64 - 1.0);
            let _ = writeln!(text, "  {name:<11}{before:>13} -> {after:>13}  {share:+.1} %");
        }
        if let Some(Difference { estimate, low, high, .. }) = &self.latency {
            let _ = writeln!(
                text,
                "  {:<11}{estimate:.2} of the original's ({low:.2} to {high:.2})",
                "latency"
            );
        }
        self.layers(&mut text);
        if let Some(measured) = &self.measured {
            text.push_str(&measured.text());
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn layers(&self, text: &mut String) {
        for group in self.groups.iter().take(SHOWN) {
            let unit =
                if group.unit > 1 { format!(", {} at a time", group.unit) } else { String::new() };
            let inexact = if group.exact { "" } else { ", normalized anew" };
            let names = group.weights.join(" + ");
            let _ = writeln!(
                text,
                "  {:>5} of {:>5}  {names}{unit}{inexact}",
                group.kept, group.channels
            );
        }
        for weight in self.weights.iter().take(SHOWN) {
            let Thinned { weight, zeros, elements } = weight;
            let share = 100.0 * *zeros as f64 / (*elements).max(1) as f64;
            let _ = writeln!(text, "  {share:5.1} % zeros  {weight}");
        }
        if !self.weights.is_empty() {
            text.push_str(
                "engines for processors multiply zeros like any number: this is no faster, only a \
                 compressed file is smaller\n",
            );
        }
        for refused in self.refused.iter().take(SHOWN) {
            let Refused { weights, channels, reason } = refused;
            let _ = writeln!(text, "  {channels:>5} stay      {}: {reason}", weights.join(" + "));
        }
        let longest = self.groups.len().max(self.weights.len()).max(self.refused.len());
        if longest > SHOWN {
            text.push_str("  … (--json lists all)\n");
        }
    }
}

impl Measured {
    fn text(&self) -> String {
        let Agreement { examples, top_1, cosine, .. } = &self.agreement;
        let mut text = format!("on {examples} examples ({}) in {}: ", self.part, self.engine);
        match (self.before, self.after) {
            (Some(Score::Accuracy(before)), Some(Score::Accuracy(after))) => {
                let _ = write!(text, "{:.2} % right, was {:.2} %", 100.0 * after, 100.0 * before);
                if let Some(Difference { low, high, .. }) = &self.difference {
                    let _ = write!(text, " ({:+.2} to {:+.2} points)", 100.0 * low, 100.0 * high);
                }
                text.push_str("; ");
            }
            (Some(Score::MeanSquaredError(before)), Some(Score::MeanSquaredError(after))) => {
                let _ = write!(text, "mean squared error {after:.4e}, was {before:.4e}; ");
            }
            _ => {}
        }
        if let Some(top_1) = top_1 {
            let _ = write!(text, "{:.2} % have the same highest score; ", 100.0 * top_1);
        }
        let _ = writeln!(text, "cosine {cosine:.5}");
        text
    }
}

/// Bytes of what a file would be after gzip.
pub(super) fn gzipped(bytes: &[u8]) -> anyhow::Result<u64> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len() as u64)
}

/// A path as reports name it.
pub(super) fn named(path: &Path) -> String {
    path.display().to_string()
}

/// Seconds of a time.
pub(super) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
