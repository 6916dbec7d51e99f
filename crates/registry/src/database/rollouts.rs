//! Rollouts, one of a model at a time, and what replicas saw of them.

use super::aliases::{self, Expected};
use super::events::{Action, Actor, Change, add};
use super::{Database, Row, Writing, commit, count, number, text};
use crate::error::database;
use crate::rollouts::{Begin, Rollout, Step};
use crate::{ModelName, RegistryError};

/// Columns of a rollout, in the order of [`rollout`].
const COLUMNS: &str = "model, id, alias, stable, candidate, plan, sticky, state, stage, epoch, ended, begun_us, begun_by";

fn rollout(row: &Row) -> Result<Rollout, RegistryError> {
    Ok(Rollout {
        model: text(row, 0)?.parse()?,
        id: count(row, 1)?,
        alias: text(row, 2)?.parse()?,
        stable: count(row, 3)?,
        candidate: count(row, 4)?,
        plan: text(row, 5)?,
        sticky: Some(text(row, 6)?).filter(|name| !name.is_empty()),
        state: text(row, 7)?,
        stage: text(row, 8)?,
        epoch: count(row, 9)?,
        has_ended: number(row, 10)? != 0,
        begun_us: number(row, 11)?,
        begun_by: text(row, 12)?,
    })
}

impl Database {
    /// The rollout of a model that is under way, or else the last one.
    pub(crate) async fn rollout(
        &self,
        model: &ModelName,
    ) -> Result<Option<Rollout>, RegistryError> {
        // Constants only.
        let query = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM rollouts WHERE model = $1"));
        let row = sqlx::query(query).bind(model.as_str()).fetch_optional(self.pool()).await;
        row.map_err(database("read"))?.as_ref().map(rollout).transpose()
    }

