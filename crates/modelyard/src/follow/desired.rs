//! What the registry says of the models that are wanted.

use std::sync::Arc;

use modelyard_registry::{ModelName, Reference, Registry, RegistryError, Selector, State, Version};

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
    /// What could not be found although somebody asked for it, beside the rest.
    pub(crate) warnings: Vec<String>,
}

/// What makes two states of a model the same one.
pub(crate) type Outline = (Result<Vec<u64>, String>, Option<u64>);

impl Desired {
    /// Numbers of the versions, and which of them answers. A number never means another version.
    pub(crate) fn outline(&self) -> Outline {
        let numbers = |versions: &Vec<Arc<Version>>| {
            versions.iter().map(|version| version.manifest.version).collect()
        };
        (self.versions.as_ref().map(numbers).map_err(String::clone), self.default)
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
    let mut desired = Desired {
        model: model.clone(),
        versions: Ok(Vec::new()),
        default: None,
        warnings: Vec::new(),
    };
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
    found.sort_by_key(|version| version.manifest.version);
    found.dedup_by_key(|version| version.manifest.version);
    desired.versions = Ok(found);
    Ok(desired)
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
