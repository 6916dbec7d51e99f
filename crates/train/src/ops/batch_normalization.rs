//! BatchNormalization of arrays [N, C, ...]: by channel, `(x - mean) / deviation * scale + bias`.
//!
//! In a step of training the mean and variance are those of the batch, where scale or bias is
//! trained (or something flows into them), or where the attribute `training_mode` is 1. Then the
//! running statistics, inputs 3 and 4, become `running * momentum + batch * (1 - momentum)`, with
//! the variance of the population as ONNX has it. PyTorch keeps the unbiased variance, larger by
//! m / (m - 1) for m elements a channel: with small batches the running variance here is smaller
//! than its own would be.
//!
//! Otherwise the layer is frozen: an affine map with the running statistics, which do not change.

use modelyard_tensor::Shape;

use super::row_norm::factors;
use crate::array::Array;
use crate::error::OpError;
use crate::math::channels::{Channels, Combination};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct BatchNorm {
    epsilon: f32,
    momentum: f32,
    training_mode: bool,
    /// Whether the running statistics are outputs 1 and 2.
    gives_running: bool,
}

/// By channel.
struct Statistics {
    mean: Vec<f32>,
    variance: Vec<f32>,
}

impl BatchNorm {
    fn takes_batch_statistics(&self, scope: &Scope<'_>) -> bool {
        let trained = |number: usize| scope.trained.get(number) == Some(&true);
        scope.training && (self.training_mode || trained(1) || trained(2))
    }

    /// One over the deviation.
    fn inverse(&self, variance: &[f32]) -> Vec<f32> {
        variance.iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect()
    }

    fn mixed(&self, running: &[f32], batch: &[f32]) -> Vec<f32> {
        let mixed = |(running, batch)| running * self.momentum + batch * (1.0 - self.momentum);
        running.iter().zip(batch).map(mixed).collect()
    }
}

fn channels(shape: &Shape) -> Result<Channels, OpError> {
    match shape.dims() {
        &[samples, channels, ref spatial @ ..] => {
            Ok(Channels { samples, channels, spatial: spatial.iter().product() })
        }
        _ => Err(OpError::new(format!("expected shape [N,C,...], found {shape}"))),
    }
}

/// Mean and variance of the population, in two passes.
fn statistics(scope: &Scope<'_>, of: Channels, x: &[f32]) -> Statistics {
    let count = of.count() as f32;
    let zeros = vec![0.0; of.channels];
    let mut mean = of.sums(
        scope.workers,
        (x, x, &zeros),
        #[inline(always)]
        |x, _, _| x,
    );
    mean.iter_mut().for_each(|mean| *mean /= count);
    let mut variance = of.sums(
        scope.workers,
        (x, x, &mean),
        #[inline(always)]
        |x, _, mean| (x - mean) * (x - mean),
    );
    variance.iter_mut().for_each(|variance| *variance /= count);
    Statistics { mean, variance }
}

