//! Models that are not all in memory at once: who stands by, who makes room. The rule is in `budget`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use modelyard_serving::{Version, VersionState};

use super::budget::Use;
use super::controller::{Controller, Known, Outcome, surplus};
use super::retire::retire;
use crate::source::ModelSource;

/// How long a load that failed is not tried again, however many ask.
const TRY_AGAIN: Duration = Duration::from_secs(10);

impl Controller {
    /// Where memory is bounded, a model that is not in use is loaded by its first request.
    pub(super) fn bring_or_stand_by(&self, source: Arc<ModelSource>) -> Outcome {
        self.keep(&source);
        let model = source.name.as_str();
        let is_used = !self.loaded(model).is_empty();
        if self.budget.is_none() || is_used || source.versions.is_empty() {
            return self.bring_now(&source);
        }
        let tried = source.identities();
        let before: BTreeMap<u64, VersionState> = self.service.states(model).into_iter().collect();
        let versions = source.versions.iter();
        let mut changes: Vec<(u64, VersionState)> =
            versions.map(|version| (version.number, VersionState::StandsBy(None))).collect();
        changes.extend(surplus(&source, &before, true));
        self.switch(model, &changes, source.route.clone());
        self.remember(model, Known { tried, serving: BTreeMap::new() });
        Outcome { ready: source.versions.len(), ..Outcome::default() }
    }

    /// Loads a model that somebody asks for, unless that was done meanwhile or failed just now.
    pub(super) fn wake_now(&self, model: &str) -> Outcome {
        let states = self.service.states(model);
        let source = self.kept(model).filter(|_| states.iter().any(|(_, state)| state.stands_by()));
        let Some(source) = source else { return Outcome::default() };
        let failed = || self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, failures)) = failed().get(model)
            && at.elapsed() < TRY_AGAIN
        {
            return Outcome { failures: failures.clone(), ..Outcome::default() };
        }
        let outcome = self.bring_now(&source);
        match outcome.failures.is_empty() {
            true => drop(failed().remove(model)),
            false => {
                let failures = outcome.failures.clone();
                drop(failed().insert(model.to_owned(), (Instant::now(), failures)));
            }
        }
        outcome
    }

    /// Keeps room in memory for a model, at the cost of others.
    pub(super) fn make_room(&self, source: &ModelSource) -> Result<(), String> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let gone = budget.reserve(&source.name, source.bytes(), |model| self.usage(model))?;
        gone.iter().for_each(|model| self.put_aside(model));
        Ok(())
    }

    /// Notes what a model takes that was loaded. It goes again where that is too much.
    pub(super) fn settle(&self, source: &ModelSource, took: Duration) -> Result<(), String> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let model = source.name.as_str();
        let versions = self.loaded(model);
        if versions.is_empty() {
            budget.release(model);
            return Ok(());
        }
        let grown: u64 = versions.iter().map(|version| version.bytes()).sum();
        let bytes = grown.max(source.bytes());
        match budget.settle(model, (bytes, took), |model| self.usage(model)) {
            Ok(gone) => gone.iter().for_each(|model| self.put_aside(model)),
            Err(reason) => {
                self.put_aside(model);
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Takes a model out of memory; its next request loads it again.
    fn put_aside(&self, model: &str) {
        let loaded = self.loaded(model).into_iter();
        let changes: Vec<_> =
            loaded.map(|version| (version.number(), VersionState::StandsBy(None))).collect();
        tracing::info!(model, "makes room in memory");
        let replaced = self.service.set_versions(model, &changes);
        retire(replaced, self.nice);
    }

    fn usage(&self, model: &str) -> Use {
        let versions = self.loaded(model);
        let last = versions.iter().map(|version| version.last_used()).max();
        Use {
            last: last.unwrap_or(SystemTime::UNIX_EPOCH),
            stays: versions.iter().any(|version| version.is_waited_for())
                || !self.is_what_is_wanted(model),
        }
    }

    /// Whether all that is wanted of a model is loaded, and nothing else: what failed to be replaced
    /// could not be loaded again.
    fn is_what_is_wanted(&self, model: &str) -> bool {
        let wanted = self.kept(model).map(|source| source.numbers()).unwrap_or_default();
        let states = self.service.states(model).into_iter();
        let mut there = Vec::new();
        for (number, state) in states {
            match state {
                VersionState::Ready(_) => there.push(number),
                VersionState::Kept(..) => return false,
                _ => {}
            }
        }
        there == wanted
    }

    fn loaded(&self, model: &str) -> Vec<Arc<Version>> {
        let states = self.service.states(model).into_iter();
        states.filter_map(|(_, state)| state.version().cloned()).collect()
    }

    pub(super) fn keep(&self, source: &Arc<ModelSource>) {
        if self.budget.is_some() {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            sources.insert(source.name.clone(), source.clone());
        }
    }

    pub(super) fn kept(&self, model: &str) -> Option<Arc<ModelSource>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }
}
