//! Thresholds, and which are passed.

use anyhow::anyhow;
use serde::Serialize;

use super::measure::{Differences, Measured};
use super::{positive, share};

/// How far the answers may be apart.
#[derive(clap::Args)]
#[command(next_help_heading = "Thresholds, each off unless given")]
pub(super) struct LimitArgs {
    /// Largest difference of any element of any output
    #[arg(long, value_name = "X", value_parser = positive)]
    max_abs_diff: Option<f64>,
    /// Largest difference of any output as a whole, relative to it: |new - old| / |old|
    #[arg(long, value_name = "X", value_parser = positive)]
    max_rel_diff: Option<f64>,
    /// Share of requests whose highest score is at another place, for outputs of scores
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_class_changes: Option<f64>,
    /// Share of requests that fail
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_errors: Option<f64>,
    /// Median and 95th percentile of the times, relative to the baseline's
    #[arg(long, value_name = "R", value_parser = positive)]
    max_latency_ratio: Option<f64>,
}

/// A threshold that was passed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Exceeded {
    /// Its flag.
    threshold: &'static str,
    limit: f64,
    /// What was found; nothing where nothing could be compared, or where it is infinite.
    found: Option<f64>,
    #[serde(skip)]
    text: String,
}

impl LimitArgs {
    /// The thresholds that were passed.
    pub(super) fn exceeded(&self, measured: &Measured) -> Vec<Exceeded> {
        let over = |figure: fn(&Differences) -> Option<f64>| {
            measured.outputs.values().filter_map(figure).reduce(f64::max)
        };
        let ratio = [0.5, 0.95].into_iter().filter_map(|quantile| ratio(measured, quantile));
        let errors = measured.errors[1] as f64 / measured.requests.max(1) as f64;
        let found = [
            ("--max-abs-diff", self.max_abs_diff, over(|all| Some(all.max_absolute))),
            ("--max-rel-diff", self.max_rel_diff, over(|all| Some(all.drift.max_relative_error))),
            (
                "--max-class-changes",
                self.max_class_changes,
                over(|all| all.has_classes.then(|| all.drift.class_change_rate())),
            ),
            ("--max-errors", self.max_errors, Some(errors)),
            ("--max-latency-ratio", self.max_latency_ratio, ratio.reduce(f64::max)),
        ];
        let passed =
            found.into_iter().filter_map(|(flag, limit, found)| exceeded(flag, limit?, found));
        passed.collect()
    }
}

/// How many times as long as the baseline.
pub(super) fn ratio(measured: &Measured, quantile: f64) -> Option<f64> {
    let [old, new] = measured.quantile(quantile)?;
    Some(new.as_secs_f64() / old.as_secs_f64())
}

fn exceeded(threshold: &'static str, limit: f64, found: Option<f64>) -> Option<Exceeded> {
    let text = match found {
        // A gate that has seen nothing must not open.
        None => format!("{threshold} {limit}: nothing could be compared"),
        Some(found) if found <= limit => return None,
        Some(found) if limit > 0.0 && found < f64::MAX => {
            let times = found / limit;
            format!("{threshold} {limit}: found {found:.6}, {times:.2} times as much")
        }
        Some(found) if found < f64::MAX => format!("{threshold} {limit}: found {found:.6}"),
        Some(_) => format!("{threshold} {limit}: some answers cannot be compared at all"),
    };
    let found = found.filter(|found| *found < f64::MAX);
    Some(Exceeded { threshold, limit, found, text })
}

/// An error that names what was passed.
pub(super) fn verdict(exceeded: &[Exceeded]) -> anyhow::Result<()> {
    if exceeded.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        exceeded.iter().map(|exceeded| format!("\n  {}", exceeded.text)).collect();
    Err(anyhow!("the replay is past {} of its thresholds{}", exceeded.len(), lines.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_says_by_how_much() {
        let text = |limit, found| exceeded("--max-x", limit, found).map(|exceeded| exceeded.text);
        assert_eq!(text(0.5, Some(0.5)), None);
        assert_eq!(
            text(0.5, Some(1.0)).unwrap(),
            "--max-x 0.5: found 1.000000, 2.00 times as much"
        );
        assert_eq!(text(0.0, Some(1.0)).unwrap(), "--max-x 0: found 1.000000");
        for hopeless in [f64::INFINITY, f64::MAX] {
            assert!(text(0.5, Some(hopeless)).unwrap().contains("cannot be compared"));
        }
        assert!(text(0.5, None).unwrap().contains("nothing could be compared"));
        assert!(verdict(&[]).is_ok());
    }
}
