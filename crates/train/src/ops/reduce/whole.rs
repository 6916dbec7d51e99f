//! Reductions of integers, which shapes are computed with, and of booleans. Rarely more than a
//! few elements.

use super::{Axes, Kind};
use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::Walk;

/// The reduction, in the shape that keeps all axes.
pub(super) fn ints(kind: Kind, axes: &Axes, values: &[i64]) -> Result<Array, OpError> {
    let combine: fn(i64, i64) -> Option<i64> = match kind {
        Kind::Sum | Kind::Mean => i64::checked_add,
        Kind::Max => |a, b| Some(a.max(b)),
        Kind::Min => |a, b| Some(a.min(b)),
        Kind::Prod => i64::checked_mul,
        Kind::L1 => |a, b| a.checked_add(b.checked_abs()?),
        Kind::SumSquare => |a, b| a.checked_add(b.checked_mul(b)?),
        Kind::L2 | Kind::LogSum | Kind::LogSumExp => {
            return Err(OpError::new("expected floats, found integers"));
        }
    };
    let neutral = match kind {
        Kind::Prod => 1,
        Kind::Max => i64::MIN,
        Kind::Min => i64::MAX,
        _ => 0,
    };
    let count = axes.count();
    if count == 0 && matches!(kind, Kind::Max | Kind::Min | Kind::Mean) {
        return Err(OpError::new(format!("{} has no integers to choose from", axes.from)));
    }
    let out = fold(axes, values, Some(neutral), |out, value| combine((*out)?, value));
    let out: Option<Vec<i64>> = out.into_iter().collect();
    let mut out = out.ok_or_else(|| OpError::new("the integers overflow"))?;
    if kind == Kind::Mean {
        out.iter_mut().for_each(|sum| *sum /= count as i64);
    }
    Ok(Array::ints(axes.kept(), out))
}

/// Whether any holds (the largest), or all do (the smallest).
pub(super) fn bools(kind: Kind, axes: &Axes, values: &[bool]) -> Result<Array, OpError> {
    let out = match kind {
        Kind::Max => fold(axes, values, false, |out, value| *out || value),
        Kind::Min => fold(axes, values, true, |out, value| *out && value),
        _ => return Err(OpError::new("expected numbers, found booleans")),
    };
    Ok(Array::bools(axes.kept(), out))
}

fn fold<T: Copy, R: Clone>(
    axes: &Axes,
    values: &[T],
    neutral: R,
    combine: impl Fn(&R, T) -> R,
) -> Vec<R> {
    let kept = axes.kept();
    let mut out = vec![neutral; kept.iter().product()];
    let walk = Walk::new(&axes.from, &axes.from, &kept);
    if !values.is_empty() {
        let by_target = walk.inner.strides[1];
        walk.rows(|source, target| {
            for (number, &value) in values[source..source + walk.inner.size].iter().enumerate() {
                let out = &mut out[target + number * by_target];
                *out = combine(out, value);
            }
        });
    }
    out
}
