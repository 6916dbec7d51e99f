//! Versions on their way out: each is unloaded when its last request has left it, by a thread that
//! serves nobody, and its memory goes back to the system.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use modelyard_engine::memory;
use modelyard_serving::Version;

use super::workers::lower_priority;

/// How often versions that drain are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A version that is held for so long is spoken of, once.
const LONG: Duration = Duration::from_secs(60);

/// The way out.
pub(super) struct Retire(Sender<Vec<Arc<Version>>>);

struct Leaving {
    version: Arc<Version>,
    since: Instant,
    told: bool,
}

impl Retire {
    /// Starts the thread.
    pub(super) fn start(nice: i32) -> std::io::Result<Retire> {
        let (sender, receiver) = mpsc::channel();
        let unload = move || {
            lower_priority(nice);
            unload_all(&receiver);
        };
        std::thread::Builder::new().name("unload".into()).spawn(unload)?;
        Ok(Retire(sender))
    }

    /// Takes over versions that the routing table no longer has.
    pub(super) fn take(&self, versions: Vec<Arc<Version>>) {
        // The thread lives as long as this.
        let _ = self.0.send(versions);
    }
}

fn unload_all(receiver: &Receiver<Vec<Arc<Version>>>) {
    let mut leaving: Vec<Leaving> = Vec::new();
    loop {
        let came = match leaving.is_empty() {
            true => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => receiver.recv_timeout(LOOK_EVERY),
        };
        match came {
            Ok(versions) => leaving.extend(versions.into_iter().map(Leaving::new)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let before = leaving.len();
        leaving.retain_mut(Leaving::stays);
        if leaving.len() < before {
            memory::give_back();
        }
    }
}

impl Leaving {
    fn new(version: Arc<Version>) -> Leaving {
        Leaving { version, since: Instant::now(), told: false }
    }

    /// Whether requests still hold it; otherwise it can go.
    fn stays(&mut self) -> bool {
        let (model, number) = (self.version.model(), self.version.number());
        // Nobody can find it any more, so nobody takes hold of it anew.
        if Arc::strong_count(&self.version) == 1 {
            let drained_ms = self.since.elapsed().as_millis();
            tracing::info!(model, version = number, drained_ms, "unloaded");
            return false;
        }
        if !self.told && self.since.elapsed() > LONG {
            self.told = true;
            tracing::warn!(model, version = number, "still not unloaded: requests are under way");
        }
        true
    }
}
