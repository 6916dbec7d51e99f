//! Where a rollout stands, and what may happen to it.
//!
//! ```text
//! shadow ─┬→ step 1 → step 2 → … → promoted
//!         │     any of these may be paused and resumed,
//!         └──→  rolled back (by the judge), aborted or promoted (by somebody)
//! ```
//!
//! A state is stored where all replicas see it and replaced by compare-and-swap on its epoch.
//! Every transition raises the epoch by one, and a decision is good for the epoch that it was
//! made in only, so of many replicas that decide at once one takes the step.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Action, BasisPoints, Decision, Plan, Split, SplitError};

/// A moment, in milliseconds since the Unix epoch, by the caller's clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time since an earlier moment; zero when the clock jumped back before it.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A stage in which the candidate is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Active {
    /// Copies of requests go to the candidate; its answers are compared, never returned.
    Shadow,
    /// The plan's step by index, from 0.
    Step(u16),
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Watched, and moved by the judge.
    Active(Active),
    /// Watched with the same weights, and moved by nobody until it is resumed.
    Paused(Active),
    /// The candidate has all traffic. The end.
    Promoted,
    /// The judge took all traffic from the candidate. The end.
    RolledBack,
    /// Somebody took all traffic from the candidate. The end.
    Aborted,
}

impl Stage {
    /// The stage whose weights hold, unless this is an end.
    pub fn active(self) -> Option<Active> {
        match self {
            Stage::Active(active) | Stage::Paused(active) => Some(active),
            Stage::Promoted | Stage::RolledBack | Stage::Aborted => None,
        }
    }

    /// Whether nothing can happen any more.
    pub fn is_end(self) -> bool {
        self.active().is_none()
    }
}

/// A rollout's state, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Where it stands.
    pub stage: Stage,
    /// How many transitions led here, counted from 1 when it began.
    pub epoch: u64,
    /// When the stage began that is watched, or the end was reached. A pause leaves it: the
    /// weights stayed and requests were counted, so observations since then stay good.
    pub since: Timestamp,
    /// When the last transition was.
    pub changed: Timestamp,
}

/// What may happen to a rollout.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The judge decided. [`Action::Continue`] changes nothing.
    Decided(&'a Decision),
    /// Stop moving.
    Pause,
    /// Move again.
    Resume,
    /// Take all traffic from the candidate, for good.
    Abort,
    /// Give all traffic to the candidate, whatever the judge would say.
    PromoteNow,
}

/// Why an event changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum ApplyError {
    #[error("the rollout is {0} already; begin another one")]
    Ended(Stage),
    #[error(
        "the decision was made in epoch {decided}, but the rollout is in epoch {current} by now"
    )]
    Stale { decided: u64, current: u64 },
    #[error("the rollout is {0}; resume it first")]
    Paused(Stage),
    #[error("the rollout is not paused but {0}")]
    NotPaused(Stage),
    #[error("the plan has no stage like the rollout's, {0}; was it changed?")]
    NoSuchStage(Stage),
    #[error("the rollout has had more transitions than can be counted")]
    TooManyEpochs,
}

impl State {
    /// A rollout that begins now.
    pub fn begin(plan: &Plan, now: Timestamp) -> Self {
        State { stage: Stage::Active(plan.first()), epoch: 1, since: now, changed: now }
    }

    /// The state after an event, to be stored if the stored one still has this epoch.
    pub fn apply(
        &self,
        plan: &Plan,
        event: &Event<'_>,
        now: Timestamp,
    ) -> Result<State, ApplyError> {
        let active = self.stage.active().ok_or(ApplyError::Ended(self.stage))?;
        match event {
            Event::Decided(decision) => self.decided(plan, active, decision, now),
            Event::Pause if self.stage == Stage::Paused(active) => {
                Err(ApplyError::Paused(self.stage))
            }
            Event::Pause => self.to(Stage::Paused(active), self.since, now),
            Event::Resume if self.stage == Stage::Active(active) => {
                Err(ApplyError::NotPaused(self.stage))
            }
            // A stage that began in the future, by a clock that was wrong, would never end.
            Event::Resume => self.to(Stage::Active(active), self.since.min(now), now),
            Event::Abort => self.to(Stage::Aborted, now, now),
            Event::PromoteNow => self.to(Stage::Promoted, now, now),
        }
    }

    fn decided(
        &self,
        plan: &Plan,
        active: Active,
        decision: &Decision,
        now: Timestamp,
    ) -> Result<State, ApplyError> {
        if decision.epoch != self.epoch {
            return Err(ApplyError::Stale { decided: decision.epoch, current: self.epoch });
        }
        if plan.step(active).is_none() {
            return Err(ApplyError::NoSuchStage(self.stage));
        }
        if decision.action != Action::Continue && self.stage == Stage::Paused(active) {
            return Err(ApplyError::Paused(self.stage));
        }
        match decision.action {
            Action::Continue => Ok(*self),
            Action::RollBack => self.to(Stage::RolledBack, now, now),
            Action::Advance | Action::Promote => {
                let next = plan.after(active).map_or(Stage::Promoted, Stage::Active);
                self.to(next, now, now)
            }
        }
    }

    fn to(&self, stage: Stage, since: Timestamp, now: Timestamp) -> Result<State, ApplyError> {
        let epoch = self.epoch.checked_add(1).ok_or(ApplyError::TooManyEpochs)?;
        Ok(State { stage, epoch, since, changed: now })
    }

    /// The candidate's share of answers.
    pub fn share(&self, plan: &Plan) -> BasisPoints {
        match self.stage {
            Stage::Active(active @ Active::Step(_)) | Stage::Paused(active @ Active::Step(_)) => {
                plan.step(active).map(|step| step.share).unwrap_or_default()
            }
            Stage::Promoted => BasisPoints::ALL,
            _ => BasisPoints::NONE,
        }
    }

    /// The share of requests to copy to the candidate.
    pub fn shadow_share(&self, plan: &Plan) -> BasisPoints {
        let shadowing = self.stage.active() == Some(Active::Shadow);
        let stage = plan.step(Active::Shadow).filter(|_| shadowing);
        stage.map(|stage| stage.share).unwrap_or_default()
    }

    /// The split that routes requests, with the candidate beside what answered before.
    pub fn split(&self, plan: &Plan, before: &Split, candidate: u64) -> Result<Split, SplitError> {
        before.with_candidate(candidate, self.share(plan))
    }
}

impl fmt::Display for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Active::Shadow => f.write_str("shadow"),
            Active::Step(index) => write!(f, "step {}", u32::from(*index) + 1),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Active(active) => write!(f, "in {active}"),
            Stage::Paused(active) => write!(f, "paused in {active}"),
            Stage::Promoted => f.write_str("promoted"),
            Stage::RolledBack => f.write_str("rolled back"),
            Stage::Aborted => f.write_str("aborted"),
        }
    }
}
