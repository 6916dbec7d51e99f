//! Batches: shuffled, cut, and loaded ahead on another thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use fastrand::Rng;

use super::{Batch, DataError, Examples};
use crate::math::random;

/// Batches loaded ahead of the one in use. More would only take memory: whoever is slower, the
/// loader or the step, decides the speed.
const AHEAD: usize = 2;

/// In which order examples come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they are.
    Sequential,
    /// Shuffled anew in every epoch; seed and epoch alone decide how.
    Shuffled {
        /// The seed of the whole run.
        seed: u64,
        /// The number of the epoch.
        epoch: usize,
    },
}

impl Order {
    /// The numbers of `len` examples in this order.
    pub fn numbers(self, len: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..len).collect();
        if let Order::Shuffled { seed, epoch } = self {
            Rng::with_seed(random::mix(seed, epoch as u64)).shuffle(&mut numbers);
        }
        numbers
    }
}

/// The batches of one pass over some examples.
pub struct Batches {
    receiver: Receiver<Result<Batch, DataError>>,
}

impl Batches {
    /// Batches of `size` examples (the last may be smaller), those before number `skip` left out,
    /// loaded by a thread of `scope`. The thread ends with the batches, or when they are dropped.
    pub fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        examples: &'env dyn Examples,
        order: Order,
        (size, skip): (usize, usize),
    ) -> Batches {
        let (sender, receiver) = sync_channel(AHEAD);
        scope.spawn(move || load(examples, order, (size, skip), &sender));
        Batches { receiver }
    }
}

fn load(
    examples: &dyn Examples,
    order: Order,
    (size, skip): (usize, usize),
    sender: &SyncSender<Result<Batch, DataError>>,
) {
    let numbers = order.numbers(examples.len());
    for numbers in numbers.chunks(size.max(1)).skip(skip) {
        // Nobody listens any more: the pass was left.
        if sender.send(examples.load(numbers)).is_err() {
            return;
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{InMemory, Targets};
    use super::*;
    use crate::array::Array;

    fn classes(order: Order, size: usize, skip: usize) -> Vec<Vec<usize>> {
        let inputs = vec![("x".to_owned(), Array::floats([7, 1], vec![0.0; 7]))];
        let examples = InMemory::new(inputs, Targets::Classes((0..7).collect())).unwrap();
        std::thread::scope(|scope| {
            Batches::start(scope, &examples, order, (size, skip))
                .map(|batch| match batch.unwrap().targets {
                    Targets::Classes(classes) => classes,
                    _ => Vec::new(),
                })
                .collect()
        })
    }

    #[test]
    fn every_example_comes_once_and_a_skipped_start_changes_nothing_else() {
        assert_eq!(classes(Order::Sequential, 3, 0), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
        let order = Order::Shuffled { seed: 1, epoch: 2 };
        let all = classes(order, 2, 0);
        let mut sorted = all.concat();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(classes(order, 2, 1), all[1..]);
        assert_ne!(classes(Order::Shuffled { seed: 1, epoch: 3 }, 2, 0), all);
    }

    #[test]
    fn batches_can_be_left_early() {
        let inputs = vec![("x".to_owned(), Array::floats([100, 1], vec![0.0; 100]))];
        let examples = InMemory::new(inputs, Targets::Unknown).unwrap();
        std::thread::scope(|scope| {
            let mut batches = Batches::start(scope, &examples, Order::Sequential, (1, 0));
            assert!(batches.next().is_some());
            drop(batches);
        });
    }
}
