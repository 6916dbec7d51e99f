//! One lane through time: products over its whole sequence, then the cell step by step.

use super::cell::{self, BackStep, ByRecurrence, Cell, Recurrence, Step, Steps};
use super::sizes::{Lane, Sizes, gather};
use crate::buffers::Buffers;
use crate::error::OpError;
use crate::math::matmul::{self, ADDED, Matrix, PLAIN, Product};

/// What a lane reads: the layer's inputs.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) x: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) r: &'a [f32],
    /// Both biases of each direction, one after the other.
    pub(super) bias: &'a [f32],
    pub(super) h: Option<&'a [f32]>,
    pub(super) c: Option<&'a [f32]>,
}

/// What a lane leaves for the way back, in its order.
#[derive(Debug)]
pub(super) struct Kept {
    /// By step: the activated gates.
    pub(super) gates: Vec<f32>,
    /// The hidden states before each step and after the last.
    pub(super) h: Vec<f32>,
    /// The same of the second state; empty where the cell has none.
    pub(super) c: Vec<f32>,
    pub(super) extra: Vec<f32>,
}

/// The gradients that come of a lane.
#[derive(Debug)]
pub(super) struct Back {
    /// By X in the lane's order; empty where it is not wanted.
    pub(super) x: Vec<f32>,
    pub(super) w: Vec<f32>,
    pub(super) r: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) h: Vec<f32>,
    pub(super) c: Vec<f32>,
}

/// Gradients by the outputs.
#[derive(Clone, Copy)]
pub(super) struct ByOutputs<'a> {
    pub(super) y: Option<&'a [f32]>,
    pub(super) h: Option<&'a [f32]>,
    pub(super) c: Option<&'a [f32]>,
}

impl Kept {
    pub(super) fn new<C: Cell>(buffers: &mut Buffers, sizes: &Sizes, lane: Lane) -> Kept {
        let state = lane.rows * sizes.hidden;
        Kept {
            gates: buffers.take(sizes.steps * state * C::GATES),
            h: buffers.take((sizes.steps + 1) * state),
            c: buffers.take(if C::HAS_C { (sizes.steps + 1) * state } else { 0 }),
            extra: buffers.take(sizes.steps * state * C::EXTRA),
        }
    }
}

impl Back {
    pub(super) fn new<C: Cell>(
        buffers: &mut Buffers,
        (sizes, lane): (&Sizes, Lane),
        wants_x: bool,
    ) -> Back {
        let (state, rows) = (lane.rows * sizes.hidden, C::GATES * sizes.hidden);
        Back {
            x: buffers.take(if wants_x { sizes.steps * lane.rows * sizes.input } else { 0 }),
            w: buffers.zeros(rows * sizes.input),
            r: buffers.zeros(rows * sizes.hidden),
            bias: buffers.zeros(2 * rows),
            h: buffers.zeros(state),
            c: buffers.zeros(state),
        }
    }
}

/// A lane of a layer at work.
pub(super) struct Work<'a, C> {
    pub(super) cell: &'a C,
    pub(super) sizes: &'a Sizes,
    pub(super) lane: Lane,
    pub(super) given: Given<'a>,
}

impl<'a, C: Cell> Work<'a, C> {
    /// Elements of a state.
    fn state(&self) -> usize {
        self.lane.rows * self.sizes.hidden
    }

    /// Columns of the gates.
    fn columns(&self) -> usize {
        C::GATES * self.sizes.hidden
    }

