//! The frame of operators that map each element by itself: a function and its slope.

use std::fmt::Debug;

use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};

/// A function of one number and its derivative.
pub(crate) trait Function: Copy + Debug + Send + Sync + 'static {
    /// What [`Function::slope`] looks at: the input, the output or nothing; never both.
    const READS: Reads;

    /// `f(x)`.
    fn value(&self, x: f32) -> f32;

    /// `f'(x)`, given what [`Function::READS`] asks for: x or f(x).
    fn slope(&self, kept: f32) -> f32;

    /// `f` of a slice. For functions that a library computes faster than element by element.
    #[inline(always)]
    fn values(&self, out: &mut [f32], input: &[f32]) {
        vector::map(
            out,
            input,
            #[inline(always)]
            |x| self.value(x),
        );
    }
}

/// The operator of a [`Function`].
#[derive(Debug)]
pub(crate) struct Unary<F>(pub(crate) F);

impl<F: Function> Operator for Unary<F> {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let mut out = scope.buffers.take(input.len());
        let piece = piece(input.len());
        let pieces = out.chunks_mut(piece).zip(input.as_floats()?.chunks(piece)).collect();
        scope.share(input.len(), pieces, |(out, input)| {
            self.0.values(out, input);
            Ok(())
        })?;
        Ok(Array::floats(input.shape().clone(), out).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        F::READS
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let kept = if F::READS.input(0) { at.inputs.floats(0)? } else { at.outputs.floats(0)? };
        let function = self.0;
        let piece = piece(kept.len());
        let pieces = gradient.floats_mut()?.chunks_mut(piece).zip(kept.chunks(piece)).collect();
        scope.share(kept.len(), pieces, |(gradient, kept): (&mut [f32], &[f32])| {
            vector::vectorized(
                #[inline(always)]
                || {
                    for (gradient, &kept) in gradient.iter_mut().zip(kept) {
                        *gradient *= function.slope(kept);
                    }
                },
            );
            Ok(())
        })?;
        Ok(vec![Some(gradient)])
    }
}

/// Elements of a piece of shared work, of `len` in all.
fn piece(len: usize) -> usize {
    len.div_ceil(8).max(1)
}
