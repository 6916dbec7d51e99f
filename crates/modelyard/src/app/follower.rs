//! Serves what the registry says: looks again and again, fetches, and has the controller bring it.
//!
//! A thread of its own: fetching blocks, and nobody who is served should wait for it. Looking is the
//! truth; what was served last is kept on this machine, so that the server starts and goes on while the
//! registry is out of reach. Other servers do the same, each for itself: nobody leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use modelyard_registry::{ModelName, REPLICA_LEASE, Registry, Version};
use modelyard_serving::VersionState;
use tokio::sync::oneshot;

use super::controller::{Controller, Outcome};
use super::link::{Link, NoAnswer, patiently};
use super::trials::Trials;
use super::workers::lower_priority;
use crate::config::Config;
use crate::config::mistake::Mistakes;
use crate::follow::{
    Cache, Desired, Fetched, Following, Outline, Trust, Wanted, model_source, read,
};

/// How often the registry is told what is served.
const REPORT_EVERY: Duration = REPLICA_LEASE.checked_div(4).expect("four is not zero");
/// Everything is looked at after so many polls, even where nothing seems to have changed.
const LOOK_CLOSELY: u32 = 4;
/// Time until what could not be fetched is tried again; doubled each time.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// Whoever follows the registry.
pub(super) struct Follower {
    controller: Arc<Controller>,
    config: Config,
    wanted: Vec<Wanted>,
    trust: Trust,
    cache: Cache,
    /// What this server calls itself.
    replica: String,
    link: Link,
    /// Where the registry was at the last look, and how many polls ago.
    position: Option<(i64, u32)>,
    /// Whether it was said that the registry is out of reach.
    is_told: bool,
    models: BTreeMap<ModelName, Followed>,
    trials: Trials,
    reported: Option<(Instant, Vec<(ModelName, u64)>)>,
}

/// How far a model has come.
struct Followed {
    desired: Desired,
    /// What was brought last, whatever became of it.
    brought: Option<Outline>,
    /// When to bring again what could not be fetched or had no room, and how long to wait after that.
    retry: Option<(Instant, Duration)>,
    /// Whether files could not be fetched: that says nothing about the versions.
    is_cut_off: bool,
}

impl Followed {
    /// Has it brought again after a while, a longer one each time.
    fn try_again(&mut self) {
        let pause = self.retry.map_or(RETRY[0], |(_, pause)| pause);
        self.retry = Some((Instant::now() + pause, (pause * 2).min(RETRY[1])));
    }
}

/// What became of each model at first.
pub(super) type FirstLoads = oneshot::Receiver<Vec<Outcome>>;

/// Ends the follower, in good order.
pub(super) struct FollowerHandle {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl FollowerHandle {
    /// Has the registry forget this server, and waits for that, but not for long.
    pub(super) async fn end(self) {
        drop(self.stop);
        let _ = tokio::time::timeout(Duration::from_secs(2), self.ended).await;
    }
}

impl Follower {
    pub(super) fn new(
        controller: Arc<Controller>,
        config: &Config,
        following: Following,
    ) -> anyhow::Result<Follower> {
        let registry = &config.registry;
        let place = registry.place()?;
        let followed = format!("{place} {}", registry.models.join(" "));
        let cache = Cache::open(&registry.cache, &followed)?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let replica = format!("{host}/{}/{:08x}", std::process::id(), fastrand::u32(..));
        let trials = Trials::new(&replica);
        Ok(Follower {
            controller,
            config: config.clone(),
            wanted: following.wanted,
            trust: following.trust,
            cache,
            replica,
            link: Link::new(place, registry.poll_every),
            position: None,
            is_told: false,
            models: BTreeMap::new(),
            trials,
            reported: None,
        })
    }

    /// Starts to follow.
    pub(super) fn start(self) -> anyhow::Result<(FollowerHandle, FirstLoads)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("failed to start a runtime for the registry")?;
        let (first, loaded) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let work = move || {
            runtime.block_on(self.work(first, stopped));
            drop(end);
        };
        let thread = std::thread::Builder::new().name("registry".into()).spawn(work);
        thread.context("failed to start the thread that follows the registry")?;
        Ok((FollowerHandle { stop, ended }, loaded))
    }

    async fn work(mut self, first: oneshot::Sender<Vec<Outcome>>, stopped: oneshot::Receiver<()>) {
        let follow = async {
            // Whoever waited may have gone.
            let _ = first.send(self.round().await);
            // What is fetched from now on is copied and hashed beside requests.
            lower_priority(self.config.lifecycle.load_nice);
            loop {
                self.link.wait().await;
                self.round().await;
            }
        };
        tokio::select! {
            () = follow => {}
            _ = stopped => {}
        }
        self.link.close(&self.replica).await;
    }

