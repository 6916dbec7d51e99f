//! Slice: from, to and by which step along some axes; steps may be negative.
//!
//! Everything is an attribute before opset 10 and an input from then on.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::math::view::{Axis, View};
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source, axes, ints_of};
use crate::ops::squeeze::marked;
use crate::site::Site;

#[derive(Debug)]
struct Slice {
    starts: Option<Vec<i64>>,
    ends: Option<Vec<i64>>,
    axes: Option<Vec<i64>>,
}

/// Where a slice of an axis of `size` elements begins and how many it takes. Ends past the array
/// are cut to it.
fn range(size: usize, start: i64, end: i64, step: i64) -> (usize, usize) {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let from_start = |place: i64| if place < 0 { place.saturating_add(size) } else { place };
    let (start, end) = (from_start(start), from_start(end));
    let (first, distance) = if step > 0 {
        let first = start.clamp(0, size);
        (first, end.clamp(0, size) - first)
    } else {
        let first = start.clamp(-1, size - 1);
        (first, first - end.clamp(-1, size - 1))
    };
    let count = u64::try_from(distance).unwrap_or(0).div_ceil(step.unsigned_abs());
    (usize::try_from(first).unwrap_or(0), usize::try_from(count).unwrap_or(0))
}

impl Movement for Slice {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let missing = || OpError::new("starts or ends are missing");
        let starts = ints_of(&self.starts, inputs, 1)?.ok_or_else(missing)?;
        let ends = ints_of(&self.ends, inputs, 2)?.ok_or_else(missing)?;
        let all: Vec<i64> = (0..starts.len() as i64).collect();
        let named = ints_of(&self.axes, inputs, 3)?.unwrap_or(&all);
        let ones = vec![1; starts.len()];
        let steps = inputs.get(4).map_or(Ok(&ones[..]), |steps| steps.as_ints())?;
        if [ends.len(), named.len(), steps.len()] != [starts.len(); 3] {
            return Err(OpError::new(format!(
                "expected starts, ends, axes and steps of one number, found {}, {}, {} and {}",
                starts.len(),
                ends.len(),
                named.len(),
                steps.len()
            )));
        }
        marked(named, from.len())?;
        let mut axes: Vec<Axis> = axes(from);
        let mut offset = 0;
        for (number, &axis) in named.iter().enumerate() {
            if steps[number] == 0 {
                return Err(OpError::new(format!("the step along axis {axis} is 0")));
            }
            let axis = &mut axes[crate::ops::axis(axis, from.len())?];
            let (first, count) = range(axis.size, starts[number], ends[number], steps[number]);
            offset += first * axis.stride.unsigned_abs();
            // The step only matters between two elements, where it is no larger than the axis.
            axis.stride = axis.stride.wrapping_mul(steps[number] as isize);
            axis.size = count;
        }
        let shape = axes.iter().map(|axis| axis.size).collect();
        Ok(View::new(shape, offset, axes).into())
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(Slice {
        starts: site.ints("starts"),
        ends: site.ints("ends"),
        axes: site.ints("axes"),
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn ints(values: &[i64]) -> Array {
        Array::ints([values.len()], values.to_vec())
    }

    proptest! {
        #[test]
        fn gradient(
            seed in any::<u64>(),
            start in -6i64..6,
            end in -6i64..6,
            step in prop_oneof![-3i64..0, 1i64..4],
            axis in -2i64..2,
        ) {
            Case::new("Slice")
                .trained(&[4, 3], numbers(seed, 12))
                .fixed(ints(&[start]))
                .fixed(ints(&[end]))
                .fixed(ints(&[axis]))
                .fixed(ints(&[step]))
                .check();
        }

        #[test]
        fn ranges_are_those_of_a_walk(
            size in 0usize..6, start in -8i64..8, end in -8i64..8, step in -4i64..5,
        ) {
            prop_assume!(step != 0);
            let size_int = size as i64;
            let from_start = |place: i64| if place < 0 { place + size_int } else { place };
            let (mut at, end) = (from_start(start), from_start(end));
            at = if step > 0 { at.max(0) } else { at.min(size_int - 1) };
            let mut walked = Vec::new();
            while (step > 0 && at < end.min(size_int)) || (step < 0 && at > end.max(-1)) {
                walked.push(at);
                at += step;
            }
            let walked: Vec<i64> = walked.into_iter().filter(|at| (0..size_int).contains(at)).collect();
            let (first, count) = range(size, start, {
                if end < 0 { end.saturating_sub(size_int) } else { end }
            }, step);
            let found: Vec<i64> = (0..count as i64).map(|at| first as i64 + at * step).collect();
            prop_assert_eq!(found, walked);
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let x = || Array::ints([2, 4], vec![1, 2, 3, 4, 5, 6, 7, 8]);
        let case = || Case::new("Slice").fixed(x()).fixed(ints(&[1, 0]));
        let steps = case().fixed(ints(&[2, 3])).fixed(ints(&[0, 1])).fixed(ints(&[1, 2]));
        steps.gives_ints(&[1, 2], &[5, 7]);
        let case = Case::new("Slice").fixed(x()).fixed(ints(&[0, 1]));
        case.fixed(ints(&[-1, 1000])).gives_ints(&[1, 3], &[2, 3, 4]);
        let case = Case::new("Slice").fixed(x()).fixed(ints(&[-1])).fixed(ints(&[i64::MIN]));
        case.fixed(ints(&[1])).fixed(ints(&[-1])).gives_ints(&[2, 4], &[4, 3, 2, 1, 8, 7, 6, 5]);
        let old = Case::new("Slice").opset(9).with("starts", [1]).with("ends", [3]);
        old.with("axes", [1]).fixed(x()).gives_ints(&[2, 2], &[2, 3, 6, 7]);
        let far = Case::new("Slice").fixed(x()).fixed(ints(&[0])).fixed(ints(&[i64::MAX]));
        far.fixed(ints(&[0])).fixed(ints(&[i64::MAX])).gives_ints(&[1, 4], &[1, 2, 3, 4]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let case = || Case::new("Slice").fixed(ints(&[1, 2])).fixed(ints(&[0]));
        case().fixed(ints(&[1, 1])).is_refused("found 1, 2, 1 and 1");
        let step = case().fixed(ints(&[1])).fixed(ints(&[0])).fixed(ints(&[0]));
        step.is_refused("the step along axis 0 is 0");
        case().fixed(ints(&[1])).fixed(ints(&[1])).is_refused("axis 1 is not one of");
        Case::new("Slice").fixed(ints(&[1])).is_refused("starts or ends are missing");
    }
}
