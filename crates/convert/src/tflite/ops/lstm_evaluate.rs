//! What the kernels of LSTM compute, step by step.

use modelyard_graph::ElementType;

use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch};
use super::lstm::{
    BIASES, CELL_STATE, GATES, INPUT_WEIGHTS, OUTPUT_STATE, PEEPHOLES, Parts, RECURRENT_WEIGHTS,
    parts, rounding,
};
use super::lstm_steps::{GATE_RANGE, Rounding};
use crate::reference::Array;
use crate::reference::matmul::linear;
use crate::reference::shape::{concat, narrow, stack};

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let parts = parts(op)?;
    let x = cx.real(op.input(0)?)?;
    let (hidden, cell) = (op.input(OUTPUT_STATE)?, op.input(CELL_STATE)?);
    let mut step = Step::read(cx, op, &parts)?;
    let axis = i64::from(parts.is_sequence && !parts.time_major);
    if !parts.is_sequence {
        step.walk(&x)?;
        let y = step.hidden_array()?;
        step.keep(cx, hidden, cell)?;
        return cx.give_real(op.output(0)?, y);
    }
    let time = x.dims().get(axis as usize).copied().unwrap_or(0);
    let mut outputs = Vec::new();
    for at in 0..time {
        let frame = narrow(&x, axis, at, 1)?;
        let dims: Vec<usize> = match frame.dims() {
            [1, rows, columns] if axis == 0 => vec![*rows, *columns],
            [rows, 1, columns] => vec![*rows, *columns],
            other => return Err(mismatch(format!("expected a sequence, found {other:?}"))),
        };
        step.walk(&frame.reshaped(&dims)?)?;
        outputs.push(step.hidden_array()?);
    }
    let y = stack(&outputs.iter().collect::<Vec<_>>(), axis)?;
    step.keep(cx, hidden, cell)?;
    cx.give_real(op.output(0)?, y)
}

/// One walk over time.
struct Step {
    /// Input weights and recurrent weights side by side, all gates below each other.
    weights: Array,
    bias: Array,
    peepholes: Option<[Vec<f32>; 3]>,
    activation: Activation,
    clip: f32,
    rounding: Option<Rounding>,
    hidden: Vec<f32>,
    cells: Vec<f32>,
    units: usize,
}

impl Step {
    fn read(cx: &mut Evaluation<'_>, op: &Operator, parts: &Parts) -> Result<Step, Stop> {
        let mut rows = Vec::new();
        let mut biases = Vec::new();
        for gate in 0..GATES.len() {
            let w = cx.real(op.input(INPUT_WEIGHTS + gate)?)?;
            let r = cx.real(op.input(RECURRENT_WEIGHTS + gate)?)?;
            rows.push(concat(&[&w, &r], 1)?);
            biases.push(Array::clone(&*cx.real(op.input(BIASES + gate)?)?));
        }
        let peepholes = match op.optional(PEEPHOLES) {
            None => None,
            Some(_) => {
                let mut all: [Vec<f32>; 3] = Default::default();
                for (index, one) in all.iter_mut().enumerate() {
                    *one = cx.real(op.input(PEEPHOLES + index)?)?.as_floats()?.to_vec();
                }
                Some(all)
            }
        };
        let rounding = rounding(cx.graph, op, parts.activation)?;
        let hidden = cx.real(op.input(OUTPUT_STATE)?)?;
        let cell = cx.real(op.input(CELL_STATE)?)?;
        let units = hidden.dims().last().copied().unwrap_or(0);
        let step = Step {
            weights: concat(&rows.iter().collect::<Vec<_>>(), 0)?,
            bias: concat(&biases.iter().collect::<Vec<_>>(), 0)?,
            peepholes,
            activation: parts.activation,
            clip: parts.clip,
            rounding,
            hidden: hidden.as_floats()?.to_vec(),
            cells: cell.as_floats()?.to_vec(),
            units,
        };
        let fits = step.weights.dims().first() == Some(&(units * GATES.len()))
            && step.cells.len() == step.hidden.len()
            && step.peepholes.iter().flatten().all(|one| one.len() == units);
        if fits { Ok(step) } else { Err(mismatch("its weights do not fit its state")) }
    }

