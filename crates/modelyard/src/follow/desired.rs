//! What the registry says of the models that are wanted.

use std::sync::Arc;

use modelyard_registry::{
    AliasName, ModelName, Reference, Registry, RegistryError, Selector, State, Version,
};

use super::Rolling;
use super::wanted::{Choice, Wanted};
use crate::config::model::VersionPolicy;

/// A model as the registry has it now.
#[derive(Clone, Debug)]
pub(crate) struct Desired {
    /// Its name.
    pub(crate) model: ModelName,
    /// The versions to serve, ascending; or why none is known.
    pub(crate) versions: Result<Vec<Arc<Version>>, String>,
    /// The version that answers requests that name none.
    pub(crate) default: Option<u64>,
    /// A candidate that takes over from it.
    pub(crate) rolling: Option<Rolling>,
    /// What could not be found although somebody asked for it, beside the rest.
    pub(crate) warnings: Vec<String>,
}

/// What makes two states of a model the same one: versions, the one that leads, and where its rollout
/// stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    versions: Result<Vec<u64>, String>,
    default: Option<u64>,
    rolling: Option<(u64, u64)>,
}

impl Desired {
    /// A model of which nothing is known yet, or why nothing is.
    pub(crate) fn unknown(model: ModelName, reason: String) -> Desired {
        let (default, rolling, warnings) = (None, None, Vec::new());
        Desired { model, versions: Err(reason), default, rolling, warnings }
    }

    /// Numbers of its versions, ascending.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let versions = self.versions.iter().flatten();
        versions.map(|version| version.manifest.version).collect()
    }

    /// What is to be served, in short. A number never means another version.
    pub(crate) fn outline(&self) -> Outline {
        let numbers = |versions: &Vec<Arc<Version>>| {
            versions.iter().map(|version| version.manifest.version).collect()
        };
        Outline {
            versions: self.versions.as_ref().map(numbers).map_err(String::clone),
            default: self.default,
            rolling: self.rolling.as_ref().map(|one| (one.record.id, one.record.epoch)),
        }
    }
}

/// Looks a model up. What is wrong with the model itself is part of the answer; an error is one of
/// the registry.
pub(crate) async fn read(
    registry: &Registry,
    wanted: &Wanted,
    policy: &VersionPolicy,
) -> Result<Desired, RegistryError> {
    let model = &wanted.model;
    let mut found: Vec<Arc<Version>> = Vec::new();
    let mut desired = Desired::unknown(model.clone(), String::new());
    for (index, choice) in wanted.choices.iter().enumerate() {
        let versions = match versions(registry, model, choice, policy).await {
            Err(
                error @ (RegistryError::Database { .. }
                | RegistryError::Store { .. }
                | RegistryError::Io { .. }),
            ) => return Err(error),
            // What answers most requests is not guessed at.
            Err(error) if index == 0 => {
                desired.versions = Err(error.to_string());
                return Ok(desired);
            }
            Err(error) => {
                desired.warnings.push(error.to_string());
                continue;
            }
            Ok(versions) => versions,
        };
        if index == 0 {
            desired.default = versions.last().map(|version| version.manifest.version);
        }
        found.extend(versions.into_iter().map(Arc::new));
    }
    if let Some(Choice::One(Selector::Alias(alias))) = wanted.choices.first()
        && let Some(rolling) = rolling(registry, model, alias).await?
    {
        let candidate = Choice::One(Selector::Number(rolling.record.candidate));
        match versions(registry, model, &candidate, policy).await {
            Ok(candidate) => found.extend(candidate.into_iter().map(Arc::new)),
            Err(error) => desired.warnings.push(error.to_string()),
        }
        desired.rolling = Some(rolling);
    }
    found.sort_by_key(|version| version.manifest.version);
    found.dedup_by_key(|version| version.manifest.version);
    desired.versions = Ok(found);
    Ok(desired)
}

/// The rollout under way that moves this alias.
async fn rolling(
    registry: &Registry,
    model: &ModelName,
    alias: &AliasName,
) -> Result<Option<Rolling>, RegistryError> {
    let record = registry.rollout(model).await?;
    let record = record.filter(|record| !record.has_ended && record.alias == *alias);
    record
        .map(Rolling::read)
        .transpose()
        .map_err(|error| RegistryError::Invalid(format!("{error:#}")))
}

async fn versions(
    registry: &Registry,
    model: &ModelName,
    choice: &Choice,
    policy: &VersionPolicy,
) -> Result<Vec<Version>, RegistryError> {
    let one = async |selector: Selector| {
        let version = registry.find(&Reference { model: model.clone(), selector }).await?;
        match version.state {
            State::Active | State::Deprecated => Ok(version),
            State::Removed => Err(RegistryError::NotFound(format!(
                "version {} of model '{model}' was removed",
                version.manifest.version
            ))),
        }
    };
    match (choice, policy) {
        (Choice::One(selector), _) => Ok(vec![one(selector.clone()).await?]),
        (Choice::ByPolicy, VersionPolicy::Latest(1)) => Ok(vec![one(Selector::Latest).await?]),
        (Choice::ByPolicy, VersionPolicy::Specific(numbers)) => {
            let mut versions = Vec::new();
            for number in numbers {
                versions.push(one(Selector::Number(*number)).await?);
            }
            versions.sort_by_key(|version| version.manifest.version);
            Ok(versions)
        }
        (Choice::ByPolicy, policy) => {
            let mut versions = registry.versions(model).await?;
            versions.retain(|version| version.state == State::Active);
            if let VersionPolicy::Latest(count) = policy {
                versions.drain(..versions.len().saturating_sub(*count));
            }
            match versions.is_empty() {
                true => Err(RegistryError::NotFound(format!(
                    "model '{model}' has no version that is active"
                ))),
                false => Ok(versions),
            }
        }
    }
}
