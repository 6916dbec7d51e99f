//! What one generator thread saw, window by window.
//!
//! Latency belongs to the window in which a request was *meant* to be sent, and is counted from
//! that moment: a server that stalls cannot hide the requests that were held back meanwhile
//! (coordinated omission). Throughput belongs to the window in which the answer arrived.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::caller::Failure;
use super::histogram::Histogram;

/// The measured stretch of time: what happens before is warm-up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// When it begins.
    pub(crate) start: Instant,
    /// How long one window is.
    pub(crate) window: Duration,
    /// How many windows there are.
    pub(crate) windows: u32,
}

impl Span {
    /// When it ends.
    pub(crate) fn end(&self) -> Instant {
        self.start + self.window * self.windows
    }

    fn index(&self, time: Instant) -> Option<usize> {
        let since = time.checked_duration_since(self.start)?;
        let index = since.as_nanos() / self.window.as_nanos().max(1);
        (index < u128::from(self.windows)).then_some(index as usize)
    }
}

/// What happened in one window.
#[derive(Clone, Default)]
pub(crate) struct Window {
    /// Latency of good answers, and the time that requests without any answer had waited.
    pub(crate) latency: Histogram,
    /// Latency of refusals.
    pub(crate) refused: Histogram,
    /// Good answers that arrived.
    pub(crate) completed: u64,
    /// Rows in them.
    pub(crate) rows: u64,
    /// Everything else.
    pub(crate) failures: BTreeMap<Failure, u64>,
}

impl Window {
    /// Adds what another thread saw in the same window.
    pub(crate) fn add(&mut self, other: &Window) {
        self.latency.add(&other.latency);
        self.refused.add(&other.refused);
        self.completed += other.completed;
        self.rows += other.rows;
        for (failure, count) in &other.failures {
            *self.failures.entry(failure.clone()).or_default() += count;
        }
    }
}

/// One request and what became of it.
pub(crate) struct Event {
    /// When it was to be sent.
    pub(crate) intended: Instant,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When the answer was there.
    pub(crate) finished: Instant,
    /// Rows it carried.
    pub(crate) rows: usize,
    /// How it ended.
    pub(crate) outcome: Result<(), Failure>,
}

/// All windows of one measurement.
pub(crate) struct Recorder {
    span: Span,
    /// In the order of time.
    pub(crate) windows: Vec<Window>,
    /// How much later than intended requests were sent: queueing in the generator.
    pub(crate) send_lag: Histogram,
}

impl Recorder {
    /// Nothing recorded yet.
    pub(crate) fn new(span: Span) -> Self {
        let windows = vec![Window::default(); span.windows as usize];
        Recorder { span, windows, send_lag: Histogram::default() }
    }

    /// Records what became of a request.
    pub(crate) fn record(&mut self, event: Event) {
        if event.outcome.is_ok()
            && let Some(index) = self.span.index(event.finished)
        {
            self.windows[index].completed += 1;
            self.windows[index].rows += event.rows as u64;
        }
        let Some(index) = self.span.index(event.intended) else { return };
        let window = &mut self.windows[index];
        let latency = event.finished.saturating_duration_since(event.intended);
        self.send_lag.record(event.sent.saturating_duration_since(event.intended));
        match &event.outcome {
            Ok(()) | Err(Failure::Timeout | Failure::Unsent) => window.latency.record(latency),
            Err(Failure::Refused(_)) => window.refused.record(latency),
            Err(_) => {}
        }
        if let Err(failure) = event.outcome {
            *window.failures.entry(failure).or_default() += 1;
        }
    }

    /// Adds what another thread recorded over the same span.
    pub(crate) fn add(&mut self, other: &Recorder) {
        for (window, more) in self.windows.iter_mut().zip(&other.windows) {
            window.add(more);
        }
        self.send_lag.add(&other.send_lag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::caller::Answer;

    #[test]
    fn latency_counts_from_the_intended_time_and_throughput_when_it_arrives() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let span = Span { start: at(100), window: Duration::from_millis(100), windows: 2 };
        let mut recorder = Recorder::new(span);
        let mut record = |intended, sent, finished, outcome| {
            let (intended, sent, finished) = (at(intended), at(sent), at(finished));
            recorder.record(Event { intended, sent, finished, rows: 2, outcome });
        };
        record(50, 50, 90, Ok(())); // all of it in the warm-up
        record(90, 90, 110, Ok(())); // begun in the warm-up
        record(120, 180, 210, Ok(()));
        record(290, 290, 320, Ok(())); // arrives after the end
        record(150, 150, 151, Err(Failure::http(503)));
        record(150, 150, 151, Err(Failure::http(500)));
        record(200, 300, 300, Err(Failure::Unsent));
        let [first, second] = &recorder.windows[..] else { panic!("two windows") };
        assert_eq!((first.completed, second.completed, second.rows), (1, 1, 2));
        assert_eq!((first.latency.len(), second.latency.len()), (1, 2));
        assert_eq!(first.latency.max(), Duration::from_millis(90));
        assert_eq!(second.latency.max(), Duration::from_millis(100));
        assert_eq!(first.refused.max(), Duration::from_millis(1));
        assert_eq!(first.failures[&Failure::Refused(Answer::Http(503))], 1);
        assert_eq!(first.failures.len(), 2);
        assert_eq!(recorder.send_lag.max(), Duration::from_millis(100));
    }
}
