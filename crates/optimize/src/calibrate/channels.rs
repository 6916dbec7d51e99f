//! What each channel of a tensor holds, in a few numbers a channel.

use std::collections::BTreeMap;

use modelyard_graph::Node;

use crate::floats::Channels;

/// Which dimension the channels of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The second, as convolutions have it.
    Second,
    /// The last, as products of matrices have it.
    Last,
}

impl Along {
    /// The dimension of the channels of what a node gives.
    pub fn of(node: &Node) -> Along {
        if node.op_type.starts_with("Conv") { Along::Second } else { Along::Last }
    }

    fn axis(self, dims: &[usize]) -> Option<usize> {
        match self {
            Along::Second => (dims.len() > 1).then_some(1),
            Along::Last => dims.len().checked_sub(1),
        }
    }
}

/// What flows through a model, summed up by channel.
#[derive(Clone, Debug, Default)]
pub struct PerChannel {
    tensors: BTreeMap<String, Moments>,
}

/// What was seen of one tensor's channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Numbers seen of each channel.
    count: u64,
    /// Whether the number of channels changed.
    is_uneven: bool,
    low: Vec<f32>,
    high: Vec<f32>,
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl PerChannel {
    /// Sees what tensors hold for one batch: name, channels, dimensions and numbers. A tensor whose
    /// number of channels changes from batch to batch has no channels and is left out from then on.
    pub fn observe(&mut self, batch: &[(&str, Along, &[usize], &[f32])]) {
        for (name, ..) in batch {
            if !self.tensors.contains_key(*name) {
                self.tensors.insert((*name).to_owned(), Moments::default());
            }
        }
        let batch: BTreeMap<&str, (Along, &[usize], &[f32])> = batch
            .iter()
            .map(|&(name, along, dims, numbers)| (name, (along, dims, numbers)))
            .collect();
        rayon::scope(|scope| {
            for (name, moments) in &mut self.tensors {
                if let Some(&(along, dims, numbers)) = batch.get(name.as_str()) {
                    scope.spawn(move |_| moments.add(along.axis(dims), dims, numbers));
                }
            }
        });
    }

    /// What was seen, by tensor.
    pub fn tensors(&self) -> &BTreeMap<String, Moments> {
        &self.tensors
    }
}

impl Moments {
    fn add(&mut self, axis: Option<usize>, dims: &[usize], numbers: &[f32]) {
        let Some(axis) = axis.filter(|_| !self.is_uneven) else { return };
        let channels = Channels::of(dims, Some(axis));
        if self.low.is_empty() {
            self.low = vec![f32::INFINITY; channels.channels];
            self.high = vec![f32::NEG_INFINITY; channels.channels];
            self.sum = vec![0.0; channels.channels];
            self.squares = vec![0.0; channels.channels];
        }
        if self.low.len() != channels.channels {
            *self = Moments { is_uneven: true, ..Moments::default() };
            return;
        }
        self.count += (channels.outer * channels.inner) as u64;
        channels.rows(numbers, |channel, row| {
            for &x in row {
                self.low[channel] = self.low[channel].min(x);
                self.high[channel] = self.high[channel].max(x);
                self.sum[channel] += f64::from(x);
                self.squares[channel] += f64::from(x) * f64::from(x);
            }
        });
    }

    /// Number of channels; none where nothing was seen.
    pub fn channels(&self) -> usize {
        self.sum.len()
    }

    /// The smallest number of each channel.
    pub fn low(&self) -> &[f32] {
        &self.low
    }

    /// The largest number of each channel.
    pub fn high(&self) -> &[f32] {
        &self.high
    }

    /// The largest magnitude in each channel.
    pub fn largest(&self) -> Vec<f32> {
        self.low.iter().zip(&self.high).map(|(low, high)| high.max(-low)).collect()
    }

    /// The mean of each channel.
    pub fn means(&self) -> Vec<f32> {
        self.sum.iter().map(|sum| (sum / self.count.max(1) as f64) as f32).collect()
    }

    /// The mean of the squares of each channel.
    pub fn mean_squares(&self) -> Vec<f32> {
        self.squares.iter().map(|sum| (sum / self.count.max(1) as f64) as f32).collect()
    }

    /// The standard deviation of each channel.
    pub fn deviations(&self) -> Vec<f32> {
        let count = self.count.max(1) as f64;
        let both = self.sum.iter().zip(&self.squares);
        both.map(|(sum, squares)| {
            let mean = sum / count;
            (squares / count - mean * mean).max(0.0).sqrt() as f32
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_summed_up_along_their_dimension() {
        let mut seen = PerChannel::default();
        let numbers = [1.0, 3.0, -4.0, -4.0];
        seen.observe(&[("c", Along::Second, &[1, 2, 2], &numbers)]);
        seen.observe(&[("c", Along::Second, &[1, 2, 2], &numbers)]);
        seen.observe(&[("m", Along::Last, &[2, 2], &numbers)]);
        let of = |name: &str| &seen.tensors()[name];
        assert_eq!((of("c").means(), of("c").deviations()), (vec![2.0, -4.0], vec![1.0, 0.0]));
        assert_eq!((of("m").low(), of("m").high()), (&[-4.0, -4.0][..], &[1.0, 3.0][..]));
        assert_eq!((of("m").largest(), of("m").mean_squares()), (vec![4.0, 4.0], vec![8.5, 12.5]));
    }

    #[test]
    fn a_dimension_that_changes_is_no_channels() {
        let mut seen = PerChannel::default();
        seen.observe(&[("x", Along::Last, &[2], &[1.0, 2.0])]);
        seen.observe(&[("x", Along::Last, &[3], &[1.0; 3])]);
        seen.observe(&[("x", Along::Last, &[1], &[1.0])]);
        assert_eq!(seen.tensors()["x"].channels(), 0);
    }
}
