//! The operator of a recurrent cell: shares lanes among threads and puts their results together.
//!
//! Inputs: X, W, R, B, sequence_lens, initial_h, initial_c. Outputs: Y, Y_h, Y_c.

use super::Settings;
use super::cell::Cell;
use super::lane::{Back, ByOutputs, Given, Kept, Work};
use super::sizes::{Lane, Sizes, scatter};
use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};

/// A recurrent layer.
#[derive(Debug)]
pub(super) struct Recurrent<C> {
    pub(super) cell: C,
    pub(super) settings: Settings,
}

/// Number of inputs with a gradient or a meaning.
const INITIAL_H: usize = 5;
const INITIAL_C: usize = 6;

/// The floats of the inputs. `zeros` stands for a bias that is left out.
fn given<'a>(inputs: Inputs<'a>, zeros: &'a [f32]) -> Result<Given<'a>, OpError> {
    let floats = |number: usize| inputs.get(number).map(Array::as_floats).transpose();
    Ok(Given {
        x: inputs.floats(0)?,
        w: inputs.floats(1)?,
        r: inputs.floats(2)?,
        bias: floats(3)?.unwrap_or(zeros),
        h: floats(INITIAL_H)?,
        c: floats(INITIAL_C)?,
    })
}

impl<C: Cell> Recurrent<C> {
    fn sizes(&self, inputs: Inputs<'_>) -> Result<(Sizes, Vec<Lane>, Vec<f32>), OpError> {
        let sizes = Sizes::of_inputs(&self.settings, C::GATES, inputs)?;
        let bias = vec![0.0; 2 * sizes.directions * C::GATES * sizes.hidden];
        Ok((sizes, sizes.lanes(&self.settings), bias))
    }
}

impl<C: Cell> Operator for Recurrent<C> {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (sizes, lanes, zeros) = self.sizes(inputs)?;
        let given = given(inputs, &zeros)?;
        let mut kept: Vec<(Lane, Kept, Result<(), OpError>)> = lanes
            .into_iter()
            .map(|lane| (lane, Kept::new::<C>(scope.buffers, &sizes, lane), Ok(())))
            .collect();
        scope.workers.for_each(kept.iter_mut().collect(), |(lane, kept, result)| {
            let work = Work { cell: &self.cell, sizes: &sizes, lane: *lane, given };
            *result = work.run(kept);
        });
        let (shape, state_shape) = (sizes.output_shape(), sizes.state_shape());
        let len = scope.elements(&shape)?;
        let mut y = scope.buffers.take(len);
        let mut states = vec![vec![0.0; state_shape.iter().product()]; 1 + usize::from(C::HAS_C)];
        let mut saved = Vec::with_capacity(4 * kept.len());
        for (lane, kept, result) in kept {
            result?;
            let state = lane.rows * sizes.hidden;
            scatter(&mut y, &kept.h[state..], sizes.outputs(lane));
            for (to, from) in states.iter_mut().zip([&kept.h, &kept.c]) {
                scatter(to, &from[sizes.steps * state..], sizes.states(lane));
            }
            let flat = |values: Vec<f32>| Array::floats([values.len()], values);
            saved.extend([kept.gates, kept.h, kept.c, kept.extra].map(flat));
        }
        let mut outputs = vec![Array::floats(shape, y)];
        outputs.extend(states.into_iter().map(|state| Array::floats(state_shape.clone(), state)));
        Ok(Outcome { outputs, saved, updates: Vec::new() })
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let (sizes, lanes, zeros) = self.sizes(at.inputs)?;
        let given = given(at.inputs, &zeros)?;
        let mut saved = std::mem::take(&mut at.saved).into_iter();
        let mut backs = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let mut next = || {
                let array = saved.next().ok_or_else(|| OpError::new("expected a saved lane"))?;
                array.into_floats()
            };
            let kept = Kept { gates: next()?, h: next()?, c: next()?, extra: next()? };
            let back = Back::new::<C>(scope.buffers, (&sizes, lane), at.wants(0));
            backs.push((lane, kept, back, Ok(())));
        }
        let by = |number: usize| {
            let gradient = at.gradients.get(number).and_then(Option::as_ref);
            gradient.map(Array::as_floats).transpose()
        };
        let by = ByOutputs { y: by(0)?, h: by(1)?, c: by(2)? };
        scope.workers.for_each(backs.iter_mut().collect(), |(lane, kept, back, result)| {
            let work = Work { cell: &self.cell, sizes: &sizes, lane: *lane, given };
            *result = work.back(kept, by, back);
        });
        let mut sum = Sum::new(scope, &at)?;
        for (lane, kept, back, result) in backs {
            result?;
            sum.add(&sizes, lane, &back);
            [kept.gates, kept.h, kept.c, kept.extra, back.x, back.w, back.r, back.bias]
                .into_iter()
                .chain([back.h, back.c])
                .for_each(|buffer| scope.buffers.give(buffer));
        }
        sum.finish(&at)
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::INPUTS
    }
}

/// Gradients by all inputs, `None` where one is not wanted.
struct Sum(Vec<Option<Vec<f32>>>);

impl Sum {
    fn new(scope: &mut Scope<'_>, at: &Backward<'_>) -> Result<Sum, OpError> {
        let zeros = |number: usize| {
            let len = at.input_shapes.get(number)?.iter().product();
            at.wants(number).then(|| scope.buffers.zeros(len))
        };
        Ok(Sum((0..=INITIAL_C).map(zeros).collect()))
    }

    /// Adds the gradients of a lane. Lanes come in one order whatever thread worked on them.
    fn add(&mut self, sizes: &Sizes, lane: Lane, back: &Back) {
        if let Some(sum) = &mut self.0[0] {
            let rows = back.x.chunks_exact(sizes.input);
            rows.zip(sizes.inputs(lane)).for_each(|(row, range)| vector::add(&mut sum[range], row));
        }
        for (number, part) in [(1, &back.w), (2, &back.r), (3, &back.bias)] {
            if let Some(sum) = &mut self.0[number] {
                vector::add(&mut sum[lane.direction * part.len()..][..part.len()], part);
            }
        }
        for (number, part) in [(INITIAL_H, &back.h), (INITIAL_C, &back.c)] {
            if let Some(sum) = &mut self.0[number] {
                scatter(sum, part, sizes.states(lane));
            }
        }
    }

    fn finish(self, at: &Backward<'_>) -> Result<Gradients, OpError> {
        let shaped = |(number, sum): (usize, Option<Vec<f32>>)| {
            sum.map(|sum| Ok(Array::floats(at.shape(number)?.clone(), sum))).transpose()
        };
        self.0.into_iter().enumerate().map(shaped).collect()
    }
}
