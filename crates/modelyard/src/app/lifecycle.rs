//! Starting → ready → draining → stopped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use modelyard_server::repository::Repository;
use modelyard_serving::{IndexEntry, Phase};
use tokio::task::JoinHandle;

use super::App;
use super::follower::{FirstLoads, Follower};
use super::orders::Clerk;
use super::parent::Parent;
use super::stop::{Reason, Stop};
use super::watch::Watch;
use crate::config::ControlMode;
use crate::exit::{Exit, ExitWith};
use crate::output;

/// How often the progress bar is looked at while models load.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl App {
    /// Loads, serves until told to stop, drains; says what told it.
    ///
    /// `parent` is watched where the configuration says so.
    pub(crate) fn run(self, parent: Parent) -> anyhow::Result<Reason> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start the control thread")?;
        let result = runtime.block_on(self.live(parent));
        // Models that are still being loaded are nobody's any more.
        runtime.shutdown_background();
        result
    }

    async fn live(mut self, parent: Parent) -> anyhow::Result<Reason> {
        let parent = self.lifecycle.exit_with_parent.then_some(parent);
        // Before anybody can know that there is a server: a signal must never meet the default.
        let mut stop =
            Stop::new(parent, self.asked.take()).context("failed to listen for signals")?;
        self.tell_addresses()?;
        let clerk = self.take_orders();
        let (follower, followed) = self.follower.take().map(Follower::start).transpose()?.unzip();
        let reason = tokio::select! {
            loaded = self.load(followed) => {
                loaded?;
                self.service.set_phase(Phase::Ready);
                self.tell_readiness();
                self.serve(&mut stop).await
            }
            reason = stop.wait() => reason,
        };
        // Whoever waits for a model to be loaded is told that it won't be.
        self.controller.stop();
        clerk.abort();
        self.drain(reason, &mut stop).await;
        if let Some(follower) = follower {
            follower.end().await;
        }
        Ok(reason)
    }

    /// From here on clients can order models.
    fn take_orders(&mut self) -> JoinHandle<()> {
        let (_, none) = Repository::new();
        let orders = std::mem::replace(&mut self.orders, none);
        let clerk = Clerk {
            controller: self.controller.clone(),
            catalogue: self.catalogue.clone(),
            mode: self.control.mode,
            followed: self.followed.clone(),
        };
        tokio::spawn(Arc::new(clerk).work(orders))
    }

    /// Serves until told to stop.
    async fn serve(&self, stop: &mut Stop) -> Reason {
        if self.control.mode != ControlMode::Poll {
            return stop.wait().await;
        }
        let (controller, catalogue) = (self.controller.clone(), self.catalogue.clone());
        let watch =
            Watch::new(controller, catalogue, self.control.poll_every, self.followed.clone());
        tokio::select! {
            reason = stop.wait() => reason,
            () = watch.work() => Reason::Outside("end of the watch"),
        }
    }

    fn tell_addresses(&mut self) -> anyhow::Result<()> {
        let addresses = self.server.addresses();
        let named =
            [("HTTP", addresses.http), ("gRPC", addresses.grpc), ("metrics", addresses.metrics)];
        for (what, address) in named {
            if let Some(address) = address {
                tracing::info!("{what} listens on {address}");
            }
        }
        match &mut self.address_file {
            Some(file) => file.write(&addresses),
            None => Ok(()),
        }
    }

    /// Loads everything. An error when nothing could be loaded and that is to end the server.
    async fn load(&mut self, followed: Option<FirstLoads>) -> anyhow::Result<()> {
        let sources = std::mem::take(&mut self.sources);
        let mut bar = self.progress.bar("loading models", sources.len() as u64);
        let loads: Vec<_> =
            sources.into_iter().map(|source| self.controller.bring(source)).collect();
        let mut outcomes = Vec::with_capacity(loads.len());
        for mut load in loads {
            let outcome = loop {
                match tokio::time::timeout(LOOK_EVERY, &mut load).await {
                    Ok(outcome) => break outcome,
                    Err(_) => bar.look(),
                }
            };
            // One that panicked counts as failed; that was logged.
            outcomes.push(outcome.unwrap_or_default());
            bar.step();
        }
        if let Some(followed) = followed {
            outcomes.extend(followed.await.unwrap_or_default());
        }
        let failed = !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.ready == 0);
        if failed && self.lifecycle.exit_on_error {
            let mut failures = outcomes.iter().flat_map(|outcome| &outcome.failures);
            let engine = failures.any(|failure| failure.exit == Exit::Engine);
            let exit = if engine { Exit::Engine } else { Exit::Model };
            return Err(self.nothing_loaded()).exit_with(exit);
        }
        Ok(())
    }

    /// Says what the readiness probe says from now on.
    fn tell_readiness(&self) {
        if self.service.ready() {
            tracing::info!("ready");
            return;
        }
        let all = self.service.models().len();
        let mut names: Vec<String> = self.unavailable().map(|entry| entry.model).collect();
        names.dedup();
        tracing::warn!(
            "not ready: {} of {all} models are unavailable: {} (--strict-readiness=false is ready \
             nevertheless)",
            names.len(),
            names.join(", "),
        );
    }

    fn unavailable(&self) -> impl Iterator<Item = IndexEntry> {
        let entries = self.service.index().into_iter();
        entries.filter(|entry| entry.required && !entry.reason.is_empty())
    }

    fn nothing_loaded(&self) -> anyhow::Error {
        let mut text = String::from("no model could be loaded");
        for entry in self.unavailable() {
            text.push_str(&format!("\n  {} {}: {}", entry.model, entry.version, entry.reason));
        }
        text.push_str("\n  (--exit-on-error=false serves nevertheless)");
        anyhow!(text)
    }

    /// Not ready at once; accepting for the delay; then finishing what is under way. A second
    /// SIGTERM or ctrl-C ends it at once.
    async fn drain(self, reason: Reason, stop: &mut Stop) {
        let App { service, server, lifecycle, address_file, folder, recording, .. } = self;
        service.set_phase(Phase::Draining);
        tracing::info!(reason = reason.to_string(), "draining");
        let finish = async {
            tokio::time::sleep(lifecycle.drain_delay).await;
            let grace = lifecycle.drain_timeout;
            let finished = tokio::task::spawn_blocking(move || server.shutdown(grace)).await;
            if !matches!(finished, Ok(true)) {
                tracing::warn!("drain_timeout is over: requests under way were cut off");
            }
            if let Some(recording) = recording {
                recording.finish().await;
            }
        };
        tokio::select! {
            () = finish => {}
            signal = stop.insisted() => {
                output::complain(&format!("stopped at once: {signal} while draining"));
                drop((address_file, folder));
                // The threads that serve would be waited for otherwise.
                modelyard_engine::end_process(Exit::Failure as u8);
            }
        }
        service.set_phase(Phase::Stopped);
        tracing::info!("stopped");
    }
}