    /// Looks, brings what differs, reports.
    async fn round(&mut self) -> Vec<Outcome> {
        match self.look().await {
            Ok(desired) => self.take(desired),
            Err(error) => self.out_of_reach(&error),
        }
        let outcomes = self.bring().await;
        self.report().await;
        self.go_on().await;
        outcomes
    }

    /// What is desired now; nothing where nothing has changed.
    async fn look(&mut self) -> anyhow::Result<Vec<Desired>> {
        let registry = self.link.open().await?;
        let seen = self.position.filter(|(_, polls)| *polls < LOOK_CLOSELY);
        let seen = seen.map(|(position, _)| position);
        match patiently(read_all(&registry, &self.wanted, &self.config, seen)).await {
            Ok(looked) => {
                if std::mem::take(&mut self.is_told) {
                    tracing::info!("the registry is in reach again");
                }
                let (position, polls) = match (&looked, self.position) {
                    (Some((position, _)), _) => (*position, 0),
                    (None, before) => before.map_or((0, 0), |(at, polls)| (at, polls + 1)),
                };
                self.position = Some((position, polls));
                Ok(looked.map(|(_, all)| all).unwrap_or_default())
            }
            Err(error) => {
                self.link.give_up();
                self.position = None;
                Err(error)
            }
        }
    }

    fn take(&mut self, all: Vec<Desired>) {
        for desired in all {
            let known = self.models.get(&desired.model);
            if known.is_none_or(|known| known.desired.warnings != desired.warnings) {
                for warning in &desired.warnings {
                    tracing::warn!("following the registry: {warning}");
                }
            }
            match self.models.get_mut(&desired.model) {
                Some(followed) => followed.desired = desired,
                None => self.insert(desired),
            }
        }
    }

    fn insert(&mut self, desired: Desired) {
        let numbers = desired.numbers();
        self.controller.announce(desired.model.as_str(), &numbers, &VersionState::Loading);
        let brought = None;
        self.models.insert(
            desired.model.clone(),
            Followed { desired, brought, retry: None, is_cut_off: false },
        );
    }

