//! Mean and standard deviation of what a model is trained on, to be taken out of its inputs.
//!
//! Measured in one pass: each batch has its own mean and sum of squared differences from it, and
//! these are merged (Chan, Golub, LeVeque: Updating Formulae and a Pairwise Algorithm for
//! Computing Sample Variances, 1979). No sum of large squares is taken, so values far from zero
//! keep their deviation.

use anyhow::{Context, bail, ensure};
use modelyard_train::data::Examples;
use serde::{Deserialize, Serialize};

/// Examples looked at together.
const BATCH: usize = 256;

/// `(x - mean) / deviation` for each feature or channel of one input.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Normalization {
    /// The input.
    pub(crate) input: String,
    /// Which dimension of one example (0 is the first) counts the features or channels.
    pub(crate) axis: usize,
    /// Mean of each.
    pub(crate) mean: Vec<f32>,
    /// Standard deviation of each (of a population: divided by n); 1 where all values are equal.
    pub(crate) deviation: Vec<f32>,
}

/// What is known of one feature or channel so far.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    /// Sum of squared differences from the mean.
    squares: f64,
    min: f32,
    max: f32,
}

impl Moments {
    const NONE: Moments =
        Moments { count: 0.0, mean: 0.0, squares: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// The moments of these values.
    fn of(values: impl Iterator<Item = f32> + Clone) -> Moments {
        let (mut count, mut sum, mut min, mut max) = (0.0, 0.0, f32::INFINITY, f32::NEG_INFINITY);
        for value in values.clone() {
            count += 1.0;
            sum += f64::from(value);
            min = min.min(value);
            max = max.max(value);
        }
        let mean = if count > 0.0 { sum / count } else { 0.0 };
        let squares = values.map(|value| (f64::from(value) - mean).powi(2)).sum();
        Moments { count, mean, squares, min, max }
    }

    /// The moments of both together.
    fn with(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let apart = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + apart * other.count / count,
            squares: self.squares
                + other.squares
                + apart * apart * self.count * other.count / count,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    fn deviation(self) -> f32 {
        let deviation = (self.squares / self.count.max(1.0)).sqrt() as f32;
        // Equal values may differ from their rounded mean: only comparing them is exact.
        if self.min == self.max || deviation == 0.0 { 1.0 } else { deviation }
    }
}

impl Normalization {
    /// Measures the input of this name over all examples; dimension `axis` of one example counts
    /// features or channels. Values that are not finite are refused.
    pub(crate) fn measure(
        examples: &dyn Examples,
        input: &str,
        axis: usize,
    ) -> anyhow::Result<Normalization> {
        let mut moments: Vec<Moments> = Vec::new();
        let numbers: Vec<usize> = (0..examples.len()).collect();
        for numbers in numbers.chunks(BATCH) {
            let batch = examples.load(numbers)?;
            let found = batch.inputs.iter().find(|(name, _)| name == input);
            let (_, array) = found.with_context(|| format!("the data has no input '{input}'"))?;
            let shape = array.shape();
            let Some(&channels) = shape.get(axis + 1) else {
                bail!("input '{input}' of shape {shape} has no dimension {axis} in an example");
            };
            moments.resize(channels, Moments::NONE);
            let values = array.as_floats()?;
            let inner: usize = shape[axis + 2..].iter().product();
            for (channel, all) in moments.iter_mut().enumerate() {
                // Runs of `inner` values of one channel, one run a block.
                let blocks = values.chunks_exact((channels * inner).max(1));
                let of = blocks.flat_map(|block| &block[channel * inner..][..inner]).copied();
                *all = all.with(Moments::of(of));
            }
        }
        ensure!(!moments.is_empty(), "there is nothing to measure '{input}' by");
        if let Some(wrong) = moments.iter().position(|m| !m.squares.is_finite()) {
            bail!("input '{input}' has values that are not finite in channel {wrong}");
        }
        Ok(Normalization {
            input: input.to_owned(),
            axis,
            mean: moments.iter().map(|moments| moments.mean as f32).collect(),
            deviation: moments.iter().map(|moments| moments.deviation()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use modelyard_train::Array;
    use modelyard_train::data::{InMemory, Targets};
    use proptest::prelude::*;

    use super::*;

    fn measure(shape: &[usize], values: Vec<f32>, axis: usize) -> anyhow::Result<Normalization> {
        let array = Array::floats(modelyard_tensor::Shape::new(shape), values);
        let examples = InMemory::new(vec![("x".into(), array)], Targets::Unknown).unwrap();
        Normalization::measure(&examples, "x", axis)
    }

    #[test]
    fn features_of_tables_and_channels_of_pictures() {
        let table = measure(&[3, 2], vec![1., 5., 2., 5., 3., 5.], 0).unwrap();
        assert_eq!(table.mean, [2.0, 5.0]);
        // The root of 2/3, and 1 for what never changes.
        assert_eq!(table.deviation, [0.816_496_6, 1.0]);
        let pictures = measure(&[2, 2, 1, 2], vec![0., 2., 10., 10., 4., 6., 30., 30.], 0).unwrap();
        assert_eq!(pictures.mean, [3.0, 20.0]);
        assert_eq!(pictures.deviation, [5f32.sqrt(), 10.0]);
    }

    #[test]
    fn values_far_from_zero_keep_their_deviation() {
        // A million and 0 or 1, over several batches: 0.5 exactly.
        let values = (0..1000).map(|number| 1e6 + (number % 2) as f32).collect();
        let found = measure(&[1000, 1], values, 0).unwrap();
        assert_eq!((found.mean[0], found.deviation[0]), (1_000_000.5, 0.5));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(measure(&[1, 1], vec![f32::NAN], 0).is_err());
        let error = measure(&[1, 1], vec![1.0], 1).unwrap_err().to_string();
        assert_eq!(error, "input 'x' of shape [1,1] has no dimension 1 in an example");
    }

    #[test]
    fn it_is_kept_as_json() {
        let found = measure(&[2, 1], vec![1., 2.], 0).unwrap();
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(text, "{\"input\":\"x\",\"axis\":0,\"mean\":[1.5],\"deviation\":[0.5]}");
        assert_eq!(serde_json::from_str::<Normalization>(&text).unwrap(), found);
    }

    proptest! {
        #[test]
        fn one_pass_agrees_with_two(values in proptest::collection::vec(-1e3f32..1e3, 2..600)) {
            let n = values.len();
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            let squares: f64 = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
            let found = measure(&[n, 1], values, 0).unwrap();
            prop_assert!((f64::from(found.mean[0]) - mean).abs() < 1e-3);
            let deviation = (squares / n as f64).sqrt();
            prop_assert!((f64::from(found.deviation[0]) - deviation).abs() < 1e-3 * deviation.max(1.0));
        }
    }
}
