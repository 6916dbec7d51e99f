//! Independent work on all cores.

use std::sync::atomic::{AtomicUsize, Ordering};

/// `work` for each of `0..count`, on as many threads as models may use. Answers are in order.
pub(super) fn map<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = modelyard_engine::threads::budget().min(count);
    if threads <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return done;
            }
            done.push((index, work(index)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        let results = workers.into_iter().map(|worker| worker.join());
        // A panic of the work goes on in the caller, as it would without threads.
        results.flat_map(|done| done.unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    });
    all.sort_unstable_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn answers_come_in_order() {
        let squares = super::map(100, |number| number * number);
        assert_eq!(squares, (0..100).map(|number| number * number).collect::<Vec<_>>());
        assert!(super::map(0, |number| number).is_empty());
    }
}
