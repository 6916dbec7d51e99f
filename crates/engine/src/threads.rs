//! One budget of threads for all models.

use std::thread::JoinHandle;

/// Threads this process may keep busy: the cgroup quota and the CPU affinity, whichever is
/// smaller, and at least one. Never the host's core count.
pub fn budget() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts a thread on which every engine runs models without a hand-over.
pub fn spawn(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(body)
}
