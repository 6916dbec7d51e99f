//! Repositories that are watched, with `--model-control-mode poll`.
//!
//! What the folders hold is looked at in regular intervals: that is the truth. Where the system
//! tells of changes, a look follows at once. What has changed must then stay as it is for a moment
//! before anything is loaded: whoever copies a model is not done with the first file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::controller::Controller;
use crate::source::identity::Identity;
use crate::source::{Catalogue, ModelSource};

/// How long a change must lie still.
const SETTLE: Duration = Duration::from_secs(1);

/// What a model's files look like; `None` when it is gone.
type Look = Option<BTreeMap<u64, Identity>>;

/// The models that are there, by name, and what their files look like.
type Found = BTreeMap<String, (ModelSource, BTreeMap<u64, Identity>)>;

/// A repository that is watched.
pub(super) struct Watch {
    controller: Arc<Controller>,
    catalogue: Arc<Catalogue>,
    every: Duration,
    /// The models that follow the registry: no folder says anything about them.
    followed: Arc<BTreeSet<String>>,
    /// Changes that have not lain still for long enough.
    unsettled: BTreeMap<String, (Look, Instant)>,
    /// What the controller was last asked to bring: it may be at it still.
    asked: BTreeMap<String, Look>,
}

impl Watch {
    pub(super) fn new(
        controller: Arc<Controller>,
        catalogue: Arc<Catalogue>,
        every: Duration,
        followed: Arc<BTreeSet<String>>,
    ) -> Watch {
        let (unsettled, asked) = (BTreeMap::new(), BTreeMap::new());
        Watch { controller, catalogue, every, followed, unsettled, asked }
    }

    /// Watches for as long as this runs.
    pub(super) async fn work(mut self) {
        let changed = Arc::new(Notify::new());
        let watcher = listen(&self.catalogue.folders(), &changed);
        loop {
            let next = if self.unsettled.is_empty() { self.every } else { SETTLE };
            // A change in the middle of settling is seen by the look that ends it.
            match self.unsettled.is_empty() {
                true => drop(tokio::time::timeout(next, changed.notified()).await),
                false => tokio::time::sleep(next).await,
            }
            let catalogue = self.catalogue.clone();
            let looked = tokio::task::spawn_blocking(move || look(&catalogue)).await;
            match looked {
                Ok(Some(models)) => self.compare(models),
                // A folder that cannot be read says nothing about what is in it.
                Ok(None) => {}
                Err(error) => tracing::error!("looking at the repositories failed: {error}"),
            }
            // Held to here: dropping it would end the watch.
            let _ = &watcher;
        }
    }

    /// Brings what differs from what was tried, once it has settled.
    fn compare(&mut self, models: Found) {
        let is_gone = |name: &String| !models.contains_key(name) && !self.followed.contains(name);
        let gone = self.controller.models().into_iter().filter(is_gone);
        let mut different: BTreeMap<String, (Look, Option<ModelSource>)> =
            gone.map(|name| (name, (None, None))).collect();
        for (name, (source, files)) in models {
            if !self.controller.has_tried(&name, &files) {
                different.insert(name, (Some(files), Some(source)));
            }
        }
        different.retain(|name, (look, _)| self.asked.get(name) != Some(look));
        self.unsettled.retain(|name, _| different.contains_key(name));
        for (name, (look, source)) in different {
            let now = Instant::now();
            let (before, since) =
                self.unsettled.entry(name.clone()).or_insert_with(|| (look.clone(), now));
            if *before != look {
                (*before, *since) = (look, now);
            } else if since.elapsed() >= SETTLE {
                self.unsettled.remove(&name);
                self.asked.insert(name.clone(), look);
                match source {
                    Some(source) => drop(self.controller.bring(source)),
                    None => drop(self.controller.remove(&name)),
                }
            }
        }
    }
}

/// What is there now, by name; `None` when a repository cannot be read.
fn look(catalogue: &Catalogue) -> Option<Found> {
    let sources = match catalogue.all() {
        Ok(sources) => sources,
        Err(mistakes) => {
            tracing::warn!("the repositories are not looked at: {}", mistakes.line());
            return None;
        }
    };
    let look = |source: ModelSource| {
        let files = source.identities();
        (source.name.clone(), (source, files))
    };
    Some(sources.into_iter().map(look).collect())
}

/// Has the system tell of changes, where it can.
fn listen(folders: &[PathBuf], changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = changed.clone();
    let tell = move |event: notify::Result<notify::Event>| {
        // Reading a model is none.
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        changed.notify_one();
    };
    let watch = || -> notify::Result<RecommendedWatcher> {
        let mut watcher = notify::recommended_watcher(tell)?;
        for folder in folders {
            watcher.watch(folder, RecursiveMode::Recursive)?;
        }
        Ok(watcher)
    };
    watch().map_err(|error| tracing::warn!("changes are seen by polling alone: {error}")).ok()
}