    fn hidden_array(&self) -> Result<Array, Stop> {
        let rows = self.hidden.len() / self.units.max(1);
        Ok(Array::floats(&[rows, self.units], self.hidden.clone())?)
    }

    /// One step with an input of `[rows, columns]`.
    fn walk(&mut self, x: &Array) -> Result<(), Stop> {
        let hidden = self.hidden_array()?;
        let gates = linear(&concat(&[x, &hidden], 1)?, &self.weights, Some(&self.bias))?;
        let gates = gates.as_floats()?;
        for at in 0..self.hidden.len() {
            (self.cells[at], self.hidden[at]) = self.unit(gates, at);
        }
        Ok(())
    }

    /// The next cell and output of one unit of one row, from the sums of all gates.
    fn unit(&self, gates: &[f32], at: usize) -> (f32, f32) {
        let (row, unit) = (at / self.units, at % self.units);
        let sigmoid = |value: f32| self.part((1.0 / (1.0 + f64::from(-value).exp())) as f32);
        let peep = |number: usize, cell: f32| {
            self.peepholes.as_ref().map_or(0.0, |all| all[number][unit] * cell)
        };
        let gate = |number: usize, peephole: f32| {
            self.sum(gates[(row * GATES.len() + number) * self.units + unit] + peephole)
        };
        let cell = self.cells[at];
        let input = sigmoid(gate(0, peep(0, cell)));
        let forget = sigmoid(gate(1, peep(1, cell)));
        let change = input * self.part(self.activation.apply(gate(2, 0.0)));
        // Integer kernels round what stays and what comes before they add them.
        let mut next = self.cell(forget * cell) + self.cell(change);
        if self.clip > 0.0 {
            next = next.clamp(-self.clip, self.clip);
        }
        next = self.cell(next);
        let output = sigmoid(gate(3, peep(2, next)));
        let hidden = output * self.part(self.activation.apply(next));
        (next, self.output(hidden))
    }

    /// The sum of a gate: of an integer kernel in 16 bits, 12 of them behind the point.
    fn sum(&self, value: f32) -> f32 {
        match self.rounding {
            Some(_) => ((value * 4096.0).round() / 4096.0).clamp(GATE_RANGE.0, GATE_RANGE.1),
            None => value,
        }
    }

    /// What an activation gives: of an integer kernel in 16 bits, 15 of them behind the point.
    fn part(&self, value: f32) -> f32 {
        match self.rounding {
            Some(_) => (value * 32768.0).round().min(32767.0) / 32768.0,
            None => value,
        }
    }

    /// A cell as it is stored.
    fn cell(&self, value: f32) -> f32 {
        let Some(rounding) = &self.rounding else { return value };
        let steps = (value / rounding.cell).round();
        steps.clamp(i16::MIN.into(), i16::MAX.into()) * rounding.cell
    }

    /// An output as it is stored.
    fn output(&self, value: f32) -> f32 {
        let Some(rounding) = &self.rounding else { return value };
        let steps = rounding.hidden.nearest(&[value], &[1], ElementType::Int8);
        rounding.hidden.real(&steps, &[1]).first().copied().unwrap_or(value)
    }

    /// The states are kept for the next run.
    fn keep(self, cx: &mut Evaluation<'_>, hidden: usize, cell: usize) -> Result<(), Stop> {
        let rows = self.hidden.len() / self.units.max(1);
        let dims = [rows, self.units];
        cx.next_state(hidden, Array::floats(&dims, self.hidden)?)?;
        cx.next_state(cell, Array::floats(&dims, self.cells)?)
    }
}
