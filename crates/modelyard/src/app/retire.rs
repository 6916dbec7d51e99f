//! Versions on their way out: each is unloaded when its last request has left it, by a thread that
//! serves nobody, and its memory goes back to the system.

use std::sync::Arc;
use std::time::{Duration, Instant};

use modelyard_engine::memory;
use modelyard_serving::Version;

use super::workers::lower_priority;

/// How often versions that drain are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// When it is said that a version is still held.
const LONG: Duration = Duration::from_secs(60);

/// Unloads versions that the routing table no longer has, once nobody holds them.
///
/// By a thread for these alone: what the allocator keeps for a thread goes with it.
pub(super) fn retire(versions: Vec<Arc<Version>>, nice: i32) {
    if versions.is_empty() {
        return;
    }
    let unload = move || {
        lower_priority(nice);
        let before = memory::resident_bytes();
        versions.into_iter().for_each(unload);
        memory::give_back();
        let (before, now) = (before >> 20, memory::resident_bytes() >> 20);
        tracing::info!(resident_mib = now, resident_mib_before = before, "memory given back");
    };
    if let Err(error) = std::thread::Builder::new().name("unload".into()).spawn(unload) {
        // Then whoever holds them last unloads them.
        tracing::warn!("cannot start a thread to unload: {error}");
    }
}

fn unload(version: Arc<Version>) {
    let (since, mut told) = (Instant::now(), false);
    let number = version.number();
    // Nobody can find it any more, so nobody takes hold of it anew.
    while Arc::strong_count(&version) > 1 {
        if !told && since.elapsed() > LONG {
            told = true;
            let model = version.model();
            tracing::warn!(model, version = number, "still not unloaded: requests are under way");
        }
        std::thread::sleep(LOOK_EVERY);
    }
    let model = version.model().to_owned();
    drop(version);
    let drained_ms = since.elapsed().as_millis();
    tracing::info!(model, version = number, drained_ms, "unloaded");
}
