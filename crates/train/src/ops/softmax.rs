//! Softmax and LogSoftmax along one axis; before opset 13 over all axes from that one on.

use modelyard_tensor::Shape;
use rten_simd::SimdOp;

use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Softmax {
    axis: i64,
    /// Opset 12 and before: the input is a matrix, cut before the axis.
    flattens: bool,
    logarithm: bool,
}

/// An array as `outer` blocks of `size` elements that are `inner` apart.
struct Lanes {
    outer: usize,
    size: usize,
    inner: usize,
}

impl Softmax {
    fn lanes(&self, shape: &Shape) -> Result<Lanes, OpError> {
        let rank = shape.len();
        let axis = crate::ops::axis(self.axis, rank)?;
        let outer = shape[..axis].iter().product();
        if self.flattens {
            return Ok(Lanes { outer, size: shape[axis..].iter().product(), inner: 1 });
        }
        Ok(Lanes { outer, size: shape[axis], inner: shape[axis + 1..].iter().product() })
    }

    /// Turns one lane of numbers into its (logarithms of) probabilities.
    fn normalize(&self, lane: &mut [f32]) {
        let most = lane.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if self.logarithm {
            let sum: f32 = lane.iter().map(|value| (value - most).exp()).sum();
            let shift = most + sum.ln();
            vector::vectorized(|| lane.iter_mut().for_each(|value| *value -= shift));
        } else {
            rten_vecmath::Softmax::new_mut(lane).dispatch();
        }
    }
}

impl Lanes {
    /// Calls `each` with every lane of `data`, in one piece, and writes it back.
    fn for_each(&self, data: &mut [f32], mut each: impl FnMut(&mut [f32], usize)) {
        if data.is_empty() {
            return;
        }
        if self.inner == 1 {
            let lanes = data.chunks_exact_mut(self.size).enumerate();
            return lanes.for_each(|(number, lane)| each(lane, number * self.size));
        }
        let mut lane = vec![0.0; self.size];
        for start in 0..self.outer * self.inner {
            let start = start / self.inner * self.size * self.inner + start % self.inner;
            (0..self.size).for_each(|at| lane[at] = data[start + at * self.inner]);
            each(&mut lane, start);
            (0..self.size).for_each(|at| data[start + at * self.inner] = lane[at]);
        }
    }
}

impl Operator for Softmax {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let lanes = self.lanes(input.shape())?;
        let mut out = scope.buffers.take(input.len());
        out.copy_from_slice(input.as_floats()?);
        lanes.for_each(&mut out, |lane, _| self.normalize(lane));
        Ok(Array::floats(input.shape().clone(), out).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::OUTPUTS
    }

    fn backward(&self, _scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let lanes = self.lanes(gradient.shape())?;
        let outputs = at.outputs.floats(0)?;
        let inner = lanes.inner;
        lanes.for_each(gradient.floats_mut()?, |lane, start| {
            let outputs = outputs[start..].iter().step_by(inner);
            if self.logarithm {
                // dx = dy - exp(y) sum(dy)
                let sum: f32 = lane.iter().sum();
                lane.iter_mut().zip(outputs).for_each(|(dy, y)| *dy -= y.exp() * sum);
            } else {
                // dx = y (dy - sum(y dy))
                let sum: f32 = lane.iter().zip(outputs.clone()).map(|(dy, y)| dy * y).sum();
                lane.iter_mut().zip(outputs).for_each(|(dy, y)| *dy = y * (*dy - sum));
            }
        });
        Ok(vec![Some(gradient)])
    }
}

fn with(site: &Site<'_>, logarithm: bool) -> Result<Box<dyn Operator>, OpError> {
    let flattens = site.opset < 13;
    let axis = site.int("axis", if flattens { 1 } else { -1 });
    Ok(Box::new(Softmax { axis, flattens, logarithm }))
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, false)
}

pub(super) fn build_log(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, true)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn gradient(
            axis in -3i64..3,
            log in any::<bool>(),
            opset in prop_oneof![Just(11i64), Just(13)],
            seed in any::<u64>(),
        ) {
            let name = if log { "LogSoftmax" } else { "Softmax" };
            let axis = if opset < 13 { axis.abs() % 3 } else { axis };
            Case::new(name).opset(opset).with("axis", axis).trained(&[2, 3, 4], numbers(seed, 24)).check();
        }
    }
}
