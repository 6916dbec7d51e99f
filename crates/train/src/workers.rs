//! Threads that share the work of one operator.

use rayon::{ThreadPool, ThreadPoolBuilder};

/// A fixed number of threads.
///
/// Work is cut into pieces by the operator, never by the number of threads, and every piece is
/// computed by one thread in one order: results are the same bit for bit whatever the number of
/// threads. Each thread is a pool of its own, so that a matrix product in a piece does not try to
/// spread over the others.
#[derive(Debug)]
pub struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// `threads` threads, at least one. Fails when the system gives none.
    pub fn new(threads: usize) -> std::io::Result<Workers> {
        let pool = |number| {
            ThreadPoolBuilder::new()
                .num_threads(1)
                .thread_name(move |_| format!("train-{number}"))
                .build()
                .map_err(std::io::Error::other)
        };
        Ok(Workers { pools: (0..threads.max(1)).map(pool).collect::<Result<_, _>>()? })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pools.len()
    }

    /// Runs `work` on the first thread. Passes run here; what they share out goes to the others
    /// as well.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pools[0].install(work)
    }

    /// Runs `work` on every item, each thread on its share of them.
    ///
    /// Handing over costs some microseconds: only for work of more than that.
    pub(crate) fn for_each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Sync) {
        let threads = self.pools.len().min(items.len());
        if threads <= 1 {
            return items.into_iter().for_each(work);
        }
        let mut shares: Vec<Vec<T>> = (0..threads).map(|_| Vec::new()).collect();
        for (number, item) in items.into_iter().enumerate() {
            shares[number % threads].push(item);
        }
        let own = shares.swap_remove(0);
        scatter(&self.pools[1..], shares, &work, || own.into_iter().for_each(&work));
    }
}

/// Gives each share to a pool of its own, does `own` meanwhile, and waits for all.
fn scatter<T: Send>(
    pools: &[ThreadPool],
    mut shares: Vec<Vec<T>>,
    work: &(impl Fn(T) + Sync),
    own: impl FnOnce(),
) {
    let (Some((pool, pools)), Some(share)) = (pools.split_first(), shares.pop()) else {
        return own();
    };
    pool.in_place_scope(|scope| {
        scope.spawn(|_| share.into_iter().for_each(work));
        scatter(pools, shares, work, own);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_item_is_worked_on_once() {
        for threads in [1, 2, 3] {
            let workers = Workers::new(threads).unwrap();
            let sum = AtomicUsize::new(0);
            workers.run(|| {
                workers.for_each((1..=10).collect(), |item| {
                    sum.fetch_add(item, Ordering::Relaxed);
                });
            });
            assert_eq!(sum.into_inner(), 55);
        }
    }
}
