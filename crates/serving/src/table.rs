//! Which versions there are and which of them answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::reload::Standing;
use crate::{InferError, Version};

/// Where a version stands.
#[derive(Clone)]
pub enum VersionState {
    /// Being loaded.
    Loading,
    /// Answers requests, except while its session is being loaded again after a panic.
    Ready(Arc<Version>),
    /// Does not answer; the text says why.
    Unavailable(String),
}

/// One line of the repository index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Name of the model.
    pub model: String,
    /// Version number.
    pub version: u64,
    /// `READY`, `LOADING` or `UNAVAILABLE`, as in Triton.
    pub state: &'static str,
    /// Why it is unavailable; empty otherwise.
    pub reason: String,
}

/// All models and versions at one moment; never changed, only replaced.
#[derive(Clone, Default)]
pub(crate) struct RoutingTable {
    models: BTreeMap<String, Model>,
}

#[derive(Clone, Default)]
struct Model {
    versions: BTreeMap<u64, VersionState>,
    /// The highest version that is ready: answers requests that name none.
    default: Option<Arc<Version>>,
}

impl RoutingTable {
    /// The version that answers requests for `model`.
    pub(crate) fn resolve(
        &self,
        model: &str,
        number: Option<u64>,
    ) -> Result<&Arc<Version>, InferError> {
        let Some(entry) = self.models.get(model) else {
            return Err(InferError::not_found(format!("unknown model '{}'", shorten(model))));
        };
        let Some(number) = number else {
            return entry.default.as_ref().ok_or_else(|| entry.nothing_ready(model));
        };
        match entry.versions.get(&number) {
            Some(VersionState::Ready(version)) => Ok(version),
            Some(state) => Err(state.unavailable(model, number)),
            None => Err(InferError::not_found(format!(
                "unknown version {number} of model '{model}', there {}",
                entry.list()
            ))),
        }
    }

    /// Whether that version answers now.
    pub(crate) fn answers(&self, model: &str, number: Option<u64>) -> bool {
        self.resolve(model, number).is_ok_and(|version| version.standing() == Standing::Up)
    }

    /// The same table with one version's state replaced.
    pub(crate) fn with(&self, model: &str, number: u64, state: VersionState) -> Self {
        let mut table = self.clone();
        let entry = table.models.entry(model.to_owned()).or_default();
        entry.versions.insert(number, state);
        entry.default = entry.versions.values().rev().find_map(VersionState::version).cloned();
        table
    }

    /// Every version's line, by model and number.
    pub(crate) fn index(&self) -> Vec<IndexEntry> {
        let entry = |model: &String, (number, state): (&u64, &VersionState)| IndexEntry {
            model: model.clone(),
            version: *number,
            state: state.name(),
            reason: state.reason().unwrap_or_default(),
        };
        self.models
            .iter()
            .flat_map(|(name, model)| model.versions.iter().map(move |line| entry(name, line)))
            .collect()
    }

    /// Every version that answers.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.models.values().flat_map(|model| model.versions.values()).filter_map(|s| s.version())
    }

    /// Names of the models.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// Whether every version of every model answers.
    pub(crate) fn all_ready(&self) -> bool {
        let versions = |model: &Model| model.versions.values().all(VersionState::answers);
        self.models.values().all(versions)
    }
}

impl Model {
    fn nothing_ready(&self, model: &str) -> InferError {
        match self.versions.iter().next_back() {
            Some((number, state)) => state.unavailable(model, *number),
            None => InferError::not_found(format!("model '{model}' has no versions")),
        }
    }

    fn list(&self) -> String {
        let numbers: Vec<String> = self.versions.keys().map(u64::to_string).collect();
        match numbers.as_slice() {
            [only] => format!("is version {only}"),
            several => format!("are versions {}", several.join(", ")),
        }
    }
}

impl VersionState {
    fn version(&self) -> Option<&Arc<Version>> {
        match self {
            VersionState::Ready(version) => Some(version),
            _ => None,
        }
    }

    /// Whether it is loaded and its engine has not panicked since.
    fn answers(&self) -> bool {
        self.version().is_some_and(|version| version.standing() == Standing::Up)
    }

    fn name(&self) -> &'static str {
        match self.standing() {
            Standing::Loading => "LOADING",
            Standing::Up => "READY",
            Standing::Failed(_) => "UNAVAILABLE",
        }
    }

    fn reason(&self) -> Option<String> {
        match self.standing() {
            Standing::Failed(reason) => Some(reason),
            _ => None,
        }
    }

    fn standing(&self) -> Standing {
        match self {
            VersionState::Loading => Standing::Loading,
            VersionState::Ready(version) => version.standing(),
            VersionState::Unavailable(reason) => Standing::Failed(reason.clone()),
        }
    }

    fn unavailable(&self, model: &str, number: u64) -> InferError {
        let message = match self {
            VersionState::Unavailable(why) => {
                format!("version {number} of model '{model}' is unavailable: {why}")
            }
            _ => format!("version {number} of model '{model}' is still loading"),
        };
        InferError::unavailable(message)
    }
}

/// Names from the wire are cut: they come back in error messages and logs.
fn shorten(name: &str) -> String {
    const SHOWN: usize = 128;
    match name.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}
