//! What came of the tour, for people and as JSON.

use std::time::Duration;

use modelyard_server::Addresses;
use serde::Serialize;

use super::MODEL_NAME;
use super::clients::Protocol;
use super::digits::Digits;
use super::tour::{Finding, Plan};
use crate::training::record::Outcome;

/// What came of the tour.
#[derive(Serialize)]
pub(super) struct Report {
    version: &'static str,
    model: &'static str,
    /// What came of the training, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) training: Option<Outcome>,
    /// Digits that were tried, over each protocol.
    digits: usize,
    /// Share of digits named correctly.
    accuracy: f64,
    /// Whether all protocols named every digit alike.
    pub(super) agree: bool,
    addresses: Listening,
    protocols: Vec<ProtocolReport>,
    /// A request to try.
    curl: Option<String>,
    #[serde(skip)]
    answers: Vec<(usize, f32)>,
}

#[derive(Serialize)]
struct Listening {
    http: Option<String>,
    grpc: Option<String>,
    metrics: Option<String>,
}

#[derive(Serialize)]
struct ProtocolReport {
    protocol: Protocol,
    accuracy: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Report {
    /// Puts the findings together.
    pub(super) fn new(plan: &Plan, findings: Vec<Finding>, curl: Option<String>) -> Report {
        let protocols: Vec<ProtocolReport> = findings
            .iter()
            .map(|finding| ProtocolReport {
                protocol: finding.protocol,
                accuracy: accuracy(&finding.answers, &plan.digits),
                p50_us: micros(quantile(&finding.latencies, 0.50)),
                p99_us: micros(quantile(&finding.latencies, 0.99)),
            })
            .collect();
        let classes = |finding: &Finding| -> Vec<usize> {
            finding.answers.iter().map(|(class, _)| *class).collect()
        };
        let agree = findings.windows(2).all(|pair| classes(&pair[0]) == classes(&pair[1]));
        let answers = findings.into_iter().next().map_or(Vec::new(), |first| first.answers);
        let Addresses { http, grpc, metrics } = plan.addresses;
        Report {
            version: env!("CARGO_PKG_VERSION"),
            model: MODEL_NAME,
            training: None,
            digits: plan.digits.len(),
            accuracy: accuracy(&answers, &plan.digits),
            agree,
            addresses: Listening {
                http: http.map(|address| address.to_string()),
                grpc: grpc.map(|address| address.to_string()),
                metrics: metrics.map(|address| address.to_string()),
            },
            protocols,
            curl,
            answers,
        }
    }

    /// The report for people.
    pub(super) fn text(&self, digits: &Digits, once: bool) -> String {
        let mut lines = vec![format!("Modelyard {} serves the model '{MODEL_NAME}'", self.version)];
        let Listening { http, grpc, metrics } = &self.addresses;
        for (what, address) in
            [("REST     http://", http), ("gRPC     ", grpc), ("metrics  http://", metrics)]
        {
            lines.extend(address.iter().map(|address| format!("  {what}{address}")));
        }
        lines.push(String::new());
        self.drawing_lines(digits, &mut lines);
        lines.push(String::new());
        lines.push(format!(
            "{} handwritten digits that the model has not seen in training, one at a time:",
            self.digits
        ));
        lines.push(format!("  {:<16} {:>8} {:>12} {:>12}", "", "correct", "p50", "p99"));
        for row in &self.protocols {
            lines.push(format!(
                "  {:<16} {:>6.2} % {:>9.0} us {:>9.0} us",
                row.protocol.name(),
                row.accuracy * 100.0,
                row.p50_us,
                row.p99_us
            ));
        }
        if !once {
            lines.push(String::new());
            lines.push("Still serving. Try it from another terminal (ctrl-C stops):".into());
            lines.extend(self.curl.iter().map(|curl| format!("  {curl}")));
        }
        lines.join("\n")
    }

    /// Two digits that were named correctly and one that was not, side by side.
    fn drawing_lines(&self, digits: &Digits, lines: &mut Vec<String>) {
        let right = |index: &usize| self.answers[*index].0 == digits.label(*index);
        let chosen = (2..self.answers.len()).filter(right).take(2);
        let chosen = chosen.chain((0..self.answers.len()).find(|index| !right(index)));
        let chosen: Vec<usize> = chosen.collect();
        let drawings: Vec<Vec<String>> =
            chosen.iter().map(|&index| digits.drawing(index)).collect();
        for row in 0..drawings.first().map_or(0, Vec::len) {
            let cells = drawings.iter().map(|drawing| format!("  {:<24}", drawing[row]));
            lines.push(cells.collect::<String>().trim_end().to_owned());
        }
        let captions = chosen.iter().map(|&index| {
            let (class, probability) = self.answers[index];
            let percent = f64::from(probability) * 100.0;
            match digits.label(index) {
                label if label == class => {
                    format!("  {:<24}", format!("a {class} ({percent:.1} %)"))
                }
                label => {
                    format!("  {:<24}", format!("a {class} ({percent:.1} %)? It is a {label}."))
                }
            }
        });
        lines.push(captions.collect::<String>().trim_end().to_owned());
    }
}

/// What came of the training, for people.
pub(super) fn training_text(outcome: &Outcome) -> String {
    let accuracy = outcome.test.and_then(|test| test.accuracy).unwrap_or_default();
    format!(
        "{} epochs took {:.1} s; the model names {:.2} % of 2,000 other digits correctly\n",
        outcome.epochs,
        outcome.seconds,
        accuracy * 100.0
    )
}

fn accuracy(answers: &[(usize, f32)], digits: &Digits) -> f64 {
    let right = |(index, (class, _)): &(usize, &(usize, f32))| *class == digits.label(*index);
    let right = answers.iter().enumerate().filter(right).count();
    right as f64 / answers.len().max(1) as f64
}

fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

/// The smallest of the sorted values that at least this share of them does not exceed.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(quantile(&values, 0.50), Duration::from_micros(100));
        assert_eq!(quantile(&values, 0.99), Duration::from_micros(198));
        assert_eq!(quantile(&[], 0.99), Duration::ZERO);
    }

    #[test]
    fn accuracy_counts_right_answers() {
        let digits = Digits::test().unwrap();
        let answers: Vec<(usize, f32)> =
            (0..digits.len()).map(|index| (digits.label(index) % 8, 1.0)).collect();
        assert_eq!(accuracy(&answers, &digits), 0.8);
    }
}
