//! The two loops that generate load.
//!
//! Closed: each caller sends its next request as soon as the last one is answered. The rate
//! follows the server, so a stall delays requests that are never counted as late: good for
//! finding the most a server can do, not for its latency at a given rate.
//!
//! Open: requests are due at times that don't depend on the server, and latency counts from
//! then. What finds no free caller waits in line.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use super::arrivals::{Arrivals, Line, Schedule};
use super::caller::{Caller, Failure, Watchdog};
use super::random::Random;
use super::recorder::{Event, Recorder, Span};

/// What one generator thread is to do.
#[derive(Clone)]
pub(crate) struct Job {
    /// Open loop: this thread's share of the rate. Closed loop: nothing.
    pub(crate) open: Option<(f64, Arrivals)>,
    /// When to begin: before the span, to warm up.
    pub(crate) begin: Instant,
    /// What to record.
    pub(crate) span: Span,
    /// When to give a request up.
    pub(crate) timeout: Duration,
    /// Rows of each prepared request; the requests are sent in random order.
    pub(crate) rows: Arc<[usize]>,
    /// Decides order and arrivals.
    pub(crate) seed: u64,
}

/// Runs the job with these callers, to its end. Must run inside the given set.
pub(crate) async fn drive<C: Caller + 'static>(
    local: &LocalSet,
    callers: Vec<C>,
    job: Job,
) -> io::Result<Recorder> {
    let recorder = Rc::new(RefCell::new(Recorder::new(job.span)));
    local.run_until(run(callers, job, recorder.clone())).await?;
    let recorder = Rc::try_unwrap(recorder).map_err(|_| io::Error::other("a caller is left"))?;
    Ok(recorder.into_inner())
}

async fn run<C: Caller + 'static>(
    callers: Vec<C>,
    job: Job,
    recorder: Rc<RefCell<Recorder>>,
) -> io::Result<()> {
    tokio::time::sleep_until(job.begin.into()).await;
    let line = Rc::new(Line::default());
    let mut tasks = JoinSet::new();
    for (number, caller) in callers.into_iter().enumerate() {
        let station = Station {
            caller,
            watchdog: Watchdog::new(job.timeout),
            random: Random::new(job.seed ^ (number as u64 + 1).rotate_left(32)),
            rows: job.rows.clone(),
            recorder: recorder.clone(),
        };
        match job.open {
            None => tasks.spawn_local(station.closed(job.span.end())),
            Some(_) => tasks.spawn_local(station.open(line.clone())),
        };
    }
    if let Some((rate, arrivals)) = job.open {
        let schedule = Schedule::new(arrivals, rate, job.begin, Random::new(job.seed));
        let unsent = line.fill(schedule, job.span.end()).await?;
        let end = Instant::now();
        for intended in unsent {
            let outcome = Err(Failure::Unsent);
            let event = Event { intended, sent: end, finished: end, rows: 0, outcome };
            recorder.borrow_mut().record(event);
        }
    }
    while let Some(task) = tasks.join_next().await {
        task.map_err(io::Error::other)?;
    }
    Ok(())
}

/// A caller with all it needs.
struct Station<C> {
    caller: C,
    watchdog: Watchdog,
    random: Random,
    rows: Arc<[usize]>,
    recorder: Rc<RefCell<Recorder>>,
}

impl<C: Caller> Station<C> {
    async fn closed(mut self, end: Instant) {
        let mut now = Instant::now();
        while now < end {
            now = self.send(now, now).await;
        }
    }

    async fn open(mut self, line: Rc<Line>) {
        while let Some(intended) = line.take().await {
            self.send(intended, Instant::now()).await;
        }
    }

    async fn send(&mut self, intended: Instant, sent: Instant) -> Instant {
        let request = self.random.below(self.rows.len());
        let outcome = self.watchdog.call(&mut self.caller, request, sent).await;
        let finished = Instant::now();
        let rows = self.rows[request];
        self.recorder.borrow_mut().record(Event { intended, sent, finished, rows, outcome });
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers after a while, except that everything stalls for a moment once.
    struct Stalling {
        stall: (Instant, Instant),
    }

    impl Caller for Stalling {
        async fn call(&mut self, _request: usize) -> Result<(), Failure> {
            let now = Instant::now();
            let (from, to) = self.stall;
            let until = if now > from && now < to { to } else { now + Duration::from_millis(1) };
            tokio::time::sleep_until(until.into()).await;
            Ok(())
        }

        fn abandon(&mut self) {}
    }

    fn measure(open: Option<(f64, Arrivals)>) -> Recorder {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let begin = Instant::now();
        let start = begin + Duration::from_millis(50);
        let span = Span { start, window: Duration::from_millis(100), windows: 5 };
        let stall = (start + Duration::from_millis(100), start + Duration::from_millis(350));
        let callers = vec![Stalling { stall }];
        let rows = Arc::from([1]);
        let job = Job { open, begin, span, timeout: Duration::from_secs(9), rows, seed: 1 };
        let local = LocalSet::new();
        runtime.block_on(drive(&local, callers, job)).unwrap()
    }

    #[test]
    fn a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one() {
        let closed = measure(None);
        let open = measure(Some((200.0, Arrivals::Constant)));
        let late = |recorder: &Recorder| -> u64 {
            let filled = recorder.windows.iter().flat_map(|window| window.latency.filled());
            filled.filter(|(nanos, _)| *nanos > 50_000_000).map(|(_, count)| count).sum()
        };
        assert!(late(&open) > late(&closed) + 10, "{} {}", late(&open), late(&closed));
    }
}