impl Operator for BatchNorm {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let x = inputs.at(0)?;
        let of = channels(x.shape())?;
        let input = |number, name| factors(inputs.at(number)?, name, of.channels);
        let (scale, bias) = (input(1, "scale")?, input(2, "bias")?);
        let running = (input(3, "the running mean")?, input(4, "the running variance")?);
        let mut outcome = Outcome::default();
        let mut new_running = (running.0.to_vec(), running.1.to_vec());
        let used = if self.takes_batch_statistics(scope) {
            if of.count() == 0 {
                return Err(OpError::new("an empty batch has no mean"));
            }
            let batch = statistics(scope, of, x.as_floats()?);
            new_running =
                (self.mixed(running.0, &batch.mean), self.mixed(running.1, &batch.variance));
            let update = |number: usize, values: &[f32]| {
                let shape = inputs.at(number)?.shape().clone();
                Ok((number, Array::floats(shape, values.to_vec())))
            };
            outcome.updates = vec![update(3, &new_running.0)?, update(4, &new_running.1)?];
            batch
        } else {
            Statistics { mean: running.0.to_vec(), variance: running.1.to_vec() }
        };
        let inverse = self.inverse(&used.variance);
        let factor: Vec<f32> = scale.iter().zip(&inverse).map(|(one, two)| one * two).collect();
        let mut out = scope.buffers.take(x.len());
        of.scale(scope.workers, &mut out, x.as_floats()?, (&factor, &used.mean, bias));
        outcome.outputs.push(Array::floats(x.shape().clone(), out));
        if self.gives_running {
            outcome.outputs.push(Array::floats([of.channels], new_running.0));
            outcome.outputs.push(Array::floats([of.channels], new_running.1));
        }
        let shape = [of.channels];
        Ok(outcome.saving(Array::floats(shape, used.mean)).saving(Array::floats(shape, inverse)))
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        let reads = Reads::NOTHING.and_input(1);
        // A frozen layer between others needs no input on the way back, unless this step may take
        // statistics of the batch.
        let needs_input = wanted[1..].contains(&true) || self.training_mode;
        if needs_input { reads.and_input(0) } else { reads }
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        if at.gradients.iter().skip(1).any(Option::is_some) || at.wants(3) || at.wants(4) {
            return Err(OpError::new("gradients by or of running statistics are not covered"));
        }
        let gradient = at.gradient()?;
        let of = channels(gradient.shape())?;
        let [mean, inverse] = &at.saved[..] else {
            return Err(OpError::new("expected the statistics that the way forward saved"));
        };
        let (mean, inverse) = (mean.as_floats()?, inverse.as_floats()?);
        let scale = factors(at.inputs.at(1)?, "scale", of.channels)?;
        let from_batch = self.takes_batch_statistics(scope);
        let dy = gradient.as_floats()?;
        let mut sums = None;
        if let Some(x) = at.inputs.get(0) {
            let values = (dy, x.as_floats()?, mean);
            let by_bias = of.sums(
                scope.workers,
                values,
                #[inline(always)]
                |dy, _, _| dy,
            );
            let mut by_scale = of.sums(
                scope.workers,
                values,
                #[inline(always)]
                |dy, x, mean| dy * (x - mean),
            );
            crate::math::vector::multiply(&mut by_scale, inverse);
            sums = Some((by_scale, by_bias));
        }
        let shape = gradient.shape().clone();
        let mut values = gradient.into_floats()?;
        let factor: Vec<f32> = scale.iter().zip(inverse).map(|(one, two)| one * two).collect();
        if at.wants(0) {
            match (&sums, at.inputs.get(0)) {
                (Some(sums), Some(x)) if from_batch => {
                    through_batch(
                        scope,
                        of,
                        (&mut values, x.as_floats()?),
                        (&factor, mean, inverse),
                        (&sums.0, &sums.1),
                    );
                }
                _ => {
                    let zeros = vec![0.0; of.channels];
                    let dy = values;
                    values = scope.buffers.take(dy.len());
                    of.scale(scope.workers, &mut values, &dy, (&factor, &zeros, &zeros));
                    scope.buffers.give(dy);
                }
            }
        }
        let mut gradients = vec![Some(Array::floats(shape, values))];
        if let Some((by_scale, by_bias)) = sums {
            gradients.push(Some(Array::floats(at.shape(1)?.clone(), by_scale)));
            gradients.push(Some(Array::floats(at.shape(2)?.clone(), by_bias)));
        }
        Ok(gradients)
    }
}

