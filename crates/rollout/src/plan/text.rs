//! Plans as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{ALL_TRAFFIC, MAX_STEPS, Plan, Step};
use crate::{BasisPoints, WeightError};

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum PlanError {
    #[error("the last step of a plan must be '100%', without minimums")]
    Last,
    #[error("a plan takes at most {MAX_STEPS} steps below 100%, found {0}")]
    Count(usize),
    #[error("a plan needs a step below 100% or a shadow stage, else there is nothing to judge")]
    NothingToJudge,
    #[error("the stage '{0}' gives the candidate nothing, expected more than 0%")]
    Share(String),
    #[error("steps must rise between 0% and 100%, found {found} after {before}")]
    Rising { before: BasisPoints, found: BasisPoints },
    #[error("expected 'percent:minimum requests:minimum time' such as '10%:2000:30m', found '{0}'")]
    Stage(String),
    #[error("stage '{stage}': {error}")]
    Percent { stage: String, error: WeightError },
    #[error("stage '{0}': expected a whole number of requests after the percentage")]
    Requests(String),
    #[error("stage '{0}': expected a time such as 90s, 10m, 1h or 1h30m after the requests")]
    Time(String),
    #[error("only the first stage may be 'shadow=...', found '{0}'")]
    ShadowNotFirst(String),
    #[error("threshold {name} must be from {low} to {high}, found {found}")]
    Threshold { name: &'static str, low: f64, high: f64, found: f64 },
    #[error("metric '{0}' must have a name of its own and a limit, at_most or at_least")]
    Metric(String),
    #[error("limits on drift need a shadow stage, such as 'shadow=20%:1000:10m' before the steps")]
    DriftWithoutShadow,
}

impl FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut shadow = None;
        let mut steps = Vec::new();
        for (index, part) in text.split(',').map(str::trim).enumerate() {
            if steps.len() > MAX_STEPS + 1 {
                return Err(PlanError::Count(text.split(',').count()));
            }
            match part.strip_prefix("shadow=") {
                Some(stage) if index == 0 => shadow = Some(parse_step(stage)?),
                Some(_) => return Err(PlanError::ShadowNotFirst(short(part))),
                None => steps.push(parse_step(part)?),
            }
        }
        Plan::new(shadow, steps)
    }
}

fn parse_step(text: &str) -> Result<Step, PlanError> {
    let mut parts = text.split(':');
    let percent = parts.next().filter(|percent| percent.contains('%'));
    let percent = percent.ok_or_else(|| PlanError::Stage(short(text)))?;
    let share =
        percent.parse().map_err(|error| PlanError::Percent { stage: short(text), error })?;
    let min_requests = match parts.next() {
        Some(count) => count.trim().parse().map_err(|_| PlanError::Requests(short(text)))?,
        None => 0,
    };
    let min_time = match parts.next() {
        Some(time) => parse_time(time.trim()).ok_or_else(|| PlanError::Time(short(text)))?,
        None => Duration::ZERO,
    };
    match parts.next() {
        Some(_) => Err(PlanError::Stage(short(text))),
        None => Ok(Step { share, min_requests, min_time }),
    }
}

const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];

/// One number with a unit after the other, such as `1h30m`.
fn parse_time(mut text: &str) -> Option<Duration> {
    let mut total = 0u64;
    while !text.is_empty() {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().ok()?;
        let (rest, unit) =
            UNITS.iter().find_map(|(name, ms)| Some((text[digits..].strip_prefix(name)?, *ms)))?;
        total = total.checked_add(number.checked_mul(unit)?)?;
        text = rest;
    }
    (total > 0).then(|| Duration::from_millis(total))
}

