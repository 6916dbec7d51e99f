//! Shapes of recurrent layers, and where the numbers of a lane are in them.

use std::ops::Range;

use modelyard_tensor::Shape;

use super::Settings;
use crate::error::OpError;
use crate::operator::Inputs;

/// Sizes of one run of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) steps: usize,
    pub(super) batch: usize,
    pub(super) input: usize,
    pub(super) hidden: usize,
    pub(super) directions: usize,
    batch_first: bool,
}

/// One direction of a part of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) direction: usize,
    reversed: bool,
    first: usize,
    pub(super) rows: usize,
}

/// Sequences in a lane at least, and lanes of one direction at most.
const ROWS_MIN: usize = 16;
const LANES_MAX: usize = 4;

impl Sizes {
    /// From the shapes of X, W and R, which are checked against each other.
    pub(super) fn new(
        settings: &Settings,
        gates: usize,
        (x, w, r): (&Shape, &Shape, &Shape),
    ) -> Result<Sizes, OpError> {
        let refuse = || {
            OpError::new(format!(
                "X {x}, W {w} and R {r} do not fit a layer of {} directions and {gates} gates",
                settings.reversed.len()
            ))
        };
        let (&[one, two, input], &[directions, _, hidden]) = (x.dims(), r.dims()) else {
            return Err(refuse());
        };
        let (steps, batch) = if settings.batch_first { (two, one) } else { (one, two) };
        let batch_first = settings.batch_first;
        let sizes = Sizes { steps, batch, input, hidden, directions, batch_first };
        let rows = hidden.checked_mul(gates).ok_or_else(refuse)?;
        let largest = [steps.saturating_add(1), batch, directions, rows.max(input)];
        if directions != settings.reversed.len()
            || w.dims() != [directions, rows, input]
            || r.dims() != [directions, rows, hidden]
            || input == 0
            || hidden == 0
            || Shape::from(largest).elements().is_none()
        {
            return Err(refuse());
        }
        Ok(sizes)
    }

    /// The inputs that all layers share, checked: sizes, and that all sequences are of one length.
    pub(super) fn of_inputs(
        settings: &Settings,
        gates: usize,
        inputs: Inputs<'_>,
    ) -> Result<Sizes, OpError> {
        let shapes = (inputs.at(0)?.shape(), inputs.at(1)?.shape(), inputs.at(2)?.shape());
        let sizes = Sizes::new(settings, gates, shapes)?;
        let bias: Shape = [sizes.directions, 2 * gates * sizes.hidden].into();
        let expected = [(3, "B", bias), (5, "initial_h", sizes.state_shape())];
        let expected = expected.into_iter().chain([(6, "initial_c", sizes.state_shape())]);
        for (number, name, shape) in expected {
            if let Some(found) = inputs.get(number).map(|array| array.shape())
                && *found != shape
            {
                return Err(OpError::new(format!("{name} has shape {found}, expected {shape}")));
            }
        }
        if let Some(lengths) = inputs.get(4) {
            let is_whole = |&length: &i64| usize::try_from(length) == Ok(sizes.steps);
            if !lengths.as_ints()?.iter().all(is_whole) {
                return Err(OpError::new(format!(
                    "sequence_lens are {:?}, training covers only whole sequences of {} steps",
                    lengths.as_ints()?,
                    sizes.steps
                )));
            }
        }
        Ok(sizes)
    }

    /// The lanes; they follow from the sizes alone.
    pub(super) fn lanes(&self, settings: &Settings) -> Vec<Lane> {
        let rows = self.batch.div_ceil(LANES_MAX).max(ROWS_MIN);
        let directions = settings.reversed.iter().enumerate();
        directions
            .flat_map(|(direction, &reversed)| {
                (0..self.batch).step_by(rows).map(move |first| Lane {
                    direction,
                    reversed,
                    first,
                    rows: rows.min(self.batch - first),
                })
            })
            .collect()
    }

    /// The shape of Y.
    pub(super) fn output_shape(&self) -> Shape {
        let &Sizes { steps, batch, hidden, directions, .. } = self;
        match self.batch_first {
            false => [steps, directions, batch, hidden].into(),
            true => [batch, steps, directions, hidden].into(),
        }
    }

    /// The shape of states.
    pub(super) fn state_shape(&self) -> Shape {
        let &Sizes { batch, hidden, directions, .. } = self;
        match self.batch_first {
            false => [directions, batch, hidden].into(),
            true => [batch, directions, hidden].into(),
        }
    }

    /// Where the lane's rows of X are, in its order.
    pub(super) fn inputs(&self, lane: Lane) -> impl Iterator<Item = Range<usize>> {
        let (sizes, input) = (*self, self.input);
        sizes.places(lane).map(move |(step, row)| {
            let place = match sizes.batch_first {
                false => step * sizes.batch + row,
                true => row * sizes.steps + step,
            };
            place * input..(place + 1) * input
        })
    }

    /// Where the lane's rows of Y are, in its order.
    pub(super) fn outputs(&self, lane: Lane) -> impl Iterator<Item = Range<usize>> {
        let (sizes, hidden) = (*self, self.hidden);
        sizes.places(lane).map(move |(step, row)| {
            let place = match sizes.batch_first {
                false => (step * sizes.directions + lane.direction) * sizes.batch + row,
                true => (row * sizes.steps + step) * sizes.directions + lane.direction,
            };
            place * hidden..(place + 1) * hidden
        })
    }

    /// Where the lane's rows of a state are.
    pub(super) fn states(&self, lane: Lane) -> impl Iterator<Item = Range<usize>> {
        let (sizes, hidden) = (*self, self.hidden);
        (lane.first..lane.first + lane.rows).map(move |row| {
            let place = match sizes.batch_first {
                false => lane.direction * sizes.batch + row,
                true => row * sizes.directions + lane.direction,
            };
            place * hidden..(place + 1) * hidden
        })
    }

    /// Steps and rows of a lane in its order.
    fn places(self, lane: Lane) -> impl Iterator<Item = (usize, usize)> {
        (0..self.steps).flat_map(move |at| {
            let step = if lane.reversed { self.steps - 1 - at } else { at };
            (lane.first..lane.first + lane.rows).map(move |row| (step, row))
        })
    }
}

/// Copies the rows at `ranges` of `from` to `to`, one after the other.
pub(super) fn gather(to: &mut [f32], from: &[f32], ranges: impl Iterator<Item = Range<usize>>) {
    let mut start = 0;
    for range in ranges {
        let end = start + range.len();
        to[start..end].copy_from_slice(&from[range]);
        start = end;
    }
}

/// Copies rows that follow each other in `from` to the `ranges` of `to`.
pub(super) fn scatter(to: &mut [f32], from: &[f32], ranges: impl Iterator<Item = Range<usize>>) {
    let mut start = 0;
    for range in ranges {
        let end = start + range.len();
        to[range].copy_from_slice(&from[start..end]);
        start = end;
    }
}
