//! What is told of a quantized model.

use std::path::Path;
use std::time::Duration;

use modelyard_optimize::improve::rounding::Learned;
use modelyard_optimize::improve::{Equalized, Group, Smoothed};
use modelyard_optimize::quantize::{Kept, Layer, Quantized};
use serde::Serialize;

use crate::optimizing::answers::{Agreement, Score};
use crate::optimizing::sensitivity::Sensitivity;

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rounded: Vec<Learned>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sensitivities: Vec<Sensitivity>,
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

    /// Biases of so many layers were corrected, and so many have none.
    pub(super) fn note_biases(&mut self, [corrected, without]: [usize; 2]) {
        let mut note = format!("corrected biases of {corrected} layers");
        if without > 0 {
            note.push_str(&format!("; {without} have none"));
        }
        self.notes.push(note);
    }

    /// Rounding was learned, but for that of some layers.
    pub(super) fn note_rounded(&mut self, learned: Vec<Learned>, without: &[String]) {
        let mean = learned.iter().map(|it| it.error).sum::<f64>() / learned.len().max(1) as f64;
        let mut note = format!(
            "learned to round {} weights: {:.0} % of the error of the nearest integers remain in the mean",
            learned.len(),
            100.0 * mean
        );
        if !without.is_empty() {
            note.push_str(&format!("; {} have the nearest", without.len()));
        }
        self.notes.push(note);
        self.rounded = learned;
    }

    /// What each layer loses was measured, and so many that lose most stay floats.
    pub(super) fn note_sensitive(&mut self, found: Vec<Sensitivity>, kept: usize) {
        let names: Vec<&str> = found.iter().take(kept).map(|it| it.node.as_str()).collect();
        self.notes.push(format!("the most sensitive nodes stay floats: {}", names.join(", ")));
        self.sensitivities = found;
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
        let lost = |layer: &Layer| layer.output_sqnr_db.unwrap_or(layer.sqnr_db);
        layers.sort_by(|one, two| lost(one).total_cmp(&lost(two)));
        let is_measured = layers.iter().any(|layer| layer.output_sqnr_db.is_some());
        let mut text = String::from(match is_measured {
            true => "layers whose outputs lost most (signal to noise; that of the weight):\n",
            false => "weights that lost most (signal to noise):\n",
        });
        for layer in layers.iter().take(SHOWN) {
            let weight = match layer.output_sqnr_db {
                Some(_) => format!("  {:5.1} dB", layer.sqnr_db),
                None => String::new(),
            };
            text.push_str(&format!(
                "  {:5.1} dB{weight}  {} ({})\n",
                lost(layer),
                layer.node,
                layer.operator
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