    /// Begins a rollout from where an alias points, unless one is under way.
    pub(crate) async fn begin_rollout(
        &self,
        begin: &Begin<'_>,
        actor: &Actor,
    ) -> Result<Rollout, RegistryError> {
        let Begin { model, alias, candidate, plan, sticky, state, stage } = *begin;
        let mut transaction = self.write().await?;
        aliases::require_version(&mut transaction, model, candidate).await?;
        let Some(stable) = aliases::pointed(&mut transaction, model, alias).await? else {
            return Err(RegistryError::NotFound(format!(
                "alias '{alias}' of model '{model}' points nowhere: there is nothing to roll out from"
            )));
        };
        if stable == candidate {
            return Err(RegistryError::Conflict(format!(
                "alias '{alias}' of model '{model}' points to version {candidate} already"
            )));
        }
        let begun = sqlx::query(
            "INSERT INTO rollouts (model, id, alias, stable, candidate, plan, sticky, state, stage, \
             epoch, ended, begun_us, begun_by) \
             VALUES ($1, 1, $2, $3, $4, $5, $6, $7, $8, 1, 0, $9, $10) \
             ON CONFLICT (model) DO UPDATE SET id = rollouts.id + 1, alias = excluded.alias, \
             stable = excluded.stable, candidate = excluded.candidate, plan = excluded.plan, \
             sticky = excluded.sticky, state = excluded.state, stage = excluded.stage, epoch = 1, \
             ended = 0, begun_us = excluded.begun_us, begun_by = excluded.begun_by \
             WHERE rollouts.ended = 1",
        )
        .bind(model.as_str())
        .bind(alias.as_str())
        .bind(stable.cast_signed())
        .bind(candidate.cast_signed())
        .bind(plan)
        .bind(sticky.unwrap_or_default())
        .bind(state)
        .bind(stage)
        .bind(actor.now_us)
        .bind(actor.name.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(database("write to"))?;
        if begun.rows_affected() != 1 {
            return Err(RegistryError::Conflict(format!(
                "a rollout of model '{model}' is under way; end it first: promote or abort"
            )));
        }
        forget_figures(&mut transaction, model).await?;
        let (subject, was) = (candidate.to_string(), format!("{alias} is {stable}"));
        let change = Change { model: model.as_str(), subject: &subject, was: &was, now: stage };
        add(&mut transaction, actor, (Action::Rollout, change)).await?;
        commit(transaction).await?;
        self.rollout(model).await?.ok_or_else(|| {
            RegistryError::NotFound(format!("the rollout of model '{model}' is gone already"))
        })
    }

    /// Takes a step if the rollout is still in the epoch that it was decided in; of many who decide the
    /// same, one succeeds. A promotion moves the alias at the same moment.
    pub(crate) async fn step_rollout(
        &self,
        rollout: &Rollout,
        step: &Step<'_>,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        let Rollout { model, id, alias, stable, candidate, .. } = rollout;
        let mut transaction = self.write().await?;
        if step.promotes {
            aliases::require_version(&mut transaction, model, *candidate).await?;
        }
        let stepped = sqlx::query(
            "UPDATE rollouts SET state = $1, stage = $2, epoch = $3, ended = $4 \
             WHERE model = $5 AND id = $6 AND epoch = $7 AND ended = 0",
        )
        .bind(step.state)
        .bind(step.stage)
        .bind(step.epoch.cast_signed())
        .bind(i64::from(step.ends))
        .bind(model.as_str())
        .bind(id.cast_signed())
        .bind(rollout.epoch.cast_signed())
        .execute(&mut *transaction)
        .await
        .map_err(database("write to"))?;
        if stepped.rows_affected() != 1 {
            return Err(RegistryError::Conflict(format!(
                "the rollout of model '{model}' was moved on by somebody else at the same time"
            )));
        }
        if step.promotes {
            let change = (Expected::Version(*stable), *candidate);
            let how = (actor, Action::Alias);
            aliases::set(&mut transaction, (model, alias), change, how).await?;
        }
        if step.ends {
            forget_figures(&mut transaction, model).await?;
        }
        let subject = candidate.to_string();
        let change = Change {
            model: model.as_str(),
            subject: &subject,
            was: &rollout.stage,
            now: step.stage,
        };
        add(&mut transaction, actor, (Action::Rollout, change)).await?;
        commit(transaction).await
    }

    /// Replaces what a replica saw of a stage; what it saw of earlier ones is forgotten.
    pub(crate) async fn report_figures(
        &self,
        (model, stage): (&ModelName, &str),
        replica: &str,
        figures: &str,
    ) -> Result<(), RegistryError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO rollout_figures (model, replica, stage, figures) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (model, replica) DO UPDATE SET stage = excluded.stage, \
             figures = excluded.figures",
        )
        .bind(model.as_str())
        .bind(replica)
        .bind(stage)
        .bind(figures)
        .execute(&mut *transaction)
        .await
        .map_err(database("write to"))?;
        commit(transaction).await
    }

    /// What all replicas saw of a stage.
    pub(crate) async fn figures(
        &self,
        model: &ModelName,
        stage: &str,
    ) -> Result<Vec<String>, RegistryError> {
        let rows = sqlx::query(
            "SELECT figures FROM rollout_figures WHERE model = $1 AND stage = $2 ORDER BY replica",
        )
        .bind(model.as_str())
        .bind(stage)
        .fetch_all(self.pool())
        .await
        .map_err(database("read"))?;
        rows.iter().map(|row| text(row, 0)).collect()
    }
}

/// Names of aliases that a rollout under way takes a version from or to.
pub(super) async fn of_version(
    transaction: &mut Writing,
    model: &ModelName,
    version: u64,
) -> Result<Vec<String>, RegistryError> {
    let rows = sqlx::query(
        "SELECT alias FROM rollouts WHERE model = $1 AND ended = 0 AND (stable = $2 OR candidate = $2)",
    )
    .bind(model.as_str())
    .bind(version.cast_signed())
    .fetch_all(&mut **transaction)
    .await
    .map_err(database("read"))?;
    rows.iter().map(|row| text(row, 0)).collect()
}

async fn forget_figures(transaction: &mut Writing, model: &ModelName) -> Result<(), RegistryError> {
    sqlx::query("DELETE FROM rollout_figures WHERE model = $1")
        .bind(model.as_str())
        .execute(&mut **transaction)
        .await
        .map_err(database("write to"))?;
    Ok(())
}
