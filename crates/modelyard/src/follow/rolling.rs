//! A rollout as it is understood here: plan and state of the registry's text.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use modelyard_registry::{Actor, Registry, RegistryError, Rollout, RolloutStep};
use modelyard_rollout::{ApplyError, Event, Plan, Split, Stage, State, Timestamp};
use modelyard_serving::{Route, Sticky, Trial};

/// A rollout.
#[derive(Clone, Debug)]
pub(crate) struct Rolling {
    /// As the registry has it.
    pub(crate) record: Rollout,
    /// What it does, and what it must not break.
    pub(crate) plan: Plan,
    /// Where it stands.
    pub(crate) state: State,
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum StepError {
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("failed to write the rollout's state")]
    Write(#[from] serde_json::Error),
}

impl Rolling {
    /// Understands a rollout of the registry.
    pub(crate) fn read(record: Rollout) -> anyhow::Result<Rolling> {
        let model = &record.model;
        let what = |part| format!("failed to understand the {part} of the rollout of '{model}'");
        let plan = serde_json::from_str(&record.plan).with_context(|| what("plan"))?;
        let state = serde_json::from_str(&record.state).with_context(|| what("state"))?;
        Ok(Rolling { record, plan, state })
    }

    /// What counts belong to: a stage of this rollout. A pause does not end one.
    pub(crate) fn stage_key(&self) -> String {
        format!("{}/{}", self.record.id, self.state.since.0)
    }

    /// What counts in this stage, beginning at zero.
    pub(crate) fn trial(&self) -> Trial {
        Trial::new(self.record.candidate, self.state.shadow_share(&self.plan))
    }

    /// How requests are shared in this stage.
    pub(crate) fn route(&self, trial: Arc<Trial>) -> Route {
        let before = Split::all(self.record.stable);
        let split = self.state.split(&self.plan, &before, self.record.candidate);
        Route {
            // One version beside another one always makes a split.
            split: split.unwrap_or(before),
            sticky: self.record.sticky.as_deref().map(Sticky::parse),
            trial: Some(trial),
        }
    }

    /// Has something happen to it, for all replicas; nothing where a decision changes nothing.
    pub(crate) async fn happen(
        &self,
        registry: &Registry,
        event: &Event<'_>,
        actor: &Actor,
    ) -> Result<Option<State>, StepError> {
        let state = self.state.apply(&self.plan, event, now())?;
        if state == self.state {
            return Ok(None);
        }
        let step = RolloutStep {
            state: &serde_json::to_string(&state)?,
            stage: &state.stage.to_string(),
            epoch: state.epoch,
            ends: state.stage.is_end(),
            promotes: state.stage == Stage::Promoted,
        };
        registry.step_rollout(&self.record, &step, actor).await?;
        Ok(Some(state))
    }
}

/// By this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
