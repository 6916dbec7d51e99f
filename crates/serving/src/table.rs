//! Which versions there are and which answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Version;

/// Where a version stands.
#[derive(Clone)]
pub enum VersionState {
    /// Being loaded.
    Loading,
    /// Answers requests.
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
    pub(crate) models: BTreeMap<String, BTreeMap<u64, VersionState>>,
}
