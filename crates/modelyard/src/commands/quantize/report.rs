//! What is told of a quantized model.

use std::path::Path;
use std::time::Duration;

use modelyard_optimize::improve::{Equalized, Group, Smoothed};
use modelyard_optimize::quantize::{Kept, Layer, Quantized};
use serde::Serialize;

use crate::optimizing::answers::{Agreement, Score};

/// How good the original and the quantized model are, and how alike.
#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) engine: &'static str,
    pub(super) agreement: Agreement,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Score>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<Score>,
}

/// What was done for a model to bear integers better.
#[derive(Default, Serialize)]
pub(super) struct Improved {
    /// In words.
    pub(super) notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    smoothed: Vec<Group>,
}

impl Improved {
    /// Ranges were made alike, and biases of some layers moved on.
    pub(super) fn note_equalized(&mut self, equalized: &Equalized, absorbed: &[String]) {
        let Equalized { pairs, rounds, unclipped, in_the_way, .. } = equalized;
        self.notes.push(format!("equalized {} pairs of layers in {rounds} rounds", pairs.len()));
        if !absorbed.is_empty() {
            self.notes.push(format!("moved biases of {} layers into the next", absorbed.len()));
        }
        if !unclipped.is_empty() {
            self.notes.push(format!("{} ReLU6 became ReLU", unclipped.len()));
        }
        if !in_the_way.is_empty() {
            self.notes.push(format!(
                "{} ReLU6 are in the way of equalization (--unclip makes them ReLU)",
                in_the_way.len()
            ));
        }
    }

    /// Outliers were moved into weights.
    pub(super) fn note_smoothed(&mut self, smoothed: &Smoothed) {
        let groups = &smoothed.groups;
        let products: usize = groups.iter().map(|group| group.nodes.len()).sum();
        let added = groups.iter().filter(|group| group.multiplies).count();
        self.notes.push(format!(
            "smoothed {} activations of {products} products; {added} needed a multiplication",
            groups.len()
        ));
        self.smoothed.clone_from(groups);
    }

    /// Biases were corrected, but for those of some layers.
    pub(super) fn note_biases(&mut self, made: &Quantized, without: &[String]) {
        let corrected = made.layers.len().saturating_sub(without.len());
        self.notes.push(match without.len() {
            0 => format!("corrected biases of {corrected} layers"),
            count => format!("corrected biases of {corrected} layers; {count} have none"),
        });
    }
}

/// What was done.
#[derive(Serialize)]
pub(super) struct Report {
    model: String,
    output: String,
    bytes_before: u64,
    bytes_after: u64,
    seconds: f64,
    #[serde(flatten)]
    measured: Option<Measured>,
    #[serde(flatten)]
    improved: Improved,
    layers: Vec<Layer>,
    kept: Vec<Kept>,
}

/// Layers and kept nodes that the text lists.
const SHOWN: usize = 5;

impl Report {
    pub(super) fn new(
        (model, output): (&Path, &Path),
        (made, improved): (&Quantized, Improved),
        (measured, time): (Option<Measured>, Duration),
    ) -> anyhow::Result<Report> {
        Ok(Report {
            model: model.display().to_string(),
            output: output.display().to_string(),
            bytes_before: super::bytes(model)?,
            bytes_after: super::bytes(output)?,
            seconds: time.as_secs_f64(),
            measured,
            improved,
            layers: made.layers.clone(),
            kept: made.kept.clone(),
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mega = |bytes: u64| bytes as f64 / 1e6;
        let mut text = format!(
            "wrote {}: {:.3} MB of {:.3} MB ({:.2}x), {} nodes with integers, in {:.1} s\n",
            self.output,
            mega(self.bytes_after),
            mega(self.bytes_before),
            self.bytes_after as f64 / self.bytes_before.max(1) as f64,
            self.layers.len(),
            self.seconds
        );
        for note in &self.improved.notes {
            text.push_str(&format!("{note}\n"));
        }
        if let Some(measured) = &self.measured {
            text.push_str(&measured.text());
        }
        text.push_str(&self.worst());
        text.push_str(&self.kept());
        text.truncate(text.trim_end().len());
        text
    }

    fn worst(&self) -> String {
        let mut layers: Vec<&Layer> = self.layers.iter().collect();
        if layers.is_empty() {
            return String::new();
        }
        layers.sort_by(|one, two| one.sqnr_db.total_cmp(&two.sqnr_db));
        let mut text = String::from("weights that lost most (signal to noise):\n");
        for layer in layers.iter().take(SHOWN) {
            text.push_str(&format!(
                "  {:5.1} dB  {} ({})\n",
                layer.sqnr_db, layer.node, layer.operator
            ));
        }
        text
    }

    fn kept(&self) -> String {
        if self.kept.is_empty() {
            return String::new();
        }
        let mut text = format!("left as they were: {} nodes\n", self.kept.len());
        for kept in self.kept.iter().take(SHOWN) {
            text.push_str(&format!("  {} ({}): {}\n", kept.node, kept.operator, kept.reason));
        }
        if self.kept.len() > SHOWN {
            text.push_str("  … (--json lists all)\n");
        }
        text
    }
}

impl Measured {
    fn text(&self) -> String {
        let Agreement { examples, top_1, cosine, sqnr_db } = &self.agreement;
        let mut text = format!("on {examples} examples in {}: ", self.engine);
        match (self.before, self.after) {
            (Some(Score::Accuracy(before)), Some(Score::Accuracy(after))) => {
                text.push_str(&format!(
                    "{:.2} % right, was {:.2} %; ",
                    100.0 * after,
                    100.0 * before
                ));
            }
            (Some(Score::MeanSquaredError(before)), Some(Score::MeanSquaredError(after))) => {
                text.push_str(&format!("mean squared error {after:.4e}, was {before:.4e}; "));
            }
            _ => {}
        }
        if let Some(top_1) = top_1 {
            text.push_str(&format!("{:.2} % have the same highest score; ", 100.0 * top_1));
        }
        text.push_str(&format!("cosine {cosine:.5}"));
        if let Some(sqnr) = sqnr_db {
            text.push_str(&format!(", signal to noise {sqnr:.1} dB"));
        }
        text.push('\n');
        text
    }
}
