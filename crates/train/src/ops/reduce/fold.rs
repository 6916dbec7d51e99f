//! Reductions of floats: neighbouring axes that are reduced are one, and are folded one after the
//! other, so that each fold is of `outer` blocks of `size` rows of `inner` elements.

use super::{Axes, Kind};
use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::math::vector;
use crate::operator::Scope;
use rten_simd::SimdUnaryOp;

/// Elements that one thread takes at a time, and that are summed before they meet other sums.
const PIECE: usize = 1 << 15;

/// The reduction, in the shape that keeps all axes.
pub(super) fn reduce(
    scope: &mut Scope<'_>,
    kind: Kind,
    axes: &Axes,
    values: &[f32],
) -> Result<Array, OpError> {
    let add = |a: f32, b: f32| a + b;
    let mut out = match kind {
        Kind::Sum | Kind::Mean | Kind::LogSum => all(scope, axes, values, |x| x, (0.0, add)),
        Kind::L1 => all(scope, axes, values, f32::abs, (0.0, add)),
        Kind::L2 | Kind::SumSquare => all(scope, axes, values, |x| x * x, (0.0, add)),
        Kind::Prod => all(scope, axes, values, |x| x, (1.0, |a, b| a * b)),
        Kind::Max => all(scope, axes, values, |x| x, (f32::NEG_INFINITY, larger)),
        Kind::Min => all(scope, axes, values, |x| x, (f32::INFINITY, smaller)),
        Kind::LogSumExp => return Ok(log_sum_exp(scope, axes, values)),
    };
    match kind {
        Kind::Mean => vector::scale(&mut out, 1.0 / axes.count() as f32),
        Kind::L2 => vector::vectorized(|| out.iter_mut().for_each(|x| *x = x.sqrt())),
        Kind::LogSum => out.iter_mut().for_each(|x| *x = x.ln()),
        _ => {}
    }
    Ok(Array::floats(axes.kept(), out))
}

/// The larger of two; NaN is larger than every number.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

#[inline(always)]
fn smaller(a: f32, b: f32) -> f32 {
    if b < a || b.is_nan() { b } else { a }
}

/// `ln sum e^x`, with the largest x taken out so that nothing overflows.
fn log_sum_exp(scope: &mut Scope<'_>, axes: &Axes, values: &[f32]) -> Array {
    let mut largest = all(scope, axes, values, |x| x, (f32::NEG_INFINITY, larger));
    // Infinity less infinity would be NaN.
    let finite = |x: &mut f32| *x = if x.is_infinite() { 0.0 } else { *x };
    vector::vectorized(|| largest.iter_mut().for_each(finite));
    let kept = axes.kept();
    let walk = Walk::new(&axes.from, &axes.from, &kept);
    let mut powers = scope.buffers.take(values.len());
    broadcast::apply(
        &mut powers,
        &walk,
        (values, &largest),
        #[inline(always)]
        |x, largest| x - largest,
    );
    rten_vecmath::Exp {}.map_mut(&mut powers);
    let mut out = all(scope, axes, &powers, |x| x, (0.0, |a, b| a + b));
    scope.buffers.give(powers);
    out.iter_mut().zip(&largest).for_each(|(sum, largest)| *sum = sum.ln() + largest);
    scope.buffers.give(largest);
    Array::floats(kept, out)
}

/// Folds all axes that are reduced, the last first, after `map` of each element.
fn all(
    scope: &mut Scope<'_>,
    axes: &Axes,
    values: &[f32],
    map: impl Fn(f32) -> f32 + Copy + Sync,
    (neutral, combine): (f32, impl Fn(f32, f32) -> f32 + Copy + Sync),
) -> Vec<f32> {
    let mut groups = groups(axes);
    let mut inner = 1;
    let mut folded: Option<Vec<f32>> = None;
    while let Some((size, reduced)) = groups.pop() {
        if !reduced {
            inner *= size;
            continue;
        }
        let outer: usize = groups.iter().map(|(size, _)| size).product();
        let fold = Fold { size, inner, neutral };
        let mut out = scope.buffers.take(outer * inner);
        match folded.take() {
            None => fold.run(scope, &mut out, values, map, combine),
            Some(before) => {
                fold.run(scope, &mut out, &before, |x| x, combine);
                scope.buffers.give(before);
            }
        }
        folded = Some(out);
    }
    folded.unwrap_or_else(|| {
        let mut out = scope.buffers.take(values.len());
        vector::map(&mut out, values, map);
        out
    })
}

/// Sizes of runs of axes that are all reduced, or all kept.
fn groups(axes: &Axes) -> Vec<(usize, bool)> {
    let mut groups: Vec<(usize, bool)> = Vec::new();
    for (&size, &reduced) in axes.from.iter().zip(&axes.reduced) {
        match groups.last_mut() {
            Some(last) if last.1 == reduced => last.0 *= size,
            _ => groups.push((size, reduced)),
        }
    }
    groups
}

/// Folds `size` rows of `inner` elements into one.
#[derive(Clone, Copy)]
struct Fold {
    size: usize,
    inner: usize,
    neutral: f32,
}

impl Fold {
    fn run(
        self,
        scope: &Scope<'_>,
        out: &mut [f32],
        values: &[f32],
        map: impl Fn(f32) -> f32 + Copy + Sync,
        combine: impl Fn(f32, f32) -> f32 + Copy + Sync,
    ) {
        if values.is_empty() {
            return out.fill(self.neutral);
        }
        let block = self.size * self.inner;
        let fold = |out: &mut [f32], values: &[f32]| {
            vector::vectorized(
                #[inline(always)]
                || {
                    for (out, values) in
                        out.chunks_exact_mut(self.inner).zip(values.chunks_exact(block))
                    {
                        if self.inner == 1 {
                            out[0] = self.lane(values, map, combine);
                        } else {
                            self.rows(out, values, map, combine);
                        }
                    }
                },
            );
        };
        if values.len() <= PIECE || out.len() == self.inner {
            return fold(out, values);
        }
        let blocks = PIECE.div_ceil(block);
        let pieces = out.chunks_mut(blocks * self.inner).zip(values.chunks(blocks * block));
        scope.workers.for_each(pieces.collect(), |(out, values)| fold(out, values));
    }

    /// Folds neighbours, in strands that fill a vector and in pieces whose results stay of a size
    /// with what is added to them.
    #[inline(always)]
    fn lane(
        self,
        values: &[f32],
        map: impl Fn(f32) -> f32 + Copy,
        combine: impl Fn(f32, f32) -> f32 + Copy,
    ) -> f32 {
        let mut result = self.neutral;
        for piece in values.chunks(4096) {
            let (chunks, rest) = piece.as_chunks::<16>();
            let mut strands = [self.neutral; 16];
            for chunk in chunks {
                for (strand, &value) in strands.iter_mut().zip(chunk) {
                    *strand = combine(*strand, map(value));
                }
            }
            let strands = strands.into_iter().fold(self.neutral, combine);
            let rest = rest.iter().fold(strands, |sum, &value| combine(sum, map(value)));
            result = combine(result, rest);
        }
        result
    }

    /// Folds rows into `out`.
    #[inline(always)]
    fn rows(
        self,
        out: &mut [f32],
        values: &[f32],
        map: impl Fn(f32) -> f32 + Copy,
        combine: impl Fn(f32, f32) -> f32 + Copy,
    ) {
        out.fill(self.neutral);
        for row in values.chunks_exact(self.inner) {
            for (out, &value) in out.iter_mut().zip(row) {
                *out = combine(*out, map(value));
            }
        }
    }
}