/// Turns the gradient by the output into that by x, on which the statistics depend too: with h the
/// normalized x and means over the elements of a channel,
/// `dx = scale / deviation * (dy - mean(dy) - h mean(dy h))`.
fn through_batch(
    scope: &Scope<'_>,
    of: Channels,
    (dy, x): (&mut [f32], &[f32]),
    (factor, mean, inverse): (&[f32], &[f32], &[f32]),
    (by_scale, by_bias): (&[f32], &[f32]),
) {
    let count = of.count() as f32;
    let by_two: Vec<f32> = (0..of.channels)
        .map(|channel| -factor[channel] * inverse[channel] * by_scale[channel] / count)
        .collect();
    let add: Vec<f32> =
        factor.iter().zip(by_bias).map(|(factor, sum)| -factor * sum / count).collect();
    let with = Combination { by_one: factor, by_two: &by_two, center: mean, add: &add };
    of.combine(scope.workers, (dy, x), &with);
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    if site.opset < 7 {
        return Err(OpError::new(format!("opset {} is not covered, 7 and later are", site.opset)));
    }
    if site.opset < 9 && site.int("spatial", 1) == 0 {
        return Err(OpError::new("attribute spatial is 0, training covers 1"));
    }
    let outputs = site.node.outputs.iter().filter(|name| !name.is_empty()).count();
    let is_training_form = site.opset < 14 && outputs > 1;
    if site.node.output(3).is_some() || site.node.output(4).is_some() {
        return Err(OpError::new("outputs saved_mean and saved_var are not covered"));
    }
    Ok(Box::new(BatchNorm {
        epsilon: site.float("epsilon", 1e-5),
        momentum: site.float("momentum", 0.9),
        training_mode: site.flag("training_mode", false) || is_training_form,
        gives_running: outputs > 1,
    }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    const MEAN: [f32; 3] = [0.1, -0.2, 0.3];
    const VARIANCE: [f32; 3] = [0.5, 1.5, 0.8];

    fn case(dims: &[usize], seed: u64) -> Case {
        Case::new("BatchNormalization")
            .with("epsilon", 0.1)
            .with("momentum", 0.8)
            .trained(dims, numbers(seed, dims.iter().product()))
            .trained(&[3], numbers(seed ^ 1, 3))
            .trained(&[3], numbers(seed ^ 2, 3))
            .fixed(Array::floats([3], MEAN.to_vec()))
            .fixed(Array::floats([3], VARIANCE.to_vec()))
    }

    fn frozen(seed: u64) -> Case {
        Case::new("BatchNormalization")
            .training()
            .trained(&[2, 3, 4], numbers(seed, 24))
            .fixed(Array::floats([3], numbers(seed ^ 1, 3)))
            .fixed(Array::floats([3], numbers(seed ^ 2, 3)))
            .fixed(Array::floats([3], MEAN.to_vec()))
            .fixed(Array::floats([3], VARIANCE.to_vec()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn gradient(spatial in any::<bool>(), training in any::<bool>(), seed in any::<u64>()) {
            let case = case(if spatial { &[2, 3, 2, 2] } else { &[6, 3] }, seed);
            if training { case.training() } else { case }.check();
        }

        #[test]
        fn gradient_of_a_frozen_layer(training_mode in 0i64..2, seed in any::<u64>()) {
            frozen(seed).with("training_mode", training_mode).check();
        }
    }

    /// Mean and variance of a channel of x [2, 3, 4].
    fn statistics(x: &[f32], channel: usize) -> (f32, f32) {
        let values = || (0..24).filter(|at| at / 4 % 3 == channel).map(|at| x[at]);
        let mean = values().sum::<f32>() / 8.0;
        (mean, values().map(|x| (x - mean).powi(2)).sum::<f32>() / 8.0)
    }

    #[test]
    fn training_takes_and_remembers_the_statistics_of_the_batch() {
        let x = numbers(4, 24);
        let (scale, bias) = (numbers(4 ^ 1, 3), numbers(4 ^ 2, 3));
        let case = case(&[2, 3, 4], 4).training();
        let found = case.run()[0].as_floats().unwrap().to_vec();
        let updates = case.updates();
        assert_eq!(updates.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 4]);
        for (at, value) in x.iter().enumerate() {
            let channel = at / 4 % 3;
            let (mean, variance) = statistics(&x, channel);
            let normal = (value - mean) / (variance + 0.1).sqrt();
            assert!((found[at] - normal * scale[channel] - bias[channel]).abs() < 1e-5);
            let new = updates[0].1.as_floats().unwrap()[channel];
            assert!((new - 0.8 * MEAN[channel] - 0.2 * mean).abs() < 1e-6);
            let new = updates[1].1.as_floats().unwrap()[channel];
            assert!((new - 0.8 * VARIANCE[channel] - 0.2 * variance).abs() < 1e-6);
        }
    }

    #[test]
    fn evaluation_and_frozen_layers_take_the_running_statistics() {
        for (case, epsilon, seed) in [(case(&[2, 3, 4], 5), 0.1, 5), (frozen(6), 1e-5, 6)] {
            let (x, found) = (numbers(seed, 24), case.run());
            let (scale, bias) = (numbers(seed ^ 1, 3), numbers(seed ^ 2, 3));
            assert!(case.updates().is_empty());
            for (at, value) in x.iter().enumerate() {
                let channel = at / 4 % 3;
                let normal = (value - MEAN[channel]) / (VARIANCE[channel] + epsilon).sqrt();
                let expected = normal * scale[channel] + bias[channel];
                assert!((found[0].as_floats().unwrap()[at] - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn training_mode_gives_the_new_running_statistics() {
        let case = case(&[2, 3, 4], 7).with("training_mode", 1).training().outputs(3);
        let (found, updates) = (case.run(), case.updates());
        assert_eq!(found[1], updates[0].1);
        assert_eq!(found[2], updates[1].1);
        assert_eq!(frozen(8).with("training_mode", 1).updates().len(), 2);
    }

    #[test]
    fn what_is_not_covered_is_named() {
        let error = case(&[2, 3, 4], 1).outputs(5).opset(9).try_run().unwrap_err();
        assert!(error.contains("outputs saved_mean and saved_var are not covered"), "{error}");
        let error = case(&[2, 3, 4], 1).opset(8).with("spatial", 0).try_run().unwrap_err();
        assert!(error.contains("attribute spatial is 0"), "{error}");
        let error = case(&[4, 6], 1).try_run().unwrap_err();
        assert!(error.ends_with("scale has shape [3], expected 6 elements"), "{error}");
    }
}
