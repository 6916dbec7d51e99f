//! When requests of an open loop are due, and who sends them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::random::Random;

/// How arrivals are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrivals {
    /// Independent of each other, as from many clients: exponential gaps
    Poisson,
    /// Evenly spaced
    Constant,
}

/// The times at which requests are due, in rising order, without end.
pub(crate) struct Schedule {
    arrivals: Arrivals,
    gap: Duration,
    next: Instant,
    random: Random,
}

impl Schedule {
    /// `rate` requests a second from `start` on.
    pub(crate) fn new(arrivals: Arrivals, rate: f64, start: Instant, random: Random) -> Self {
        Schedule { arrivals, gap: Duration::from_secs_f64(1.0 / rate), next: start, random }
    }

    /// When the next request is due.
    pub(crate) fn peek(&self) -> Instant {
        self.next
    }

    /// Takes it.
    pub(crate) fn advance(&mut self) -> Instant {
        let due = self.next;
        self.next += match self.arrivals {
            Arrivals::Constant => self.gap,
            Arrivals::Poisson => self.gap.mul_f64(self.random.exponential()),
        };
        due
    }
}

/// Requests that are due, waiting for a free caller. Lives on one thread.
#[derive(Default)]
pub(crate) struct Line {
    due: RefCell<VecDeque<Instant>>,
    bell: Notify,
    closed: Cell<bool>,
}

impl Line {
    /// Puts every request into the line when it is due, until `end`; then closes the line and
    /// gives back what nobody took.
    pub(crate) async fn fill(
        &self,
        mut schedule: Schedule,
        end: Instant,
    ) -> io::Result<Vec<Instant>> {
        let timer = Timer::new()?;
        while schedule.peek() < end {
            let now = Instant::now();
            while schedule.peek() <= now.min(end) {
                self.due.borrow_mut().push_back(schedule.advance());
                self.bell.notify_one();
            }
            timer.until(schedule.peek().min(end)).await?;
        }
        timer.until(end).await?;
        self.closed.set(true);
        self.bell.notify_waiters();
        Ok(self.due.take().into())
    }

    /// The next request to send, or `None` when there will be none.
    pub(crate) async fn take(&self) -> Option<Instant> {
        loop {
            // No await between looking and listening: on one thread nothing is missed.
            if let Some(due) = self.due.borrow_mut().pop_front() {
                return Some(due);
            }
            if self.closed.get() {
                return None;
            }
            self.bell.notified().await;
        }
    }
}

/// Waits to within some ten microseconds. Tokio's own timers count milliseconds, which would
/// send five thousand requests a second in clumps of five.
#[cfg(target_os = "linux")]
struct Timer(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Timer {
    #[allow(
        deprecated,
        reason = "the successor is unsafe for descriptors that may be closed behind its back; an \
                  owned one inside cannot"
    )]
    fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Timer(tokio::io::unix::AsyncFd::new(timer)?))
    }

    async fn until(&self, time: Instant) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let left = time.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // Nothing to wait for, but the others get their turn.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let value = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &setting)?;
        let mut guard = self.0.readable().await?;
        let mut expirations = [0; 8];
        rustix::io::read(self.0.get_ref(), &mut expirations)?;
        guard.clear_ready();
        Ok(())
    }
}

/// Waits as well as tokio can: to the millisecond.
#[cfg(not(target_os = "linux"))]
struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    fn new() -> io::Result<Self> {
        Ok(Timer)
    }

    async fn until(&self, time: Instant) -> io::Result<()> {
        tokio::time::sleep_until(time.into()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn schedules_keep_their_rate() {
        let start = Instant::now();
        for arrivals in [Arrivals::Poisson, Arrivals::Constant] {
            let mut schedule = Schedule::new(arrivals, 1000.0, start, Random::new(3));
            for _ in 0..20_000 {
                schedule.advance();
            }
            let seconds = (schedule.peek() - start).as_secs_f64();
            assert!((seconds - 20.0).abs() < 0.5, "{arrivals:?} {seconds}");
        }
    }

    #[tokio::test]
    async fn every_request_is_taken_once_or_given_back() {
        let local = tokio::task::LocalSet::new();
        let start = Instant::now();
        let end = start + Duration::from_millis(50);
        let mut all = Schedule::new(Arrivals::Poisson, 10_000.0, start, Random::new(9));
        let expected = std::iter::from_fn(|| (all.peek() < end).then(|| all.advance())).count();
        let (left, taken) = local
            .run_until(async {
                let line = Rc::new(Line::default());
                let takers: Vec<_> = (0..3)
                    .map(|_| {
                        let line = line.clone();
                        tokio::task::spawn_local(async move {
                            let mut taken = 0;
                            while line.take().await.is_some() {
                                taken += 1;
                                tokio::time::sleep(Duration::from_millis(2)).await;
                            }
                            taken
                        })
                    })
                    .collect();
                let schedule = Schedule::new(Arrivals::Poisson, 10_000.0, start, Random::new(9));
                let left = line.fill(schedule, end).await.unwrap().len();
                let mut taken = 0;
                for taker in takers {
                    taken += taker.await.unwrap();
                }
                (left, taken)
            })
            .await;
        assert!(taken > 0);
        assert_eq!(left + taken, expected);
    }
}
