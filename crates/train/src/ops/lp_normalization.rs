//! LpNormalization: divides by the sum of absolute values (p = 1) or the Euclidean length (p = 2)
//! along one axis. What is all zeros stays so, with gradient 0.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::{normalize, vector};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct LpNorm {
    axis: i64,
    euclidean: bool,
}

/// An array as `size` slices of `inner` elements, in blocks.
#[derive(Clone, Copy)]
struct Slices {
    size: usize,
    inner: usize,
}

impl Slices {
    /// By element of a slice: the sum over slices of `term`.
    #[inline(always)]
    fn sums(self, (one, two): (&[f32], &[f32]), sums: &mut [f32], term: impl Fn(f32, f32) -> f32) {
        if self.inner == 1 {
            sums.fill(normalize::sum_of(one, two, term));
            return;
        }
        sums.fill(0.0);
        let slices = one.chunks_exact(self.inner).zip(two.chunks_exact(self.inner));
        for (one, two) in slices {
            let values = sums.iter_mut().zip(one.iter().zip(two));
            values.for_each(|(sum, (&one, &two))| *sum += term(one, two));
        }
    }
}

impl LpNorm {
    fn slices(&self, shape: &Shape) -> Result<Slices, OpError> {
        let axis = super::axis(self.axis, shape.len())?;
        Ok(Slices { size: shape[axis], inner: shape[axis + 1..].iter().product() })
    }

    /// One over the norms of a block; 0 for those that are 0.
    fn inverses(&self, slices: Slices, x: &[f32], inverses: &mut [f32]) {
        if self.euclidean {
            slices.sums((x, x), inverses, |x, _| x * x);
            inverses.iter_mut().for_each(|value| *value = value.sqrt());
        } else {
            slices.sums((x, x), inverses, |x, _| x.abs());
        }
        for value in inverses {
            *value = if *value == 0.0 { 0.0 } else { 1.0 / *value };
        }
    }

    /// `dy = (dy - n sum) / norm`, element by element, with one over the norm and the sum from
    /// `of`.
    #[inline(always)]
    fn project(&self, (dy, x, y): (&mut [f32], &[f32], &[f32]), of: impl Fn(usize) -> (f32, f32)) {
        vector::vectorized(
            #[inline(always)]
            || {
                for (at, (dy, (x, y))) in dy.iter_mut().zip(x.iter().zip(y)).enumerate() {
                    let sign = if *x == 0.0 { 0.0 } else { x.signum() };
                    let normal = if self.euclidean { *y } else { sign };
                    let (inverse, sum) = of(at);
                    *dy = inverse * (*dy - normal * sum);
                }
            },
        );
    }
}

impl Operator for LpNorm {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let slices = self.slices(input.shape())?;
        let mut out = scope.buffers.take(input.len());
        out.copy_from_slice(input.as_floats()?);
        let mut inverses = vec![0.0; slices.inner];
        for block in out.chunks_mut((slices.size * slices.inner).max(1)) {
            self.inverses(slices, block, &mut inverses);
            if slices.inner == 1 {
                vector::scale(block, inverses[0]);
            } else {
                let slices = block.chunks_exact_mut(slices.inner);
                slices.for_each(|slice| vector::multiply(slice, &inverses));
            }
        }
        Ok(Array::floats(input.shape().clone(), out).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::INPUTS.and_output(0)
    }

    /// `dx = (dy - n sum(dy y)) / norm`, where n is y for p = 2 and the sign of x for p = 1.
    fn backward(&self, _scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let slices = self.slices(gradient.shape())?;
        let size = (slices.size * slices.inner).max(1);
        let (x, y) = (at.inputs.floats(0)?, at.outputs.floats(0)?);
        let (mut inverses, mut sums) = (vec![0.0; slices.inner], vec![0.0; slices.inner]);
        let blocks =
            gradient.floats_mut()?.chunks_mut(size).zip(x.chunks(size).zip(y.chunks(size)));
        for (dy, (x, y)) in blocks {
            self.inverses(slices, x, &mut inverses);
            slices.sums((dy, y), &mut sums, |dy, y| dy * y);
            if slices.inner == 1 {
                let (inverse, sum) = (inverses[0], sums[0]);
                self.project((dy, x, y), |_| (inverse, sum));
            } else {
                let inner = slices.inner;
                let parts = x.chunks_exact(inner).zip(y.chunks_exact(inner));
                for (dy, (x, y)) in dy.chunks_exact_mut(inner).zip(parts) {
                    self.project((dy, x, y), |at| (inverses[at], sums[at]));
                }
            }
        }
        Ok(vec![Some(gradient)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    match site.int("p", 2) {
        p @ 1..=2 => Ok(Box::new(LpNorm { axis: site.int("axis", -1), euclidean: p == 2 })),
        p => Err(OpError::new(format!("attribute p is {p}, training covers 1 and 2"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn gradient(axis in -1i64..3, p in 1i64..3, seed in any::<u64>()) {
            let values = numbers(seed, 24).into_iter().map(|value| value + value.signum() * 0.3);
            Case::new("LpNormalization")
                .with("axis", axis)
                .with("p", p)
                .trained(&[2, 3, 4], values.collect())
                .check();
        }
    }

    #[test]
    fn values_follow_the_formula() {
        for (p, norms) in [(1i64, [7.0f32, 5.0]), (2, [5.0, 5.0])] {
            let case = Case::new("LpNormalization").with("p", p).with("axis", 0);
            let found = case.trained(&[2, 3], vec![3.0, 0.0, 0.0, -4.0, 5.0, 0.0]).run();
            let expected = [3.0 / norms[0], 0.0, 0.0, -4.0 / norms[0], 1.0, 0.0];
            for (found, expected) in found[0].as_floats().unwrap().iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn other_norms_are_refused() {
        let case = Case::new("LpNormalization").with("p", 3).trained(&[2], numbers(1, 2));
        let error = case.try_run().unwrap_err();
        assert!(error.contains("attribute p is 3, training covers 1 and 2"), "{error}");
    }
}
