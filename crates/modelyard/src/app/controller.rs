//! Brings the service to what is wanted: loads, replaces and unloads models while it serves.
//!
//! A [`ModelSource`] says what is wanted of a model. Its versions that are not there yet, or whose
//! files have changed, are loaded beside those that serve; then all of it changes in one step. A
//! version that fails never takes traffic: the one before it goes on, and the index says why.
//! Whoever knows what is wanted (the start, a request, a watched folder) only hands in sources.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use modelyard_serving::{Phase, Route, Service, VersionState};
use tokio::sync::oneshot;

use super::budget::Budget;
use super::load::{Failure, Loader};
use super::others::Others;
use super::retire::retire;
use super::workers::Workers;
use crate::config::{EngineConfig, LifecycleConfig};
use crate::exit::Exit;
use crate::source::ModelSource;
use crate::source::identity::Identity;

/// What became of a model.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Wanted versions that answer.
    pub(super) ready: usize,
    /// Wanted versions that do not.
    pub(super) failures: Vec<Failure>,
    /// Versions that were loaded just now.
    pub(super) loaded: usize,
    /// Why there is no room in memory.
    pub(super) no_room: Option<String>,
}

/// The one that changes what the service serves.
pub(super) struct Controller {
    pub(super) service: Arc<Service>,
    loader: Loader,
    workers: Workers,
    pub(super) nice: i32,
    models: Mutex<BTreeMap<String, Known>>,
    /// What may be in memory at once, where that is bounded.
    pub(super) budget: Option<Budget>,
    /// All models as they were brought last, where not all of them are in memory.
    pub(super) sources: Mutex<BTreeMap<String, Arc<ModelSource>>>,
    /// Loads that requests asked for and that failed, and when.
    pub(super) failed: Mutex<BTreeMap<String, (Instant, Vec<Failure>)>>,
}

/// What the files of a model's versions were, by number.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// When they were last tried.
    pub(super) tried: BTreeMap<u64, Identity>,
    /// When what serves was loaded.
    pub(super) serving: BTreeMap<u64, Identity>,
}

impl Controller {
    /// A controller with threads of its own.
    pub(super) fn new(
        service: Arc<Service>,
        (engine, tape): (&EngineConfig, Option<PathBuf>),
        lifecycle: &LifecycleConfig,
    ) -> Arc<Controller> {
        let nice = lifecycle.load_nice;
        let workers = Workers::new(lifecycle.load_concurrency, nice, service.clone());
        let (loader, models) = (Loader::new(engine, tape), Mutex::default());
        let budget = lifecycle.memory_budget.map(Budget::new);
        let (sources, failed) = (Mutex::default(), Mutex::default());
        Arc::new(Controller { service, loader, workers, nice, models, budget, sources, failed })
    }

    /// Puts a model into the index before it is loaded, so that nobody takes it for an unknown one.
    pub(super) fn announce(&self, model: &str, versions: &[u64], state: &VersionState) {
        let changes: Vec<_> = versions.iter().map(|number| (*number, state.clone())).collect();
        self.service.set_versions(model, &changes);
    }

    /// The versions of a model that answer, at least once they are asked.
    pub(super) fn answering(&self, model: &str) -> Vec<u64> {
        let answers = |state: &VersionState| state.version().is_some() || state.stands_by();
        let states = self.service.states(model).into_iter();
        states.filter(|(_, state)| answers(state)).map(|(number, _)| number).collect()
    }

    /// Brings one model to what its source says. Loads what is not there, has changed or failed
    /// before. The receiver fails when the server stops first.
    pub(super) fn bring(self: &Arc<Self>, source: ModelSource) -> oneshot::Receiver<Outcome> {
        let (this, source) = (self.clone(), Arc::new(source));
        self.submit(&source.name.clone(), move || this.bring_or_stand_by(source))
    }

    /// The same, into memory, even where that is bounded and models wait for their first request.
    pub(super) fn load(self: &Arc<Self>, source: ModelSource) -> oneshot::Receiver<Outcome> {
        let (this, source) = (self.clone(), Arc::new(source));
        self.submit(&source.name.clone(), move || {
            this.keep(&source);
            this.bring_now(&source)
        })
    }

    /// Loads a model that stands by.
    pub(super) fn wake(self: &Arc<Self>, model: &str) -> oneshot::Receiver<Outcome> {
        let (this, name) = (self.clone(), model.to_owned());
        self.submit(model, move || this.wake_now(&name))
    }

