//! What recurrent layers of every framework do: walk over time. What a cell computes, and the order
//! of its gates, each source says itself.

use super::layout::{self, elements};
use super::shape::{stack, unstack};
use super::{Array, index};
use crate::EvaluateError;

/// Walks over the steps of `input` along `axis` (backwards where asked for): `step` makes the next
/// state of a step and the last state, and the first number of a state is what it gives. Gives what
/// all steps gave, in the order of the input, along the same axis; and the last state.
pub(crate) fn walk(
    input: &Array,
    axis: i64,
    backwards: bool,
    start: Vec<Array>,
    mut step: impl FnMut(&Array, &[Array]) -> Result<Vec<Array>, EvaluateError>,
) -> Result<(Array, Vec<Array>), EvaluateError> {
    let mut steps = unstack(input, axis)?;
    if backwards {
        steps.reverse();
    }
    let mut state = start;
    let mut outputs = Vec::with_capacity(steps.len());
    for input in &steps {
        state = step(input, &state)?;
        outputs.extend(state.first().cloned());
    }
    if backwards {
        outputs.reverse();
    }
    if outputs.is_empty() {
        return Err(EvaluateError::new("a sequence without steps"));
    }
    Ok((stack(&outputs.iter().collect::<Vec<_>>(), axis)?, state))
}

/// The first `lengths[i]` steps of each sequence turned around, the others left where they are.
pub(crate) fn reverse_sequence(
    input: &Array,
    lengths: &[usize],
    (batch_axis, time_axis): (i64, i64),
) -> Result<Array, EvaluateError> {
    let batch = layout::axis(batch_axis, input.rank())?;
    let time = layout::axis(time_axis, input.rank())?;
    let (count, steps) = (input.dims()[batch], input.dims()[time]);
    if lengths.len() != count || batch == time || lengths.iter().any(|&length| length > steps) {
        let dims = input.dims();
        let message = format!("lengths {lengths:?} do not fit sequences of shape {dims:?}");
        return Err(EvaluateError::new(message));
    }
    let strides = layout::strides(input.dims());
    let total = elements(input.dims())?;
    let place = |at: usize| {
        let of = |axis: usize| at / strides[axis] as usize % input.dims()[axis];
        let (sequence, step) = (of(batch), of(time));
        let from = if step < lengths[sequence] { lengths[sequence] - 1 - step } else { step };
        (at + from * strides[time] as usize - step * strides[time] as usize) as i64
    };
    let places = Array::ints(&[total], (0..total).map(place).collect())?;
    let flat = input.clone().reshaped(&[total])?;
    index::gather(&flat, &places, 0)?.reshaped(input.dims())
}

#[cfg(test)]
mod tests {
    use super::super::elementwise::add;
    use super::*;

    fn ints(dims: &[usize], values: &[i64]) -> Array {
        Array::ints(dims, values.to_vec()).unwrap()
    }

    #[test]
    fn walks_both_ways() {
        let input = ints(&[2, 3], &[1, 2, 3, 10, 20, 30]);
        let sum = |input: &Array, state: &[Array]| Ok(vec![add(input, &state[0])?]);
        let start = || vec![ints(&[2], &[0, 0])];
        let (all, last) = walk(&input, 1, false, start(), sum).unwrap();
        assert_eq!(all, ints(&[2, 3], &[1, 3, 6, 10, 30, 60]));
        assert_eq!(last[0], ints(&[2], &[6, 60]));
        let (all, _) = walk(&input, 1, true, start(), sum).unwrap();
        assert_eq!(all, ints(&[2, 3], &[6, 5, 3, 60, 50, 30]));
        assert!(walk(&ints(&[2, 0], &[]), 1, false, start(), sum).is_err());
    }

    #[test]
    fn sequences_turn_around_within_their_lengths() {
        let input = ints(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        let found = reverse_sequence(&input, &[2, 3], (0, 1)).unwrap();
        assert_eq!(found, ints(&[2, 3], &[2, 1, 3, 6, 5, 4]));
        assert!(reverse_sequence(&input, &[2, 4], (0, 1)).is_err());
        assert!(reverse_sequence(&input, &[2], (0, 1)).is_err());
    }
}
