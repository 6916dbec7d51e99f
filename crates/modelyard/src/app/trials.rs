//! Rollouts that this server takes part in: counts what becomes of requests, tells the registry, and
//! judges what all servers have counted. Whoever comes to a decision first takes the step.

use std::collections::BTreeMap;
use std::sync::Arc;

use modelyard_registry::{Actor, ModelName, Registry, RegistryError};
use modelyard_rollout::{Action, Event, Metric, Observations, Stage, judge};
use modelyard_serving::{Route, Trial};

use super::controller::Outcome;
use crate::follow::{Desired, Rolling, StepError, now};

/// The rollouts of this server's models.
pub(super) struct Trials {
    /// What this server calls itself.
    replica: String,
    running: BTreeMap<ModelName, Running>,
}

/// A stage that is being watched.
struct Running {
    key: String,
    trial: Arc<Trial>,
    /// What the registry knows of it.
    reported: Option<Observations>,
}

impl Trials {
    pub(super) fn new(replica: &str) -> Trials {
        Trials { replica: replica.to_owned(), running: BTreeMap::new() }
    }

    /// How requests for a model are to be shared. Counts go on where the stage is the same.
    pub(super) fn route(&mut self, desired: &Desired) -> Option<Route> {
        // Whose alias was moved has no ground to share requests on, until it is ended.
        let rolling = desired.rolling.as_ref().filter(|rolling| stray(rolling, desired).is_none());
        let Some(rolling) = rolling else {
            self.running.remove(&desired.model);
            return desired.default.map(Route::to);
        };
        let key = rolling.stage_key();
        let running = self.running.get(&desired.model).filter(|running| running.key == key);
        let trial = match running {
            Some(running) => running.trial.clone(),
            None => {
                let trial = Arc::new(rolling.trial());
                let running = Running { key, trial: trial.clone(), reported: None };
                self.running.insert(desired.model.clone(), running);
                trial
            }
        };
        Some(rolling.route(trial))
    }

    /// Tells the registry what was counted, judges what all have counted, and takes the step that
    /// follows. Says whether it took one.
    pub(super) async fn go_on(
        &mut self,
        registry: &Registry,
        desired: &Desired,
    ) -> Result<bool, StepError> {
        let Some(rolling) = &desired.rolling else { return Ok(false) };
        if let Some(why) = stray(rolling, desired) {
            return self.happen(registry, rolling, &Event::Abort, why).await;
        }
        let Some(running) = self.running.get_mut(&desired.model) else { return Ok(false) };
        let counted = running.trial.observations();
        if running.reported.as_ref() != Some(&counted) {
            let figures = serde_json::to_string(&counted)?;
            let stage = (&desired.model, running.key.as_str());
            registry.report_figures(stage, &self.replica, &figures).await?;
            running.reported = Some(counted);
        }
        if !matches!(rolling.state.stage, Stage::Active(_)) {
            return Ok(false);
        }
        let observed = self::observed(registry, rolling, desired).await?;
        let decision = judge(&rolling.plan, &rolling.state, &observed, now());
        if decision.action == Action::Continue {
            return Ok(false);
        }
        let why = decision.reason.clone();
        self.happen(registry, rolling, &Event::Decided(&decision), why).await
    }

    /// Ends a rollout whose candidate does not load.
    pub(super) async fn give_up(
        &self,
        registry: &Registry,
        desired: &Desired,
        outcome: &Outcome,
    ) -> Result<bool, StepError> {
        let Some(rolling) = &desired.rolling else { return Ok(false) };
        let mut failures = outcome.failures.iter();
        match failures.find(|failure| failure.version == rolling.record.candidate) {
            Some(failure) => {
                let why = format!("the candidate does not load: {}", failure.reason);
                self.happen(registry, rolling, &Event::Abort, why).await
            }
            None => Ok(false),
        }
    }

    async fn happen(
        &self,
        registry: &Registry,
        rolling: &Rolling,
        event: &Event<'_>,
        why: String,
    ) -> Result<bool, StepError> {
        let model = rolling.record.model.as_str();
        let now_us = i64::try_from(now().0.saturating_mul(1000)).unwrap_or(i64::MAX);
        let actor = Actor { name: self.replica.clone(), now_us, why };
        match rolling.happen(registry, event, &actor).await {
            Ok(Some(state)) => {
                let (stage, why) = (state.stage.to_string(), &actor.why);
                tracing::info!(model, stage, "rollout: {why}");
                Ok(true)
            }
            Ok(None) => Ok(false),
            // Another server was faster, or somebody did something else: the next look shows it.
            Err(StepError::Registry(RegistryError::Conflict(text))) => {
                tracing::info!(model, "rollout: {text}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Why a rollout has no ground any more: somebody moved the alias that it would move.
fn stray(rolling: &Rolling, desired: &Desired) -> Option<String> {
    let record = &rolling.record;
    let default = desired.default.filter(|default| *default != record.stable)?;
    Some(format!(
        "alias '{}' was moved to version {default}, the rollout began from {}",
        record.alias, record.stable
    ))
}

/// What all servers have counted in this stage, and what the candidate's author measured.
async fn observed(
    registry: &Registry,
    rolling: &Rolling,
    desired: &Desired,
) -> Result<Observations, StepError> {
    let mut all = Observations::default();
    for figures in registry.figures(&desired.model, &rolling.stage_key()).await? {
        match serde_json::from_str::<Observations>(&figures) {
            Ok(figures) => all.merge(&figures),
            Err(error) => {
                // Of a newer modelyard, perhaps: then it judges.
                tracing::warn!("figures of another server are not understood: {error}");
            }
        }
    }
    let versions = desired.versions.iter().flatten();
    let candidate =
        versions.into_iter().find(|one| one.manifest.version == rolling.record.candidate);
    let metrics = candidate.iter().flat_map(|version| &version.manifest.about.metrics);
    all.metrics.extend(metrics.map(|(name, value)| Metric { name: name.clone(), value: *value }));
    Ok(all)
}
