//! One budget of threads for all models, and threads that engines need not leave.
//!
//! rten runs a model inside a thread pool; called from outside of it, each call pays a hand-over
//! of 12-15 µs. A thread started by [`spawn`] is the only worker of a pool of its own, so that
//! rten runs right there. Other engines don't care.

use std::cell::RefCell;
use std::sync::Arc;
use std::thread::JoinHandle;

use rten::ThreadPool;

thread_local! {
    /// The pool whose only worker this thread is, or, on threads that [`spawn`] did not start, one
    /// that only this thread calls: calls never wait for each other.
    static POOL: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

/// Threads this process may keep busy: the cgroup quota and the CPU affinity, whichever is
/// smaller, and at least one. Never the host's core count.
pub fn budget() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts a thread on which every engine runs models without a hand-over.
///
/// Joining the handle waits for `body`; a panic of `body` comes out of the join as usual.
pub fn spawn(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.clone()).spawn(move || {
        let pool = Arc::new(ThreadPool::with_num_threads(1));
        let host = Arc::clone(&pool);
        pool.run(move || {
            // The pool named its worker, which is who works from here on. On Linux tools show this;
            // where it fails all works the same.
            let _ = std::fs::write("/proc/thread-self/comm", name);
            POOL.set(Some(host));
            let _unhost = Unhost;
            body();
        });
    })
}

/// The calling thread's pool of one thread. That thread is the caller itself if it was started
/// by [`spawn`].
pub(crate) fn pool() -> Arc<ThreadPool> {
    POOL.with_borrow_mut(|pool| {
        Arc::clone(pool.get_or_insert_with(|| Arc::new(ThreadPool::with_num_threads(1))))
    })
}

/// Ends the hosting even when the body panics: a worker that keeps its own pool would keep it
/// alive for ever.
struct Unhost;

impl Drop for Unhost {
    fn drop(&mut self) {
        POOL.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn spawned_threads_run_their_pool_in_place() {
        let (send, receive) = mpsc::channel();
        let thread = spawn("test".into(), move || {
            let here = std::thread::current().id();
            send.send(pool().run(|| std::thread::current().id()) == here).unwrap();
        });
        assert!(receive.recv().unwrap());
        thread.unwrap().join().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_works_has_the_name() {
        let (send, receive) = mpsc::channel();
        let name = || std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        let thread = spawn("test-7".into(), move || send.send(name()).unwrap()).unwrap();
        assert_eq!(receive.recv().unwrap().trim(), "test-7");
        thread.join().unwrap();
    }

    #[test]
    fn panics_reach_the_join() {
        let thread = spawn("test".into(), || panic!("on purpose")).unwrap();
        assert!(thread.join().is_err());
    }

    #[test]
    fn pools_end_with_their_threads() {
        let (send, receive) = mpsc::channel();
        let thread = spawn("test".into(), move || send.send(pool()).unwrap()).unwrap();
        let pool = receive.recv().unwrap();
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&pool), 1);
    }
}
