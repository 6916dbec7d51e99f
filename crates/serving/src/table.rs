//! Which versions there are and which of them answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::reload::Standing;
use crate::{ErrorCode, InferError, Route, Routed, Sticky, Version};

/// Where a version stands.
#[derive(Clone)]
pub enum VersionState {
    /// Being loaded.
    Loading,
    /// Answers requests, except while its session is being loaded again after a panic.
    Ready(Arc<Version>),
    /// Answers as before: what was to take its place is not available; the text says why.
    Kept(Arc<Version>, String),
    /// Does not answer; the text says why.
    Unavailable(String),
    /// Not in memory; loaded with the first request for it. With a text: that failed the last time,
    /// which the text says why.
    StandsBy(Option<String>),
    /// Was taken out.
    Unloaded,
}

/// Lines that the index keeps of a model's unloaded versions: the latest, or it would grow with
/// every switch.
const UNLOADED_LINES: usize = 8;

/// One line of the repository index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Name of the model.
    pub model: String,
    /// Version number.
    pub version: u64,
    /// `READY`, `LOADING`, `UNLOADING` or `UNAVAILABLE`, as in Triton.
    pub state: &'static str,
    /// Why it, or what was to take its place, is unavailable; empty otherwise.
    pub reason: String,
    /// Whether strict readiness asks for it: it was there at the start, or it is loaded. What is
    /// loaded later and fails takes no readiness away.
    pub required: bool,
}

/// All models and versions at one moment; never changed, only replaced.
#[derive(Clone, Default)]
pub(crate) struct RoutingTable {
    models: BTreeMap<String, Model>,
}

#[derive(Clone, Default)]
struct Model {
    versions: BTreeMap<u64, Entry>,
    /// Which versions answer requests that name none; the highest, unless somebody said.
    route: Option<Arc<Route>>,
    /// The one that leads: the only one of the route, or the first of several, or else the highest
    /// that is loaded.
    default: Option<Arc<Version>>,
}

