//! Rollouts: a candidate that takes over from the version that an alias points to, step by step.
//!
//! What a step is, and when it is taken, others decide (`modelyard-rollout`); plan and state are text
//! here. The registry sees to it that all replicas have the same state, that of many who take a step one
//! succeeds, and that the alias moves in the moment of the promotion.

use serde::Serialize;

use crate::database::events::Actor;
use crate::{AliasName, ModelName, Registry, RegistryError};

/// A rollout, under way or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rollout {
    /// The model.
    pub model: ModelName,
    /// Which of the model's rollouts, from 1.
    pub id: u64,
    /// The alias that moves at its end.
    pub alias: AliasName,
    /// The version that the alias points to.
    pub stable: u64,
    /// The version that is tried.
    pub candidate: u64,
    /// Its plan.
    pub plan: String,
    /// What keeps a client with one version: a header's name, or `parameter:` and a parameter's.
    pub sticky: Option<String>,
    /// Where it stands, for machines.
    pub state: String,
    /// The same for people.
    pub stage: String,
    /// How often its state changed.
    pub epoch: u64,
    /// Whether nothing can happen any more.
    pub has_ended: bool,
    /// When it began: microseconds since 1970, UTC.
    pub begun_us: i64,
    /// Who began it.
    pub begun_by: String,
}

/// What a rollout begins with.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "see Rollout")]
pub struct Begin<'a> {
    pub model: &'a ModelName,
    pub alias: &'a AliasName,
    pub candidate: u64,
    pub plan: &'a str,
    pub sticky: Option<&'a str>,
    pub state: &'a str,
    pub stage: &'a str,
}

/// A change of a rollout's state.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Where it stands then, for machines.
    pub state: &'a str,
    /// The same for people.
    pub stage: &'a str,
    /// The epoch of that state, above the one that was.
    pub epoch: u64,
    /// Whether it is the end.
    pub ends: bool,
    /// Whether the alias moves to the candidate.
    pub promotes: bool,
}

impl Registry {
    /// The rollout of a model that is under way, or else the last one.
    pub async fn rollout(&self, model: &ModelName) -> Result<Option<Rollout>, RegistryError> {
        self.database.rollout(model).await
    }

    /// Begins a rollout, unless one is under way. What the alias points to is the stable version.
    pub async fn begin_rollout(
        &self,
        begin: &Begin<'_>,
        actor: &Actor,
    ) -> Result<Rollout, RegistryError> {
        self.database.begin_rollout(begin, actor).await
    }

    /// Takes a step, if nobody has taken one since `rollout` was read. Where it promotes, the alias must
    /// still point to the stable version.
    pub async fn step_rollout(
        &self,
        rollout: &Rollout,
        step: &Step<'_>,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        self.database.step_rollout(rollout, step, actor).await
    }

    /// Says what a replica has counted since a stage began, in place of what it said before.
    pub async fn report_figures(
        &self,
        (model, stage): (&ModelName, &str),
        replica: &str,
        figures: &str,
    ) -> Result<(), RegistryError> {
        self.database.report_figures((model, stage), replica, figures).await
    }

    /// What all replicas have counted since a stage began.
    pub async fn figures(
        &self,
        model: &ModelName,
        stage: &str,
    ) -> Result<Vec<String>, RegistryError> {
        self.database.figures(model, stage).await
    }
}