    /// Goes on with what there is; at the start, with what was served last.
    fn out_of_reach(&mut self, error: &anyhow::Error) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::error!("the registry is out of reach, what is served goes on: {error:#}");
        }
        if !self.models.is_empty() {
            return;
        }
        let recalled = self.cache.recall().unwrap_or_else(|error| {
            tracing::error!("what was served last is not known: {error:#}");
            Vec::new()
        });
        let mut recalled: BTreeMap<ModelName, Desired> =
            recalled.into_iter().map(|desired| (desired.model.clone(), desired)).collect();
        for wanted in self.wanted.clone() {
            let reason = || format!("the registry is out of reach: {error:#}");
            let unknown = || Desired::unknown(wanted.model.clone(), reason());
            let desired = recalled.remove(&wanted.model).unwrap_or_else(unknown);
            self.insert(desired);
        }
    }

    /// Brings the models that are not what is desired, all at once.
    async fn bring(&mut self) -> Vec<Outcome> {
        let now = Instant::now();
        let due = |followed: &Followed| {
            followed.retry.is_some_and(|(at, _)| at <= now)
                || followed.brought.as_ref() != Some(&followed.desired.outline())
        };
        let due: Vec<ModelName> = self
            .models
            .iter()
            .filter(|(_, followed)| due(followed))
            .map(|(model, _)| model.clone())
            .collect();
        let mut brought = Vec::with_capacity(due.len());
        for model in &due {
            brought.push(self.bring_one(model).await);
        }
        let mut outcomes = Vec::with_capacity(due.len());
        for (model, outcome) in due.iter().zip(brought) {
            // Where the server stops first there is nothing to say.
            let Some(outcome) = outcome else { continue };
            let Ok(outcome) = self.reporting(outcome).await else { continue };
            self.give_up(model, &outcome).await;
            // Somebody may make room in memory.
            if let (Some(_), Some(followed)) = (&outcome.no_room, self.models.get_mut(model)) {
                followed.try_again();
            }
            outcomes.push(outcome);
        }
        if !due.is_empty() {
            self.remember();
        }
        outcomes
    }

    /// Waits for a load. What is served goes on being reported meanwhile, however long it takes.
    async fn reporting(
        &mut self,
        mut outcome: oneshot::Receiver<Outcome>,
    ) -> Result<Outcome, oneshot::error::RecvError> {
        loop {
            match tokio::time::timeout(REPORT_EVERY, &mut outcome).await {
                Ok(outcome) => return outcome,
                Err(_) => self.report().await,
            }
        }
    }

    async fn bring_one(&mut self, model: &ModelName) -> Option<oneshot::Receiver<Outcome>> {
        let desired = self.models.get(model)?.desired.clone();
        let mut fetched: Vec<Fetched> = Vec::new();
        let mut is_cut_off = false;
        for version in desired.versions.iter().flatten() {
            let files = match self.trust.check(version) {
                Ok(()) => self.files(version).await.inspect_err(|_| is_cut_off = true),
                Err(error) => Err(error.to_string()),
            };
            fetched.push((version.clone(), files));
        }
        let failed = fetched.iter().any(|(_, files)| files.is_err());
        let followed = self.models.get_mut(model)?;
        followed.brought = Some(desired.outline());
        followed.is_cut_off = is_cut_off;
        match failed {
            true => followed.try_again(),
            false => followed.retry = None,
        }
        let route = self.trials.route(&desired);
        let source = model_source((&desired, route), fetched, &self.config);
        Some(self.controller.bring(source))
    }

    /// The folder with the files of a version.
    async fn files(&mut self, version: &Version) -> Result<std::path::PathBuf, String> {
        let files = self.cache.files(self.link.registry(), version).await;
        files.map_err(|error| format!("failed to fetch its files: {error:#}"))
    }

    /// Keeps what is served on disk. A state that is not whole is not a good one to go back to.
    fn remember(&self) {
        let serving = self.serving();
        for Followed { desired, .. } in self.models.values() {
            let serves = |number| serving.contains(&(desired.model.clone(), number));
            let is_whole = desired.versions.is_ok() && desired.numbers().into_iter().all(serves);
            if is_whole && let Err(error) = self.cache.remember(desired) {
                tracing::error!("what is served could not be noted on disk: {error:#}");
            }
        }
    }

    /// Marks files as used, and removes what nobody uses. Others may share the folder, so now and then.
    fn tidy(&mut self) {
        let wanted = self.models.values().flat_map(|followed| &followed.desired.versions);
        let used = wanted.flatten().map(|version| version.digest).collect();
        if let Err(error) = self.cache.tidy(used) {
            tracing::warn!("old versions stay on disk: {error:#}");
        }
    }

    /// The followed versions that answer.
    fn serving(&self) -> Vec<(ModelName, u64)> {
        let models = self.models.keys();
        let versions = models.flat_map(|model| {
            let numbers = self.controller.answering(model.as_str());
            numbers.into_iter().map(|number| (model.clone(), number))
        });
        versions.collect()
    }

    /// Has the rollouts go on. A step that is taken shows at the next look.
    async fn go_on(&mut self) {
        for followed in self.models.values() {
            let Some(registry) = self.link.registry().cloned() else { return };
            let going = async { Ok(self.trials.go_on(&registry, &followed.desired).await?) };
            if let Err(error) = patiently(going).await {
                // The others would wait as long.
                if error.is::<NoAnswer>() {
                    self.link.give_up();
                }
                let model = followed.desired.model.as_str();
                tracing::warn!(model, "the rollout does not go on: {error:#}");
            }
        }
    }

    /// Ends a rollout whose candidate did not load, unless it could not even be fetched.
    async fn give_up(&self, model: &ModelName, outcome: &Outcome) {
        let (Some(registry), Some(followed)) = (self.link.registry(), self.models.get(model))
        else {
            return;
        };
        if followed.is_cut_off {
            return;
        }
        let ending = async { Ok(self.trials.give_up(registry, &followed.desired, outcome).await?) };
        if let Err(error) = patiently(ending).await {
            let model = model.as_str();
            tracing::warn!(model, "the rollout could not be ended: {error:#}");
        }
    }

    /// Tells the registry what is served, when it has changed and now and then.
    async fn report(&mut self) {
        let serving = self.serving();
        let is_due = self
            .reported
            .as_ref()
            .is_none_or(|(at, reported)| *reported != serving || at.elapsed() >= REPORT_EVERY);
        let Some(registry) = self.link.registry().cloned().filter(|_| is_due) else { return };
        let said = async { Ok(registry.report(&self.replica, &serving).await?) };
        match patiently(said).await {
            Ok(()) => {
                self.reported = Some((Instant::now(), serving));
                self.tidy();
            }
            Err(error) => {
                self.link.give_up();
                tracing::warn!("the registry does not know what is served here: {error:#}");
            }
        }
    }
}

/// All that is wanted as the registry has it; nothing where the registry is as it was seen last.
async fn read_all(
    registry: &Registry,
    wanted: &[Wanted],
    config: &Config,
    seen: Option<i64>,
) -> anyhow::Result<Option<(i64, Vec<Desired>)>> {
    let position = registry.position().await?;
    if seen == Some(position) {
        return Ok(None);
    }
    let mut all = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let name = wanted.model.as_str();
        let settings = config.models.settings(name, &[], &mut Mistakes::default());
        all.push(read(registry, wanted, &settings.version_policy).await?);
    }
    Ok(Some((position, all)))
}