/// The time in the largest units that hold it whole.
pub(crate) fn write_time(time: Duration) -> String {
    let mut rest = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, ms) in [UNITS[1], UNITS[2], UNITS[3], UNITS[4], UNITS[0]] {
        if rest >= ms {
            text += &format!("{}{name}", rest / ms);
            rest %= ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.share)?;
        if self.min_requests > 0 || !self.min_time.is_zero() {
            write!(f, ":{}", self.min_requests)?;
        }
        if !self.min_time.is_zero() {
            write!(f, ":{}", write_time(self.min_time))?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(shadow) = &self.shadow {
            write!(f, "shadow={shadow},")?;
        }
        self.steps.iter().try_for_each(|step| write!(f, "{step},"))?;
        write!(f, "{ALL_TRAFFIC}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MetricLimit, Thresholds};

    #[test]
    fn a_plan_reads_back_as_it_is_written_in_text_and_json() {
        for text in [
            "1%:500:10m,10%:2000:30m,50%:5000:1h,100%",
            "shadow=20%:1000:10m,0.25%:500,10%:0:1d1h30m,100%",
            "shadow=100%,100%",
            "50%:1:1ms,100%",
        ] {
            let plan: Plan = text.parse().unwrap();
            assert_eq!(plan.to_string(), text);
            let json = serde_json::to_string(&plan).unwrap();
            assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan, "{json}");
        }
        assert_eq!(Plan::default().to_string(), "1%:1000:10m,10%:8000:30m,50%:5000:1h,100%");
    }

    #[test]
    fn the_stored_form_is_pinned() {
        let plan: Plan = "shadow=5%,10%:2000:30m,100%".parse().unwrap();
        assert_eq!(
            serde_json::to_string(&plan).unwrap(),
            r#"{"shadow":{"share_bp":500,"min_requests":0,"min_time_ms":0},"steps":[{"share_bp":1000,"min_requests":2000,"min_time_ms":1800000},{"share_bp":10000,"min_requests":0,"min_time_ms":0}],"thresholds":{"false_rollback":0.05,"error_margin":0.001,"latency_ratio":1.1}}"#
        );
        let sparse = r#"{"steps":[{"share_bp":1000},{"share_bp":10000}]}"#;
        assert_eq!(serde_json::from_str::<Plan>(sparse).unwrap().to_string(), "10%,100%");
    }

    #[test]
    fn a_wrong_plan_is_refused_by_what_was_expected() {
        for (text, expected) in [
            (
                "",
                "expected 'percent:minimum requests:minimum time' such as '10%:2000:30m', found ''",
            ),
            ("10%", "the last step of a plan must be '100%', without minimums"),
            ("10%,100%:5", "the last step of a plan must be '100%', without minimums"),
            (
                "100%",
                "a plan needs a step below 100% or a shadow stage, else there is nothing to judge",
            ),
            ("10%,1%,100%", "steps must rise between 0% and 100%, found 1% after 10%"),
            ("0%,100%", "steps must rise between 0% and 100%, found 0% after 0%"),
            ("10%,100%,100%", "steps must rise between 0% and 100%, found 100% after 10%"),
            (
                "shadow=0%,100%",
                "the stage 'shadow' gives the candidate nothing, expected more than 0%",
            ),
            ("1%,shadow=5%,100%", "only the first stage may be 'shadow=...', found 'shadow=5%'"),
            ("1%:x,100%", "stage '1%:x': expected a whole number of requests after the percentage"),
            (
                "1%:1:5,100%",
                "stage '1%:1:5': expected a time such as 90s, 10m, 1h or 1h30m after the requests",
            ),
            (
                "1%:1:99999999999999999d,100%",
                "stage '1%:1:99999999999999999d': expected a time such as 90s, 10m, 1h or 1h30m after the requests",
            ),
            (
                "1%:1:1m:1,100%",
                "expected 'percent:minimum requests:minimum time' such as '10%:2000:30m', found '1%:1:1m:1'",
            ),
            (
                "1.234%,100%",
                "stage '1.234%': expected a percentage from 0% to 100% with at most two decimals, found '1.234%'",
            ),
        ] {
            assert_eq!(text.parse::<Plan>().unwrap_err().to_string(), expected, "{text}");
        }
        let many = "1%,".repeat(1_000) + "100%";
        assert!(many.parse::<Plan>().is_err());
    }

    #[test]
    fn wrong_thresholds_are_refused_by_name() {
        let error = |change: fn(&mut Thresholds)| {
            let mut thresholds = Thresholds::default();
            change(&mut thresholds);
            Plan::default().with_thresholds(thresholds).unwrap_err().to_string()
        };
        assert!(error(|t| t.false_rollback = 0.0).starts_with("threshold false_rollback must be"));
        assert_eq!(
            error(|t| t.latency_ratio = f64::NAN),
            "threshold latency_ratio must be from 1 to 16, found NaN"
        );
        assert!(error(|t| t.class_changes = Some(0.1)).contains("shadow=20%"));
        let metric = error(|t| {
            t.metrics.push(MetricLimit { name: "auc".into(), at_most: None, at_least: None });
        });
        assert!(metric.starts_with("metric 'auc' must"), "{metric}");
        assert!(serde_json::from_str::<Plan>(r#"{"steps":[],"extra":1}"#).is_err());
    }
}