#[derive(Clone)]
struct Entry {
    state: VersionState,
    /// Whether it was there at the start, and so is expected to answer.
    at_start: bool,
    /// Where it was taken out: the version, for as long as requests hold it.
    leaving: Weak<Version>,
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
        match entry.versions.get(&number).map(|entry| &entry.state) {
            Some(VersionState::Ready(version) | VersionState::Kept(version, _)) => Ok(version),
            Some(state) => Err(state.unavailable(model, number)),
            None => Err(InferError::not_found(format!(
                "unknown version {number} of model '{model}', there {}",
                entry.list()
            ))),
        }
    }

    /// Whether that version answers now.
    pub(crate) fn answers(&self, model: &str, number: Option<u64>) -> bool {
        match self.resolve(model, number) {
            Ok(version) => version.standing() == Standing::Up,
            // It will, once it is asked.
            Err(error) => error.code == ErrorCode::StandsBy && self.stands_by_well(model, number),
        }
    }

    /// Whether the version that stands by for such a request did not fail the last time.
    fn stands_by_well(&self, model: &str, number: Option<u64>) -> bool {
        let Some(entry) = self.models.get(model) else { return false };
        let state = match number {
            Some(number) => entry.versions.get(&number).map(|entry| &entry.state),
            None => entry.standing_by().map(|(_, state)| state),
        };
        matches!(state, Some(VersionState::StandsBy(None)))
    }

    /// The same table with the states of some versions of a model replaced.
    pub(crate) fn with(
        &self,
        model: &str,
        changes: &[(u64, VersionState)],
        at_start: bool,
    ) -> Self {
        let mut table = self.clone();
        let entry = table.models.entry(model.to_owned()).or_default();
        for (number, state) in changes {
            let before = entry.versions.get(number);
            let leaving = before.filter(|_| state.is_unloaded()).map(Entry::leaving);
            let at_start = at_start || before.is_some_and(|entry| entry.at_start);
            let next = Entry {
                state: state.clone(),
                at_start: at_start && !state.is_unloaded(),
                leaving: leaving.unwrap_or_default(),
            };
            entry.versions.insert(*number, next);
        }
        entry.forget_unloaded();
        entry.choose_default();
        table
    }

    /// The same table with another route for requests for a model that name no version.
    pub(crate) fn routed(mut self, model: &str, route: Option<Arc<Route>>) -> Self {
        if let Some(entry) = self.models.get_mut(model) {
            entry.route = route;
            entry.choose_default();
        }
        self
    }

    /// The version for a request.
    pub(crate) fn route<'a>(
        &self,
        model: &str,
        number: Option<u64>,
        key: impl FnOnce(&Sticky) -> Option<&'a [u8]>,
    ) -> Result<Routed, InferError> {
        let resolved = self.resolve(model, number)?;
        let route = self.models.get(model).and_then(|entry| entry.route.as_deref());
        let (Some(route), None) = (route, number) else { return Ok(resolved.clone().into()) };
        let loaded = |number: u64| self.models.get(model)?.versions.get(&number)?.state.version();
        let version = match route.only() {
            Some(_) => resolved,
            // One that is not loaded leaves its requests to the one that leads.
            None => loaded(route.pick(model, key)).unwrap_or(resolved),
        };
        let place = route
            .trial
            .as_ref()
            .map(|trial| trial.place(version.number(), loaded(trial.candidate())));
        Ok(Routed::new(version.clone(), place, route))
    }

    /// The versions that these changes replace or take out.
    pub(crate) fn replaced_by(
        &self,
        model: &str,
        changes: &[(u64, VersionState)],
    ) -> Vec<Arc<Version>> {
        let Some(entry) = self.models.get(model) else { return Vec::new() };
        let replaced = changes.iter().filter_map(|(number, state)| {
            let old = entry.versions.get(number)?.state.version()?;
            let stays = state.version().is_some_and(|new| Arc::ptr_eq(old, new));
            (!stays).then(|| old.clone())
        });
        replaced.collect()
    }

    /// Every version's line, by model and number.
    pub(crate) fn index(&self) -> Vec<IndexEntry> {
        let line = |model: &String, (number, entry): (&u64, &Entry)| IndexEntry {
            model: model.clone(),
            version: *number,
            state: entry.name(),
            reason: entry.reason(),
            required: entry.is_required(),
        };
        self.models
            .iter()
            .flat_map(|(name, model)| model.versions.iter().map(move |entry| line(name, entry)))
            .collect()
    }

    /// Where every version of a model stands.
    pub(crate) fn states(&self, model: &str) -> Vec<(u64, VersionState)> {
        let versions = self.models.get(model).map(|model| model.versions.iter());
        versions
            .into_iter()
            .flatten()
            .map(|(number, entry)| (*number, entry.state.clone()))
            .collect()
    }

    /// Every version that answers.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Arc<Version>> {
        let entries = self.models.values().flat_map(|model| model.versions.values());
        entries.filter_map(|entry| entry.state.version())
    }

    /// Names of the models.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// Whether every version that is required answers.
    pub(crate) fn all_ready(&self) -> bool {
        let mut entries = self.models.values().flat_map(|model| model.versions.values());
        entries.all(|entry| !entry.is_required() || entry.state.answers())
    }
}

impl Model {
    /// Drops the lines of the lowest unloaded versions when there are many.
    fn forget_unloaded(&mut self) {
        let unloaded = self.versions.iter().filter(|(_, entry)| entry.state.is_unloaded());
        let unloaded: Vec<u64> = unloaded.map(|(number, _)| *number).collect();
        for number in unloaded.iter().rev().skip(UNLOADED_LINES) {
            self.versions.remove(number);
        }
    }

    fn choose_default(&mut self) {
        let loaded = |number: &u64| self.versions.get(number)?.state.version();
        let highest = || self.versions.values().rev().find_map(|entry| entry.state.version());
        let lead = self.route.as_deref().and_then(Route::lead);
        self.default = lead.as_ref().and_then(loaded).or_else(highest).cloned();
    }

