//! What is told of merged models.

use std::path::Path;

use anyhow::Context;
use modelyard_optimize::statistics::Difference;
use serde::Serialize;

use crate::optimizing::answers::Score;

/// What was done.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) output: String,
    pub(super) mode: &'static str,
    /// Bytes of the merged model.
    pub(super) bytes: u64,
    pub(super) members: Vec<MemberReport>,
    /// What the merged model gives: scores or probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gives: Option<modelyard_optimize::merge::Gives>,
    /// Examples that weights were fitted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fitted_on: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) measured: Option<Measured>,
    /// What the caller should know.
    pub(super) notes: Vec<String>,
    pub(super) seconds: f64,
}

/// One of the models.
#[derive(Clone, Serialize)]
pub(super) struct MemberReport {
    pub(super) model: String,
    /// Its part of the whole; none in a stack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) weight: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<Score>,
    /// Microseconds of a call with one example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency_us: Option<f64>,
}

/// The merged model on examples that weights were not fitted on.
#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) examples: usize,
    pub(super) engine: &'static str,
    pub(super) score: Option<Score>,
    pub(super) latency_us: f64,
    /// The best member.
    pub(super) best: String,
    /// How much better the merged model is: more right answers, or less squared error.
    pub(super) gain: Difference,
    pub(super) verdict: Verdict,
}

/// Whether a difference is more than noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Better,
    Worse,
    NoClearDifference,
}

/// A difference that chance makes as often as this is none.
const LEAST_CHANCE: f64 = 0.05;

impl Verdict {
    /// The interval is an approximation, the probability is exact where there is one: both must say so.
    pub(super) fn of(gain: &Difference) -> Verdict {
        let is_rare = gain.p_value.is_none_or(|chance| chance < LEAST_CHANCE);
        match gain.is_clear() && is_rare {
            true if gain.estimate > 0.0 => Verdict::Better,
            true => Verdict::Worse,
            false => Verdict::NoClearDifference,
        }
    }
}

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "wrote {}: {} of {} models, {:.3} MB, in {:.1} s\n",
            self.output,
            self.mode,
            self.members.len(),
            self.bytes as f64 / 1e6,
            self.seconds
        );
        let longest = self.members.iter().map(|member| member.model.len()).max().unwrap_or(0);
        for member in &self.members {
            text.push_str(&format!("  {:longest$}{}\n", member.model, member.text()));
        }
        if let Some(examples) = self.fitted_on {
            text.push_str(&format!("fitted on {examples} examples, measured on others\n"));
        }
        if let Some(measured) = &self.measured {
            text.push_str(&measured.text());
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl MemberReport {
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(weight) = self.weight {
            text.push_str(&format!("  weight {weight:.4}"));
        }
        if let Some(score) = &self.score {
            text.push_str(&format!("  {}", score_text(score)));
        }
        if let Some(latency) = self.latency_us {
            text.push_str(&format!("  {latency:.1} µs"));
        }
        text
    }
}

impl Measured {
    fn text(&self) -> String {
        let score = self.score.as_ref().map_or_else(String::new, score_text);
        let head = format!(
            "on {} examples in {}: {score}, {:.1} µs a call\n",
            self.examples, self.engine, self.latency_us
        );
        let Difference { estimate, low, high, p_value } = self.gain;
        let interval = match self.score {
            Some(Score::Accuracy(_)) => format!(
                "{:+.2} points (95 %: {:+.2} to {:+.2})",
                100.0 * estimate,
                100.0 * low,
                100.0 * high
            ),
            _ => format!("{estimate:.3e} less squared error (95 %: {low:.3e} to {high:.3e})"),
        };
        let p = p_value.map_or_else(String::new, |p| format!(", p = {p:.3}"));
        let verdict = match self.verdict {
            Verdict::Better => "better than the best model alone",
            Verdict::Worse => "worse than the best model alone",
            Verdict::NoClearDifference => "no clear difference",
        };
        format!("{head}against '{}', the best of them: {interval}{p}: {verdict}\n", self.best)
    }
}

fn score_text(score: &Score) -> String {
    match score {
        Score::Accuracy(accuracy) => format!("{:.2} % right", 100.0 * accuracy),
        Score::MeanSquaredError(error) => format!("mean squared error {error:.4e}"),
    }
}

/// Bytes of a model's file, with what lies beside it.
pub(super) fn bytes(path: &Path) -> anyhow::Result<u64> {
    let size = |path: &Path| path.metadata().map(|metadata| metadata.len());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".data");
    let own = size(path).with_context(|| format!("failed to look at '{}'", path.display()))?;
    Ok(own + size(&path.with_file_name(name)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_claimed_inside_the_noise() {
        let of = |estimate, low, high, p_value| {
            Verdict::of(&Difference { estimate, low, high, p_value })
        };
        assert_eq!(of(0.01, 0.002, 0.018, Some(0.01)), Verdict::Better);
        assert_eq!(of(-0.01, -0.018, -0.002, None), Verdict::Worse);
        assert_eq!(of(0.01, -0.002, 0.022, Some(0.1)), Verdict::NoClearDifference);
        assert_eq!(of(0.0065, 0.0002, 0.0128, Some(0.053)), Verdict::NoClearDifference);
    }
}
