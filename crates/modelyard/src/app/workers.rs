//! The threads that load models: few, and of low priority once requests are served.
//!
//! A thread ends when nothing waits. Allocators keep the memory that a thread has allocated for it
//! as long as it lives, so a model that somebody else unloads would not go back to the system.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use modelyard_serving::{Phase, Service};

type Job = Box<dyn FnOnce() + Send>;

/// Threads that take jobs from one line, those of one model one after the other.
pub(super) struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    service: Arc<Service>,
    /// Most threads.
    threads: usize,
    nice: i32,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<(String, Job)>,
    /// Models with a job under way.
    busy: HashSet<String>,
    threads: usize,
    stopped: bool,
}

impl Workers {
    /// At most so many threads. What is under way when the process ends is given up: a load cannot
    /// be interrupted.
    pub(super) fn new(threads: usize, nice: i32, service: Arc<Service>) -> Workers {
        let line = Mutex::default();
        Workers { shared: Arc::new(Shared { service, threads, nice, line }) }
    }

    /// Puts a job of a model in line. Jobs of one model run in the order they came. After
    /// [`Workers::stop`], or where no thread can be started, it is dropped.
    pub(super) fn submit(&self, model: &str, job: impl FnOnce() + Send + 'static) {
        let mut line = self.shared.lock();
        if line.stopped {
            return;
        }
        line.jobs.push_back((model.to_owned(), Box::new(job)));
        if line.threads == self.shared.threads {
            return;
        }
        let shared = self.shared.clone();
        match std::thread::Builder::new().name("load".into()).spawn(move || shared.work()) {
            Ok(_) => line.threads += 1,
            Err(_) if line.threads > 0 => {}
            Err(error) => {
                tracing::error!(model, "cannot start a thread to load: {error}");
                line.jobs.clear();
            }
        }
    }

    /// Drops what waits and takes nothing more. What is under way goes on.
    pub(super) fn stop(&self) {
        let mut line = self.shared.lock();
        line.stopped = true;
        let dropped = std::mem::take(&mut line.jobs);
        drop(line);
        // Outside of the lock: whoever waits for one of them hears of it here.
        drop(dropped);
    }
}

impl Shared {
    fn work(&self) {
        while let Some((model, job)) = self.next() {
            // At the start nobody is served yet, so nobody is disturbed.
            if self.service.phase() != Phase::Starting {
                lower_priority(self.nice);
            }
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!(model, "a thread that loads models panicked; it goes on");
            }
            self.lock().busy.remove(&model);
        }
    }

    /// The next job, unless there is none that could run now: whoever is at the model of one that
    /// waits takes it afterwards.
    fn next(&self) -> Option<(String, Job)> {
        let mut line = self.lock();
        let free = line.jobs.iter().position(|(model, _)| !line.busy.contains(model));
        match free.and_then(|index| line.jobs.remove(index)) {
            Some((model, job)) => {
                line.busy.insert(model.clone());
                Some((model, job))
            }
            None => {
                line.threads -= 1;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets threads that are less nice go first. It holds for this thread and those that it starts, and
/// cannot be undone.
#[cfg(target_os = "linux")]
pub(super) fn lower_priority(nice: i32) {
    use rustix::process::{getpriority_process, setpriority_process};
    // On Linux a priority is a thread's own: process 0 is the thread that calls.
    let lowered = getpriority_process(None).and_then(|now| match now < nice {
        true => setpriority_process(None, nice),
        false => Ok(()),
    });
    if let Err(error) = lowered {
        tracing::warn!("a thread in the background keeps its priority: {error}");
    }
}

/// Elsewhere priorities are those of processes.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower_priority(_: i32) {}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_serving::ServiceConfig;
    use std::sync::mpsc;
    use std::time::Duration;

    fn workers(threads: usize) -> Workers {
        let config = ServiceConfig { threads: 1, strict_readiness: true };
        let service = Service::new(config).unwrap();
        service.set_phase(Phase::Ready);
        Workers::new(threads, 19, service)
    }

    #[test]
    fn jobs_of_one_model_follow_each_other_and_hold_up_nobody_else() {
        let workers = workers(2);
        let (said, heard) = mpsc::channel();
        let (go, gate) = mpsc::channel::<()>();
        let say = said.clone();
        workers.submit("a", move || {
            gate.recv().unwrap();
            say.send("a 1").unwrap();
        });
        for (model, text) in [("a", "a 2"), ("b", "b 1"), ("b", "b 2")] {
            let say = said.clone();
            workers.submit(model, move || say.send(text).unwrap());
        }
        let next = || heard.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!([next(), next()], ["b 1", "b 2"]);
        go.send(()).unwrap();
        assert_eq!([next(), next()], ["a 1", "a 2"]);
    }

    #[test]
    fn a_panic_costs_one_job_and_the_end_drops_what_waits() {
        let workers = workers(1);
        let (said, heard) = mpsc::channel();
        workers.submit("a", || panic!("on purpose"));
        let say = said.clone();
        workers.submit("a", move || say.send(()).unwrap());
        heard.recv_timeout(Duration::from_secs(20)).unwrap();
        workers.stop();
        workers.submit("a", move || said.send(()).unwrap());
        assert!(heard.recv().is_err(), "dropped, and with it its sender");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_thread_that_loads_is_nice_and_no_other() {
        let workers = workers(1);
        let (said, heard) = mpsc::channel();
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        workers.submit("a", move || said.send(nice()).unwrap());
        assert_eq!(heard.recv_timeout(Duration::from_secs(20)).unwrap(), 19);
        assert_eq!(nice(), before);
    }
}
