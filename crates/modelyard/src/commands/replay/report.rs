//! What is told.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::Args;
use super::limits::{Exceeded, ratio};
use super::measure::{Differences, Measured};
use super::side::Side;

/// What a replay has found.
#[derive(Serialize)]
pub(super) struct Report {
    tape: Vec<PathBuf>,
    /// Whose requests were run.
    model: String,
    against: Model,
    /// Nothing: the recorded answers.
    baseline: Option<Model>,
    requests: u64,
    skipped: BTreeMap<String, u64>,
    errors: Errors,
    outputs: BTreeMap<String, Output>,
    /// Nothing where no request was answered by both.
    latency: Option<Latency>,
    pub(super) exceeded: Vec<Exceeded>,
}

#[derive(Serialize)]
struct Model {
    model: String,
    by: String,
}

#[derive(Serialize)]
struct Errors {
    baseline: u64,
    against: u64,
    messages: BTreeMap<String, u64>,
}

/// Differences of one output; nothing where they are infinite.
#[derive(Serialize)]
struct Output {
    compared: u64,
    max_abs_diff: Option<f64>,
    max_rel_diff: Option<f64>,
    mean_rel_diff: f64,
    min_cosine: f64,
    /// Share of requests; nothing for an output that holds no scores.
    class_changes: Option<f64>,
    /// Pairs of another shape or datatype, or with NaN in one only.
    incomparable: u64,
}

#[derive(Serialize)]
struct Latency {
    baseline: Times,
    against: Times,
    ratio: Ratios,
}

#[derive(Serialize)]
struct Times {
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
}

#[derive(Serialize)]
struct Ratios {
    p50: f64,
    p95: f64,
    p99: f64,
}

impl Report {
    pub(super) fn new(
        args: &Args,
        model: &str,
        (against, baseline): (&Side, Option<&Side>),
        measured: &Measured,
    ) -> Report {
        let told = |side: &Side| Model { model: side.called(), by: side.by().to_owned() };
        let outputs = measured.outputs.iter();
        Report {
            tape: args.tape.clone(),
            model: model.to_owned(),
            against: told(against),
            baseline: baseline.map(told),
            requests: measured.requests,
            skipped: measured.skipped.clone(),
            errors: Errors {
                baseline: measured.errors[0],
                against: measured.errors[1],
                messages: measured.messages.clone(),
            },
            outputs: outputs.map(|(name, all)| (name.clone(), Output::of(all))).collect(),
            latency: Latency::of(measured),
            exceeded: args.limits.exceeded(measured),
        }
    }

    pub(super) fn text(&self) -> String {
        let baseline = match &self.baseline {
            Some(baseline) => format!("{} ({})", baseline.model, baseline.by),
            None => "what was recorded".to_owned(),
        };
        let mut text = format!(
            "{} requests for model '{}' against {} ({}), compared with {baseline}\n",
            self.requests, self.model, self.against.model, self.against.by
        );
        for (reason, requests) in &self.skipped {
            text.push_str(&format!("passed over {requests}: {reason}\n"));
        }
        let Errors { baseline, against, messages } = &self.errors;
        text.push_str(&format!("errors: {baseline} before, {against} now\n"));
        for (message, requests) in messages {
            text.push_str(&format!("  {requests} times: {message}\n"));
        }
        for (name, output) in &self.outputs {
            text.push_str(&output.line(name));
        }
        match &self.latency {
            Some(latency) => text.push_str(&latency.lines()),
            None => text.push_str("no request was answered by both\n"),
        }
        text
    }
}

impl Output {
    fn of(all: &Differences) -> Output {
        let finite = |number: f64| Some(number).filter(|number| *number < f64::MAX);
        Output {
            compared: all.drift.answers,
            max_abs_diff: finite(all.max_absolute),
            max_rel_diff: finite(all.drift.max_relative_error),
            mean_rel_diff: all.drift.mean_relative_error(),
            min_cosine: all.min_cosine,
            class_changes: all.has_classes.then(|| all.drift.class_change_rate()),
            incomparable: all.drift.incomparable,
        }
    }

    fn line(&self, name: &str) -> String {
        let number = |number: Option<f64>| number.map_or("infinite".into(), |n| format!("{n:.3e}"));
        let mut line = format!(
            "output '{name}': largest difference {}, relative {} (mean {:.3e}), cosine at least {:.6}",
            number(self.max_abs_diff),
            number(self.max_rel_diff),
            self.mean_rel_diff,
            self.min_cosine
        );
        if let Some(changes) = self.class_changes {
            line.push_str(&format!(", {:.3} % with another highest score", 100.0 * changes));
        }
        if self.incomparable > 0 {
            line.push_str(&format!(
                ", {} of {} cannot be compared",
                self.incomparable, self.compared
            ));
        }
        line + "\n"
    }
}

impl Latency {
    fn of(measured: &Measured) -> Option<Latency> {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|quantile| measured.quantile(quantile));
        let (p50, p95, p99) = (p50?, p95?, p99?);
        let us = |time: Duration| (time.as_secs_f64() * 1e7).round() / 10.0;
        let times = |side: usize| Times {
            p50_us: us(p50[side]),
            p95_us: us(p95[side]),
            p99_us: us(p99[side]),
        };
        let ratio = |quantile| ratio(measured, quantile).unwrap_or(1.0);
        Some(Latency {
            baseline: times(0),
            against: times(1),
            ratio: Ratios { p50: ratio(0.5), p95: ratio(0.95), p99: ratio(0.99) },
        })
    }

    fn lines(&self) -> String {
        let line = |name: &str, old: f64, new: f64, ratio: f64| {
            format!("latency {name}: {new:.1} us, {ratio:.2} times the baseline's {old:.1} us\n")
        };
        let (old, new, ratio) = (&self.baseline, &self.against, &self.ratio);
        line("p50", old.p50_us, new.p50_us, ratio.p50)
            + &line("p95", old.p95_us, new.p95_us, ratio.p95)
            + &line("p99", old.p99_us, new.p99_us, ratio.p99)
    }
}
