//! LRN, local response normalization: `y = x / (bias + alpha / size * s) ^ beta`, where s is the
//! sum of squares over `size` channels around (Krizhevsky et al., 2012).

use std::ops::Range;

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Lrn {
    alpha: f32,
    beta: f32,
    bias: f32,
    size: usize,
}

/// A sample: `channels` planes of `plane` elements.
#[derive(Clone, Copy)]
struct Planes {
    channels: usize,
    plane: usize,
}

impl Planes {
    fn new(shape: &Shape) -> Result<Planes, OpError> {
        match shape.dims() {
            &[_, channels, ref plane @ ..] => {
                Ok(Planes { channels, plane: plane.iter().product() })
            }
            _ => Err(OpError::new(format!("expected shape [N,C,...], found {shape}"))),
        }
    }

    fn size(self) -> usize {
        self.channels * self.plane
    }

    fn range(self, channel: usize) -> Range<usize> {
        channel * self.plane..(channel + 1) * self.plane
    }
}

impl Lrn {
    /// Channels around one, `before` of them in front.
    fn around(&self, planes: Planes, channel: usize, before: usize) -> Range<usize> {
        let after = self.size - 1 - before;
        channel.saturating_sub(before)..channel.saturating_add(after + 1).min(planes.channels)
    }

    /// `bias + alpha / size * s` of a sample.
    fn bases(&self, planes: Planes, x: &[f32], bases: &mut [f32]) {
        bases.fill(self.bias);
        let factor = self.alpha / self.size as f32;
        for channel in 0..planes.channels {
            let base = &mut bases[planes.range(channel)];
            for other in self.around(planes, channel, (self.size - 1) / 2) {
                let other = &x[planes.range(other)];
                vector::vectorized(|| {
                    base.iter_mut().zip(other).for_each(|(base, x)| *base += factor * x * x);
                });
            }
        }
    }
}

impl Operator for Lrn {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let planes = Planes::new(input.shape())?;
        let mut out = scope.buffers.take(input.len());
        let size = planes.size().max(1);
        for (out, x) in out.chunks_mut(size).zip(input.as_floats()?.chunks(size)) {
            self.bases(planes, x, out);
            out.iter_mut().zip(x).for_each(|(out, x)| *out = x * out.powf(-self.beta));
        }
        Ok(Array::floats(input.shape().clone(), out).into())
    }

    /// `dx_i = dy_i b_i^-beta - 2 alpha beta / size x_i sum_j dy_j x_j b_j^(-beta - 1)`, over the
    /// channels j that have i around them.
    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let planes = Planes::new(gradient.shape())?;
        let size = planes.size().max(1);
        let (mut bases, mut terms) = (scope.buffers.take(size), scope.buffers.take(size));
        let factor = 2.0 * self.alpha * self.beta / self.size as f32;
        let samples =
            gradient.floats_mut()?.chunks_mut(size).zip(at.inputs.floats(0)?.chunks(size));
        for (dy, x) in samples {
            self.bases(planes, x, &mut bases);
            for ((dy, x), (base, term)) in dy.iter_mut().zip(x).zip(bases.iter().zip(&mut terms)) {
                *dy *= base.powf(-self.beta);
                *term = *dy * x / base;
            }
            for channel in 0..planes.channels {
                let range = planes.range(channel);
                for other in self.around(planes, channel, self.size / 2) {
                    let (dy, x) = (&mut dy[range.clone()], &x[range.clone()]);
                    let term = &terms[planes.range(other)];
                    vector::vectorized(|| {
                        let values = dy.iter_mut().zip(x.iter().zip(term));
                        values.for_each(|(dy, (x, term))| *dy -= factor * x * term);
                    });
                }
            }
        }
        scope.buffers.give(bases);
        scope.buffers.give(terms);
        Ok(vec![Some(gradient)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let size = site.int("size", 0);
    let size = usize::try_from(size).ok().filter(|&size| size > 0);
    Ok(Box::new(Lrn {
        alpha: site.float("alpha", 1e-4),
        beta: site.float("beta", 0.75),
        bias: site.float("bias", 1.0),
        size: size.ok_or_else(|| OpError::new("attribute size must be 1 or more"))?,
    }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn case(size: i64, seed: u64) -> Case {
        Case::new("LRN")
            .with("size", size)
            .with("alpha", 0.9)
            .with("beta", 0.6)
            .with("bias", 0.7)
            .trained(&[2, 5, 3], numbers(seed, 30))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn gradient(size in 1i64..7, seed in any::<u64>()) {
            case(size, seed).check();
        }
    }

    #[test]
    fn values_follow_the_formula() {
        for size in 1..7i64 {
            let (x, found) = (numbers(2, 30), case(size, 2).run());
            for at in 0..30 {
                let (sample, channel, place) = (at / 15, (at / 3 % 5) as i64, at % 3);
                let (before, after) = ((size - 1) / 2, size / 2);
                let around = (channel - before).max(0)..=(channel + after).min(4);
                let sum: f32 =
                    around.map(|c| x[sample * 15 + c as usize * 3 + place].powi(2)).sum();
                let expected = x[at] / (0.7 + 0.9 / size as f32 * sum).powf(0.6);
                let found = found[0].as_floats().unwrap()[at];
                assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn a_window_without_channels_is_refused() {
        let error = case(0, 1).try_run().unwrap_err();
        assert!(error.contains("attribute size must be 1 or more"), "{error}");
    }
}
