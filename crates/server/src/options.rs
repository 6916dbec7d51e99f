//! Request parameters that mean the same over REST and gRPC.

use std::time::{Duration, Instant};

/// The protocol's priority levels in the core's order.
///
/// Over the wire 1 is the highest level and 0 means the default. The default is below every
/// level, since who names a level asks for more than who does not.
pub(crate) fn priority(level: u64) -> i32 {
    match level.checked_sub(1) {
        None => 0,
        Some(below) => i32::MAX.saturating_sub(i32::try_from(below).unwrap_or(i32::MAX)).max(1),
    }
}

/// The earlier of `deadline` and `timeout_us` microseconds after `arrived`; 0 means no timeout.
pub(crate) fn deadline(
    deadline: Option<Instant>,
    arrived: Instant,
    timeout_us: u64,
) -> Option<Instant> {
    let timeout = (timeout_us > 0).then(|| arrived.checked_add(Duration::from_micros(timeout_us)));
    // A timeout past the end of the clock is none.
    match (deadline, timeout.flatten()) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_levels_go_first_and_the_default_last() {
        let order: Vec<i32> = [1, 2, 3, u64::MAX].into_iter().map(priority).collect();
        assert!(order.is_sorted_by(|a, b| a > b), "{order:?}");
        assert!(order.iter().all(|&level| level > priority(0)));
    }

    #[test]
    fn the_earlier_deadline_counts() {
        let now = Instant::now();
        let later = |us| now + Duration::from_micros(us);
        assert_eq!(deadline(None, now, 0), None);
        assert_eq!(deadline(Some(later(5)), now, 0), Some(later(5)));
        assert_eq!(deadline(Some(later(5)), now, 3), Some(later(3)));
        assert_eq!(deadline(Some(later(5)), now, 9), Some(later(5)));
        assert_eq!(deadline(None, now, 3), Some(later(3)));
    }
}