    /// The version that a request waits for that names none: the one that leads, or the highest.
    fn standing_by(&self) -> Option<(u64, &VersionState)> {
        let lead = self.route.as_deref().and_then(Route::lead);
        let standing = self.versions.iter().rev().filter(|(_, entry)| entry.state.stands_by());
        let mut standing = standing.map(|(number, entry)| (*number, &entry.state));
        let highest = standing.clone().next();
        standing.find(|(number, _)| Some(*number) == lead).or(highest)
    }

    fn nothing_ready(&self, model: &str) -> InferError {
        if let Some((number, state)) = self.standing_by() {
            return state.unavailable(model, number);
        }
        let last = self.versions.iter().next_back();
        let failed = self.versions.iter().rfind(|(_, entry)| !entry.state.is_unloaded());
        match failed.or(last) {
            Some((number, entry)) => entry.state.unavailable(model, *number),
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

impl Entry {
    fn is_required(&self) -> bool {
        self.at_start || self.state.version().is_some()
    }

    /// What requests may hold still once it is taken out.
    fn leaving(&self) -> Weak<Version> {
        self.state.version().map_or_else(|| self.leaving.clone(), Arc::downgrade)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.strong_count() > 0
    }

    fn name(&self) -> &'static str {
        if self.is_leaving() { "UNLOADING" } else { self.state.name() }
    }

    fn reason(&self) -> String {
        if self.is_leaving() { String::new() } else { self.state.reason().unwrap_or_default() }
    }
}

impl VersionState {
    /// The version, where it is loaded.
    pub fn version(&self) -> Option<&Arc<Version>> {
        match self {
            VersionState::Ready(version) | VersionState::Kept(version, _) => Some(version),
            _ => None,
        }
    }

    /// Whether it is loaded with the first request for it.
    pub fn stands_by(&self) -> bool {
        matches!(self, VersionState::StandsBy(_))
    }

    fn is_unloaded(&self) -> bool {
        matches!(self, VersionState::Unloaded)
    }

    /// Whether it is loaded and its engine has not panicked since, or will be when it is asked.
    fn answers(&self) -> bool {
        let is_up = |version: &Arc<Version>| version.standing() == Standing::Up;
        matches!(self, VersionState::StandsBy(None)) || self.version().is_some_and(is_up)
    }

    fn name(&self) -> &'static str {
        match self.standing() {
            Standing::Loading => "LOADING",
            Standing::Up => "READY",
            Standing::Failed(_) => "UNAVAILABLE",
        }
    }

    fn reason(&self) -> Option<String> {
        match (self.standing(), self) {
            (Standing::Failed(reason), _) => Some(reason),
            (_, VersionState::Kept(_, reason)) => Some(reason.clone()),
            (_, VersionState::StandsBy(_)) => {
                Some("not in memory: its first request loads it".into())
            }
            _ => None,
        }
    }

    fn standing(&self) -> Standing {
        match self {
            VersionState::Loading => Standing::Loading,
            VersionState::Ready(version) | VersionState::Kept(version, _) => version.standing(),
            VersionState::Unavailable(reason) => Standing::Failed(reason.clone()),
            VersionState::StandsBy(None) => Standing::Up,
            VersionState::StandsBy(Some(reason)) => Standing::Failed(reason.clone()),
            // The word of Triton's index.
            VersionState::Unloaded => Standing::Failed("unloaded".into()),
        }
    }

    fn unavailable(&self, model: &str, number: u64) -> InferError {
        let message = match self {
            VersionState::Unloaded => {
                return InferError::not_found(format!(
                    "version {number} of model '{model}' is not loaded"
                ));
            }
            VersionState::StandsBy(_) => {
                let message = format!("version {number} of model '{model}' is not in memory");
                return InferError::new(ErrorCode::StandsBy, message);
            }
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
