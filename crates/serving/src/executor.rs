//! The compute threads: one budget for all models.
//!
//! A version that has work stands in one line with the others; a free thread takes the first,
//! runs one batch of it and, if it has more, puts it at the end again. So no model starves
//! another, and no thread idles while anything waits.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use modelyard_engine::threads;
use parking_lot::{Condvar, Mutex};

use crate::Version;

/// What a version wants after one batch.
pub(crate) enum Next {
    /// It has (or may have) more to run and keeps its instance.
    More,
    /// Nothing to run; its instance is given back.
    Idle,
    /// Nothing to run now, but look again then.
    LookAgain(Instant),
}

/// The compute threads.
pub(crate) struct Executor {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    line: Mutex<Line>,
    wake: Condvar,
}

#[derive(Default)]
struct Line {
    ready: VecDeque<Arc<Version>>,
    timers: BinaryHeap<Timer>,
    running: usize,
    stopped: bool,
}

struct Timer {
    at: Reverse<Instant>,
    version: Weak<Version>,
}

impl Executor {
    /// Starts `threads` compute threads.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { line: Mutex::default(), wake: Condvar::new() });
        let threads = (0..threads.max(1))
            .map(|index| {
                let shared = shared.clone();
                threads::spawn(format!("compute-{index}"), move || shared.work())
            })
            .collect::<std::io::Result<_>>()?;
        Ok(Executor { shared, threads })
    }

    /// Puts a version in line that holds one instance.
    pub(crate) fn submit(&self, version: Arc<Version>) {
        self.shared.line.lock().ready.push_back(version);
        self.shared.wake.notify_one();
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        {
            let mut line = self.shared.line.lock();
            line.stopped = true;
            line.ready.clear();
            line.timers.clear();
        }
        self.shared.wake.notify_all();
        let current = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != current) {
            // A compute thread that panicked has nothing left to say here.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some((version, alone)) = self.next() {
            let outcome = catch_unwind(AssertUnwindSafe(|| version.run_next(alone)));
            let next = outcome.unwrap_or_else(|_| {
                tracing::error!(model = version.model(), "a compute thread panicked; it goes on");
                version.queue().give_back_instance();
                Next::Idle
            });
            self.finish(version, next);
        }
    }

    /// Waits for the next version to run, and tells whether it is the only work there is; `None`
    /// when the executor stops.
    fn next(&self) -> Option<(Arc<Version>, bool)> {
        let mut line = self.line.lock();
        loop {
            if line.stopped {
                return None;
            }
            line.move_due_timers(Instant::now());
            if let Some(version) = line.ready.pop_front() {
                line.running += 1;
                let alone = line.running == 1 && line.ready.is_empty();
                return Some((version, alone));
            }
            match line.timers.peek().map(|timer| timer.at.0) {
                Some(at) => drop(self.wake.wait_until(&mut line, at)),
                None => self.wake.wait(&mut line),
            }
        }
    }

    fn finish(&self, version: Arc<Version>, next: Next) {
        let mut line = self.line.lock();
        line.running -= 1;
        match next {
            // This very thread comes back for it: nobody else needs to wake.
            Next::More => line.ready.push_back(version),
            Next::Idle => {}
            Next::LookAgain(at) => {
                line.timers.push(Timer { at: Reverse(at), version: Arc::downgrade(&version) });
                drop(line);
                self.wake.notify_one();
            }
        }
    }
}

impl Line {
    fn move_due_timers(&mut self, now: Instant) {
        while self.timers.peek().is_some_and(|timer| timer.at.0 <= now) {
            let version = self.timers.pop().and_then(|timer| timer.version.upgrade());
            self.ready.extend(version.filter(|version| version.queue().timer_fired()));
        }
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}
