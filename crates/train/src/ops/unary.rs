//! The frame of operators that map each element by itself: a function and its slope.

use std::fmt::Debug;

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::workers::Workers;

/// A function of one number and its derivative.
pub(crate) trait Function: Copy + Debug + Send + Sync + 'static {
    /// What [`Function::slope`] looks at: the input, the output or nothing; never both.
    const READS: Reads;

    /// `f(x)`.
    fn value(&self, x: f32) -> f32;

    /// `f'(x)`, given what [`Function::READS`] asks for: x or f(x).
    fn slope(&self, kept: f32) -> f32;

    /// `f(x)` of an integer; `None` where it is a function of floats alone.
    fn integer(&self, _x: i64) -> Option<i64> {
        None
    }

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

    /// Multiplies each gradient by its slope. For slopes that are computed faster over a slice.
    #[inline(always)]
    fn chain(&self, gradient: &mut [f32], kept: &[f32]) {
        vector::vectorized(
            #[inline(always)]
            || {
                let pairs = gradient.iter_mut().zip(kept);
                pairs.for_each(|(gradient, &kept)| *gradient *= self.slope(kept));
            },
        );
    }
}

/// The operator of a [`Function`].
#[derive(Debug)]
pub(crate) struct Unary<F>(pub(crate) F);

/// Elements that one thread takes at a time: enough to be worth handing over.
const PIECE: usize = 1 << 15;

/// Calls `work` with pieces of both slices, which are of one length.
pub(crate) fn share(
    workers: &Workers,
    out: &mut [f32],
    input: &[f32],
    work: impl Fn(&mut [f32], &[f32]) + Sync,
) {
    if out.len() <= PIECE {
        return work(out, input);
    }
    let pieces = out.chunks_mut(PIECE).zip(input.chunks(PIECE)).collect();
    workers.for_each(pieces, |(out, input)| work(out, input));
}

impl<F: Function> Unary<F> {
    /// The function of an array of floats, or of integers where it is one of them.
    pub(crate) fn of(&self, scope: &mut Scope<'_>, input: &Array) -> Result<Array, OpError> {
        if let Data::Ints(values) = input.data()
            && let Some(out) = values.iter().map(|&x| self.0.integer(x)).collect::<Option<_>>()
        {
            return Ok(Array::ints(input.shape().clone(), out));
        }
        let values = input.as_floats()?;
        let mut out = scope.buffers.take(values.len());
        share(scope.workers, &mut out, values, |out, input| self.0.values(out, input));
        Ok(Array::floats(input.shape().clone(), out))
    }

    /// The gradient by the input, from that by the output and what [`Function::READS`] keeps.
    pub(crate) fn back(
        &self,
        scope: &mut Scope<'_>,
        mut gradient: Array,
        kept: &[f32],
    ) -> Result<Array, OpError> {
        let values = gradient.floats_mut()?;
        share(scope.workers, values, kept, |gradient, kept| self.0.chain(gradient, kept));
        Ok(gradient)
    }
}

impl<F: Function> Operator for Unary<F> {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        Ok(self.of(scope, inputs.at(0)?)?.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        F::READS
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        if F::READS == Reads::NOTHING {
            // The slope is the same everywhere.
            let mut gradient = gradient;
            vector::scale(gradient.floats_mut()?, self.0.slope(0.0));
            return Ok(vec![Some(gradient)]);
        }
        let kept = if F::READS.input(0) { at.inputs.floats(0)? } else { at.outputs.floats(0)? };
        Ok(vec![Some(self.back(scope, gradient, kept)?)])
    }
}