    /// Unloads a model, whatever it serves.
    pub(super) fn remove(self: &Arc<Self>, model: &str) -> oneshot::Receiver<Outcome> {
        let (this, name) = (self.clone(), model.to_owned());
        self.submit(model, move || this.remove_now(&name))
    }

    /// Whether the files of a model are the ones that were last tried.
    pub(super) fn has_tried(&self, model: &str, files: &BTreeMap<u64, Identity>) -> bool {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(model).is_some_and(|known| known.tried == *files)
    }

    /// Whether there is, or was, a model of this name.
    pub(super) fn knows(&self, model: &str) -> bool {
        !self.service.states(model).is_empty()
    }

    /// Names of the models that were brought, and not removed since.
    pub(super) fn models(&self) -> Vec<String> {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.keys().cloned().collect()
    }

    /// Drops what waits to be loaded, and takes nothing more.
    pub(super) fn stop(&self) {
        self.workers.stop();
    }

    fn submit(
        &self,
        model: &str,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> oneshot::Receiver<Outcome> {
        let (done, outcome) = oneshot::channel();
        // Whoever wanted to know may have gone.
        self.workers.submit(model, move || drop(done.send(work())));
        outcome
    }

    pub(super) fn bring_now(&self, source: &ModelSource) -> Outcome {
        let (started, others) = (Instant::now(), Others::than(&source.name, &self.service));
        let brought = self.make_room(source).and_then(|()| {
            let outcome = self.bring_versions(source);
            self.settle(source, started.elapsed())?;
            if outcome.loaded > 0 {
                self.tell_cost(source, (started, &others));
            }
            Ok(outcome)
        });
        brought.unwrap_or_else(|reason| {
            let model = source.name.as_str();
            tracing::warn!(model, "there is no room in memory: {reason}");
            Outcome { no_room: Some(reason), ..Outcome::default() }
        })
    }

    /// Says what bringing a model has cost those that serve.
    fn tell_cost(&self, source: &ModelSource, (started, others): (Instant, &Others)) {
        if self.service.phase() != Phase::Ready {
            return;
        }
        let [during, usually] = others.p99(&self.service);
        let (model, took_ms) = (source.name.as_str(), started.elapsed().as_millis());
        tracing::info!(
            model,
            took_ms,
            others_p99 = during.to_string(),
            others_p99_before = usually.to_string(),
            "loaded and switched"
        );
    }

    fn bring_versions(&self, source: &ModelSource) -> Outcome {
        let model = source.name.as_str();
        for warning in &source.triton.warnings {
            tracing::warn!(model, "{warning}");
        }
        // Before anything is read: a change that comes meanwhile is one for the next time.
        let tried = source.identities();
        let before: BTreeMap<u64, VersionState> = self.service.states(model).into_iter().collect();
        let known = self.known(model);
        let is_there = |number: &u64| {
            known.serving.get(number) == tried.get(number)
                && before.get(number).is_some_and(|state| state.version().is_some())
        };
        for version in source.versions.iter().filter(|version| !is_there(&version.number)) {
            // Who asks for one that stands by waits for it.
            let stays = |state: &VersionState| state.version().is_some() || state.stands_by();
            if !before.get(&version.number).is_some_and(stays) {
                self.service.set_version(model, version.number, VersionState::Loading);
            }
        }
        // Lone callers should not find the new version slower than the one before, not for a while either.
        let is_spread =
            before.values().filter_map(VersionState::version).any(|old| old.is_spread());
        let mut serving = known.serving.clone();
        let mut loaded = 0;
        let mut changes = Vec::new();
        let mut failures = Vec::new();
        for version in &source.versions {
            let number = version.number;
            let old = before.get(&number).and_then(VersionState::version);
            let state = match (old, is_there(&number)) {
                (Some(old), true) => VersionState::Ready(old.clone()),
                _ => match self.loader.load(source, version) {
                    Ok(mut version) => {
                        loaded += 1;
                        if is_spread {
                            version.spread();
                        }
                        serving.extend(tried.get(&number).map(|files| (number, files.clone())));
                        VersionState::Ready(Arc::new(version))
                    }
                    Err(failure) => {
                        let reason = failure.reason.clone();
                        failures.push(failure);
                        match (old, before.get(&number).is_some_and(VersionState::stands_by)) {
                            (Some(old), _) => VersionState::Kept(old.clone(), reason),
                            // The next request tries again.
                            (None, true) => VersionState::StandsBy(Some(reason)),
                            (None, false) => VersionState::Unavailable(reason),
                        }
                    }
                },
            };
            changes.push((number, state));
        }
        if source.versions.is_empty() {
            failures.push(self.nothing_there(source, &before, &mut changes));
        }
        changes.extend(surplus(source, &before, failures.is_empty()));
        for (number, state) in &changes {
            if state.version().is_none() {
                serving.remove(number);
            }
        }
        self.switch(model, &changes, self.route(source, &changes));
        self.remember(model, Known { tried, serving });
        let ready = source.versions.len().saturating_sub(failures.len());
        Outcome { ready, failures, loaded, no_room: None }
    }

    /// A model without versions. What serves goes on: a folder is empty for a moment while somebody
    /// replaces what is in it.
    fn nothing_there(
        &self,
        source: &ModelSource,
        before: &BTreeMap<u64, VersionState>,
        changes: &mut Vec<(u64, VersionState)>,
    ) -> Failure {
        let reason = source.mistakes.line();
        for (number, state) in before {
            if let Some(old) = state.version() {
                changes.push((*number, VersionState::Kept(old.clone(), reason.clone())));
            }
        }
        // The index lists versions; a model without any shows as its first.
        let version = changes.first().map_or(1, |(number, _)| *number);
        if changes.is_empty() {
            changes.push((version, VersionState::Unavailable(reason.clone())));
        }
        Failure { version, reason, exit: Exit::Model }
    }

    fn remove_now(&self, model: &str) -> Outcome {
        let states = self.service.states(model).into_iter();
        let changes: Vec<_> = states.map(|(number, _)| (number, VersionState::Unloaded)).collect();
        self.switch(model, &changes, None);
        if let Some(budget) = &self.budget {
            budget.release(model);
        }
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
        self.models.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
        Outcome::default()
    }

    /// Where requests that name no version go. A version that leads and does not load leaves them
    /// where they are.
    fn route(&self, source: &ModelSource, changes: &[(u64, VersionState)]) -> Option<Route> {
        let route = source.route.as_ref()?;
        let lead = route.lead()?;
        let is_there =
            changes.iter().any(|(number, state)| *number == lead && state.version().is_some());
        let now = || self.service.resolve(&source.name, None).ok().map(|version| version.number());
        Some(if is_there { route.clone() } else { Route::to(now().unwrap_or(lead)) })
    }

    /// The moment of change.
    pub(super) fn switch(
        &self,
        model: &str,
        changes: &[(u64, VersionState)],
        route: Option<Route>,
    ) {
        let before: BTreeMap<u64, VersionState> = self.service.states(model).into_iter().collect();
        let replaced = self.service.switch(model, changes, route);
        retire(replaced, self.nice);
        for (number, state) in changes {
            log(model, *number, state, before.get(number));
        }
    }

    fn known(&self, model: &str) -> Known {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.get(model).cloned().unwrap_or_default()
    }

    pub(super) fn remember(&self, model: &str, known: Known) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        models.insert(model.to_owned(), known);
    }
}

