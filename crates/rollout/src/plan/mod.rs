//! What a rollout does, and what it must not break.

mod text;
mod thresholds;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use text::PlanError;
pub(crate) use text::write_time;
pub use thresholds::{MetricLimit, Thresholds};

use crate::{Active, BasisPoints};

/// How many steps a plan may have.
pub const MAX_STEPS: usize = 16;

/// A checked canary plan: perhaps a shadow stage, then steps of rising weight, then all traffic.
///
/// In text: `shadow=20%:1000:10m,1%:1000:10m,10%:8000:30m,50%:5000:1h,100%`. Each stage is
/// `percent:minimum requests:minimum time`; the minimums may be left out. The last step is
/// `100%`, which is the promotion and so has no minimums. Thresholds are given apart
/// ([`Plan::with_thresholds`]).
///
/// [`Plan::default`] is `1%:1000:10m,10%:8000:30m,50%:5000:1h,100%`. The model needs 100,000
/// requests for 1,000 of the candidate at 1 %, 80,000 for 8,000 at 10 %, 10,000 for 5,000 at 50 %.
/// So many are enough to find, before 10 % is passed, 2 points more errors (about 600 requests of
/// the candidate) and answers of which all (60) or only the slowest 1 % (4,700) take 1.5 times as
/// long, as `examples/simulate.rs` shows. A model with less traffic needs a plan of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Plan {
    shadow: Option<Step>,
    /// Those below 100 %.
    steps: Vec<Step>,
    thresholds: Thresholds,
}

/// One stage and what it needs before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The candidate's share of requests, in basis points; of a shadow stage, the share of
    /// requests copied to it, whose answers nobody gets.
    #[serde(rename = "share_bp")]
    pub share: BasisPoints,
    /// How many requests the candidate must have answered (of a shadow stage: how many answers
    /// must have been compared) before the stage may end well.
    #[serde(default)]
    pub min_requests: u64,
    /// How long the stage must have lasted before it may end well.
    #[serde(default, rename = "min_time_ms", with = "millis")]
    pub min_time: Duration,
}

/// The stored form: the steps with the last, of 10,000 basis points.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<Step>,
    steps: Vec<Step>,
    #[serde(default)]
    thresholds: Thresholds,
}

const ALL_TRAFFIC: Step =
    Step { share: BasisPoints::ALL, min_requests: 0, min_time: Duration::ZERO };

impl Plan {
    /// A plan of these stages; `steps` rise, and the last is of all traffic.
    pub fn new(shadow: Option<Step>, mut steps: Vec<Step>) -> Result<Self, PlanError> {
        if steps.pop() != Some(ALL_TRAFFIC) {
            return Err(PlanError::Last);
        }
        if steps.len() > MAX_STEPS {
            return Err(PlanError::Count(steps.len()));
        }
        if shadow.is_none() && steps.is_empty() {
            return Err(PlanError::NothingToJudge);
        }
        if shadow.is_some_and(|stage| stage.share == BasisPoints::NONE) {
            return Err(PlanError::Share("shadow".to_owned()));
        }
        let shares = std::iter::once(BasisPoints::NONE).chain(steps.iter().map(|step| step.share));
        for (before, step) in shares.zip(&steps) {
            if step.share <= before || step.share == BasisPoints::ALL {
                return Err(PlanError::Rising { before, found: step.share });
            }
        }
        Ok(Plan { shadow, steps, thresholds: Thresholds::default() })
    }

    /// The same plan with other thresholds.
    pub fn with_thresholds(mut self, thresholds: Thresholds) -> Result<Self, PlanError> {
        thresholds.check()?;
        if thresholds.judges_drift() && self.shadow.is_none() {
            return Err(PlanError::DriftWithoutShadow);
        }
        self.thresholds = thresholds;
        Ok(self)
    }

    /// What the candidate is held to.
    pub fn thresholds(&self) -> &Thresholds {
        &self.thresholds
    }

    /// The stage a rollout begins with.
    pub fn first(&self) -> Active {
        if self.shadow.is_some() { Active::Shadow } else { Active::Step(0) }
    }

    /// A stage's share and minimums; `None` when the plan has no such stage.
    pub fn step(&self, stage: Active) -> Option<&Step> {
        match stage {
            Active::Shadow => self.shadow.as_ref(),
            Active::Step(index) => self.steps.get(usize::from(index)),
        }
    }

    /// The stage after `stage`; `None` when that is the promotion.
    pub fn after(&self, stage: Active) -> Option<Active> {
        let next = match stage {
            Active::Shadow => 0,
            Active::Step(index) => index.checked_add(1)?,
        };
        self.steps.get(usize::from(next)).map(|_| Active::Step(next))
    }

    /// How many stages are judged, and so share the chance of a false rollback.
    pub fn judged_stages(&self) -> usize {
        self.steps.len() + usize::from(self.shadow.is_some())
    }
}

impl Default for Plan {
    fn default() -> Self {
        let step = |share, min_requests, minutes: u64| Step {
            share,
            min_requests,
            min_time: Duration::from_secs(60 * minutes),
        };
        let percent = |percent: u16| BasisPoints::new(100 * percent).unwrap_or_default();
        Plan {
            shadow: None,
            steps: vec![
                step(percent(1), 1_000, 10),
                step(percent(10), 8_000, 30),
                step(percent(50), 5_000, 60),
            ],
            thresholds: Thresholds::default(),
        }
    }
}

impl TryFrom<Raw> for Plan {
    type Error = PlanError;

    fn try_from(raw: Raw) -> Result<Self, PlanError> {
        Plan::new(raw.shadow, raw.steps)?.with_thresholds(raw.thresholds)
    }
}

impl From<Plan> for Raw {
    fn from(plan: Plan) -> Self {
        let mut steps = plan.steps;
        steps.push(ALL_TRAFFIC);
        Raw { shadow: plan.shadow, steps, thresholds: plan.thresholds }
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