    fn w(&self) -> Matrix<'a> {
        let (rows, columns) = (self.columns(), self.sizes.input);
        let start = self.lane.direction * rows * columns;
        Matrix::new(&self.given.w[start..][..rows * columns], rows, columns)
    }

    fn recurrence(&self, forward: bool) -> Result<Recurrence<'a>, OpError> {
        let (rows, hidden) = (self.columns(), self.sizes.hidden);
        let r = &self.given.r[self.lane.direction * rows * hidden..][..rows * hidden];
        Recurrence::new::<C>((self.lane.rows, hidden), r, self.biases().1, forward)
    }

    /// The biases of W and R.
    fn biases(&self) -> (&'a [f32], &'a [f32]) {
        let columns = self.columns();
        self.given.bias[self.lane.direction * 2 * columns..][..2 * columns].split_at(columns)
    }

    /// The lane's part of X in its order.
    fn gathered(&self) -> Vec<f32> {
        let mut x = vec![0.0; self.sizes.steps * self.lane.rows * self.sizes.input];
        gather(&mut x, self.given.x, self.sizes.inputs(self.lane));
        x
    }

    /// All steps forward.
    pub(super) fn run(&self, kept: &mut Kept) -> Result<(), OpError> {
        let state = self.state();
        let put = |to: &mut [f32], from: Option<&[f32]>| match from {
            Some(from) => gather(to, from, self.sizes.states(self.lane)),
            None => to.fill(0.0),
        };
        put(&mut kept.h[..state], self.given.h);
        if C::HAS_C {
            put(&mut kept.c[..state], self.given.c);
        }
        let x = self.gathered();
        let x = Matrix::new(&x, self.sizes.steps * self.lane.rows, self.sizes.input);
        let (of_w, of_r) = self.biases();
        let bias = self.cell.input_bias(of_w, of_r);
        let product = Product { bias: Some(&bias), ..PLAIN };
        if self.sizes.steps > 0 {
            matmul::multiply(&mut kept.gates, x, self.w().transposed(), product)?;
        }
        let with = self.recurrence(true)?;
        for step in 0..self.sizes.steps {
            let (h, next_h) = kept.h[step * state..].split_at_mut(state);
            let (c, next_c) = match C::HAS_C {
                true => kept.c[step * state..].split_at_mut(state),
                false => Default::default(),
            };
            let part = |blocks: usize| step * state * blocks..(step + 1) * state * blocks;
            let step = Step {
                gates: &mut kept.gates[part(C::GATES)],
                extra: &mut kept.extra[part(C::EXTRA)],
                h,
                c,
                next_h: &mut next_h[..state],
                next_c: if C::HAS_C { &mut next_c[..state] } else { next_c },
            };
            self.cell.step(&with, step)?;
        }
        Ok(())
    }

    /// All steps back. Leaves gradients in the place of what was kept.
    pub(super) fn back(
        &self,
        kept: &mut Kept,
        by: ByOutputs<'_>,
        out: &mut Back,
    ) -> Result<(), OpError> {
        let (state, hidden, steps) = (self.state(), self.sizes.hidden, self.sizes.steps);
        if let Some(by_h) = by.h {
            gather(&mut out.h, by_h, self.sizes.states(self.lane));
        }
        if let Some(by_c) = by.c {
            gather(&mut out.c, by_c, self.sizes.states(self.lane));
        }
        if steps == 0 {
            return Ok(());
        }
        let places: Vec<_> = self.sizes.outputs(self.lane).collect();
        let with = self.recurrence(false)?;
        for step in (0..steps).rev() {
            if let Some(by_y) = by.y {
                let places = &places[step * self.lane.rows..][..self.lane.rows];
                for (by_h, place) in out.h.chunks_exact_mut(hidden).zip(places) {
                    crate::math::vector::add(by_h, &by_y[place.clone()]);
                }
            }
            let part = |blocks: usize| step * state * blocks..(step + 1) * state * blocks;
            let at = BackStep {
                gates: &mut kept.gates[part(C::GATES)],
                extra: &mut kept.extra[part(C::EXTRA)],
                h: &kept.h[part(1)],
                c: if C::HAS_C { &kept.c[part(1)] } else { &[] },
                by_h: &mut out.h,
                by_c: &mut out.c,
            };
            self.cell.back(&with, at)?;
        }
        self.by_weights(kept, out)
    }

    /// The gradients of which all steps give a part: one product each.
    fn by_weights(&self, kept: &Kept, out: &mut Back) -> Result<(), OpError> {
        let rows = self.sizes.steps * self.lane.rows;
        let gates = Matrix::new(&kept.gates, rows, self.columns());
        let x = self.gathered();
        let x = Matrix::new(&x, rows, self.sizes.input);
        matmul::multiply(&mut out.w, gates.transposed(), x, ADDED)?;
        if !out.x.is_empty() {
            matmul::multiply(&mut out.x, gates, self.w(), PLAIN)?;
        }
        let (of_w, of_r) = out.bias.split_at_mut(self.columns());
        cell::add_columns(of_w, &kept.gates);
        let steps = Steps {
            rows,
            hidden: self.sizes.hidden,
            gates: &kept.gates,
            extra: &kept.extra,
            h: &kept.h[..rows * self.sizes.hidden],
        };
        self.cell.by_recurrence(&steps, ByRecurrence { r: &mut out.r, bias: of_r })
    }
}
