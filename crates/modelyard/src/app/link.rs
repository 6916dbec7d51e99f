//! The way to the registry: opened when it is needed, given up when it does not answer.

use std::time::Duration;

use anyhow::Context;
use modelyard_registry::{Place, Registry, Wake};

/// How long the registry may take for anything that is asked of it. A server that was cut off is back
/// within this and one interval.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the registry.
pub(super) struct Link {
    place: Place,
    /// Time between two looks.
    every: Duration,
    opened: Option<(Registry, Wake)>,
}

impl Link {
    pub(super) fn new(place: Place, every: Duration) -> Link {
        Link { place, every, opened: None }
    }

    /// The registry, where it was in reach last.
    pub(super) fn registry(&self) -> Option<&Registry> {
        self.opened.as_ref().map(|(registry, _)| registry)
    }

    /// Opens it where it is not open.
    pub(super) async fn open(&mut self) -> anyhow::Result<Registry> {
        if let Some(registry) = self.registry() {
            return Ok(registry.clone());
        }
        let registry = patiently(async { Ok(self.place.open(false).await?) }).await?;
        let wake = registry.wake(self.every);
        self.opened = Some((registry.clone(), wake));
        Ok(registry)
    }

    /// Forgets the connection: it may be dead.
    pub(super) fn give_up(&mut self) {
        self.opened = None;
    }

    /// Waits until it is time to look again.
    pub(super) async fn wait(&mut self) {
        match &mut self.opened {
            Some((_, wake)) => drop(wake.next().await),
            None => tokio::time::sleep(self.every).await,
        }
    }

    /// Closes it, having said what there is to say.
    pub(super) async fn close(&mut self, replica: &str) {
        if let Some((registry, _)) = self.opened.take() {
            // Best effort: the lease ends by itself.
            let said = async { Ok(registry.report(replica, &[]).await?) };
            if patiently(said).await.is_ok() {
                registry.close().await;
            }
        }
    }
}

/// Something that is asked of the registry. An error where it does not answer in time.
pub(super) async fn patiently<T>(
    asked: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let answered = tokio::time::timeout(PATIENCE, asked).await;
    answered.map_err(|_| NoAnswer).context("the registry did not answer in time").flatten()
}

/// Time was over.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {PATIENCE:?}")]
pub(super) struct NoAnswer;