/// The versions that nobody wants any more. Those that serve go only when all that is wanted has
/// come.
pub(super) fn surplus(
    source: &ModelSource,
    before: &BTreeMap<u64, VersionState>,
    all_there: bool,
) -> Vec<(u64, VersionState)> {
    let wanted = |number: &u64| source.versions.iter().any(|version| version.number == *number);
    let goes = |state: &VersionState| match state.version() {
        Some(_) => all_there,
        None if state.stands_by() => all_there,
        None => !source.versions.is_empty(),
    };
    let surplus = before.iter().filter(|(number, state)| !wanted(number) && goes(state));
    surplus.map(|(number, _)| (*number, VersionState::Unloaded)).collect()
}

/// Says what has changed.
fn log(model: &str, version: u64, state: &VersionState, before: Option<&VersionState>) {
    let old = before.and_then(VersionState::version);
    match state {
        VersionState::Ready(new) if old.is_none_or(|old| !Arc::ptr_eq(old, new)) => {
            tracing::info!(model, version, engine = new.engine(), "model is ready");
        }
        VersionState::Kept(_, reason) => {
            tracing::error!(model, version, "what was loaded before goes on: {reason}");
        }
        VersionState::Unavailable(reason) => {
            tracing::error!(model, version, "model is not available: {reason}");
        }
        VersionState::Unloaded if old.is_some() => {
            tracing::info!(model, version, "takes no more requests");
        }
        _ => {}
    }
}
