//! What a switch costs the other models: their p99 while a model was loaded and switched.

use std::fmt;
use std::time::Duration;

use modelyard_serving::{HistogramSnapshot, Service, Stage};

/// The figures of all models but one, at a moment.
pub(super) struct Others {
    model: String,
    before: HistogramSnapshot,
}

/// A p99, as far as the histogram's buckets tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum P99 {
    /// There was no request.
    Nothing,
    /// At most this long.
    AtMost(Duration),
    /// Longer than this, the highest bound.
    Above(Duration),
}

impl Others {
    /// Begins to look at all models but this one.
    pub(super) fn than(model: &str, service: &Service) -> Others {
        Others { model: model.to_owned(), before: requests(model, service) }
    }

    /// Their p99 since then, and the one before.
    pub(super) fn p99(&self, service: &Service) -> [P99; 2] {
        let mut since = requests(&self.model, service);
        since.count = since.count.saturating_sub(self.before.count);
        for ((_, count), (_, before)) in since.buckets.iter_mut().zip(&self.before.buckets) {
            *count = count.saturating_sub(*before);
        }
        [p99(&since), p99(&self.before)]
    }
}

/// Times of all requests for other models, those of versions that are loaded.
fn requests(model: &str, service: &Service) -> HistogramSnapshot {
    let mut sum = HistogramSnapshot::default();
    for version in service.versions().iter().filter(|version| version.model() != model) {
        let mut stages = version.statistics().stages;
        if stages.len() <= Stage::Request as usize {
            continue;
        }
        let one = stages.swap_remove(Stage::Request as usize);
        if sum.buckets.is_empty() {
            sum = one;
            continue;
        }
        sum.count += one.count;
        for ((_, count), (_, more)) in sum.buckets.iter_mut().zip(&one.buckets) {
            *count += more;
        }
    }
    sum
}

fn p99(times: &HistogramSnapshot) -> P99 {
    let rank = (times.count as f64 * 0.99).ceil() as u64;
    let found = times.buckets.iter().find(|(_, below)| *below >= rank);
    match (times.count, found, times.buckets.last()) {
        (0, ..) | (_, None, None) => P99::Nothing,
        (_, Some((bound, _)), _) => P99::AtMost(*bound),
        (_, None, Some((highest, _))) => P99::Above(*highest),
    }
}

impl fmt::Display for P99 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            P99::Nothing => f.write_str("no requests"),
            P99::AtMost(bound) => write!(f, "<= {bound:?}"),
            P99::Above(bound) => write!(f, "> {bound:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_that_holds_the_99th_of_100_is_told() {
        let ms = Duration::from_millis;
        let times = |counts: [u64; 3], count| HistogramSnapshot {
            buckets: [ms(1), ms(5), ms(10)].into_iter().zip(counts).collect(),
            count,
            sum: ms(0),
        };
        assert_eq!(p99(&times([98, 99, 100], 100)), P99::AtMost(ms(5)));
        assert_eq!(p99(&times([98, 98, 98], 100)), P99::Above(ms(10)));
        assert_eq!(p99(&times([0, 0, 0], 0)), P99::Nothing);
        assert_eq!(P99::AtMost(ms(5)).to_string(), "<= 5ms");
    }
}
