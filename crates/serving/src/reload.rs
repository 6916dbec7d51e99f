//! The session of a version, and how it comes back after its engine panicked.

use std::error::Error;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwapOption, Guard};
use modelyard_engine::Loaded;
use parking_lot::Mutex;

use crate::Version;

/// Waits between tries to load a model again; the last goes on as long as the version lives.
const WAITS: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

/// Where the session of a version stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answers.
    Up,
    /// It is being loaded again.
    Loading,
    /// Loading it again failed, which is tried again; why.
    Failed(String),
}

/// The session; absent while being loaded again.
pub(crate) struct Slot {
    session: ArcSwapOption<Loaded>,
    /// Whether a thread loads it again.
    reloading: AtomicBool,
    /// Why the last try failed.
    failure: Mutex<Option<String>>,
}

impl Slot {
    pub(crate) fn new(loaded: Loaded) -> Self {
        let session = ArcSwapOption::from_pointee(loaded);
        Slot { session, reloading: AtomicBool::new(false), failure: Mutex::new(None) }
    }

    /// The session, if it is there.
    pub(crate) fn load(&self) -> Guard<Option<Arc<Loaded>>> {
        self.session.load()
    }

    pub(crate) fn standing(&self) -> Standing {
        if self.session.load().is_some() {
            return Standing::Up;
        }
        self.failure.lock().clone().map_or(Standing::Loading, Standing::Failed)
    }

    /// Drops the session. Answers whether it was there.
    pub(crate) fn drop_session(&self) -> bool {
        self.session.swap(None).is_some()
    }

    fn came_back(&self, loaded: Loaded) {
        *self.failure.lock() = None;
        self.session.store(Some(Arc::new(loaded)));
    }

    fn failed(&self, reason: String) {
        *self.failure.lock() = Some(reason);
    }
}

/// Loads the session again on a thread of its own, unless one does so already.
pub(crate) fn start(version: &Arc<Version>) {
    let slot = version.slot();
    if slot.reloading.swap(true, Ordering::AcqRel) {
        return;
    }
    let weak = Arc::downgrade(version);
    let reload = move || {
        for wait in waits() {
            std::thread::sleep(wait);
            let Some(version) = weak.upgrade() else { return };
            if try_once(&version) {
                version.slot().reloading.store(false, Ordering::Release);
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("reload".into()).spawn(reload) {
        tracing::error!(model = version.model(), %error, "cannot start a thread to load again");
        slot.failed(format!("cannot start a thread to load it again: {error}"));
        // The next request tries again.
        slot.reloading.store(false, Ordering::Release);
    }
}

fn waits() -> impl Iterator<Item = Duration> {
    WAITS.into_iter().chain(iter::repeat(WAITS[WAITS.len() - 1]))
}

fn try_once(version: &Version) -> bool {
    match version.load_session() {
        Ok(loaded) => {
            version.slot().came_back(loaded);
            tracing::info!(model = version.model(), "loaded again");
            true
        }
        Err(error) => {
            let reason = with_causes(&error);
            tracing::error!(model = version.model(), reason, "loading again failed");
            version.slot().failed(format!("its engine panicked; loading again failed: {reason}"));
            false
        }
    }
}

/// An error with what caused it, in one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let chain = iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_never_end() {
        let first: Vec<u64> = waits().take(6).map(|wait| wait.as_secs()).collect();
        assert_eq!(first, [0, 1, 10, 60, 60, 60]);
    }

    #[test]
    fn causes_are_told() {
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
        #[derive(Debug, thiserror::Error)]
        #[error("failed to open 'm'")]
        struct Open(#[source] std::io::Error);
        assert_eq!(with_causes(&Open(gone)), "failed to open 'm': entity not found");
    }
}
