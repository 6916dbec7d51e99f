//! A walk over time, step by step, as Keras defines it.

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::keras::evaluator::Evaluator;
use crate::keras::layers::recurrent::Recurrent;
use crate::keras::layers::recurrent::cell::{Cell, Kind};
use crate::reference::elementwise::{add, cast, map_floats, mul, select, sub};
use crate::reference::matmul::matmul;
use crate::reference::{Array, shape};

/// What a walk gives.
pub(crate) struct Run {
    /// What each step gave, in the order of the walk.
    pub(crate) sequence: Array,
    /// What the last step gave.
    pub(crate) last: Array,
    /// The states at the end.
    pub(crate) states: Vec<Array>,
}

/// A cell with its weights.
struct Weights {
    kernel: Array,
    recurrent: Array,
    bias: Option<Array>,
}

/// Walks over a sequence `[batch, steps, features]`.
pub(crate) fn run(
    layer: &Recurrent,
    sequence: &Array,
    (mask, start): (Option<&Array>, Vec<Array>),
    with: &Evaluator<'_>,
) -> Result<Run, EvaluateError> {
    let x = super::super::floats(sequence)?;
    let &[batch, steps, _] = x.dims() else {
        return Err(EvaluateError::new("expected a sequence of three dimensions"));
    };
    let mut weights = Vec::new();
    for cell in &layer.cells {
        let of = cell.variables();
        let bias = if cell.use_bias { Some(with.weight(&of, "bias")?) } else { None };
        let recurrent = with.weight(&of, "recurrent_kernel")?;
        weights.push(Weights { kernel: with.weight(&of, "kernel")?, recurrent, bias });
    }
    let mut states = start;
    if states.is_empty() {
        for cell in &layer.cells {
            for _ in 0..cell.states() {
                states.push(zeros(&[batch, cell.units])?);
            }
        }
    }
    let units = layer.cells.last().map_or(0, |cell| cell.units);
    let nothing = zeros(&[batch, units])?;
    let mut outputs = Vec::with_capacity(steps);
    let mut before = nothing.clone();
    for index in 0..steps {
        let step = if layer.go_backwards { steps - 1 - index } else { index };
        let input = shape::squeeze(&shape::narrow(&x, 1, step, 1)?, Some(&[1]))?;
        let (mut output, mut next) = all_cells(layer, &weights, &input, &states)?;
        if let Some(mask) = mask {
            let counts = cast(&shape::narrow(mask, 1, step, 1)?, ElementType::Bool)?;
            let other = if layer.zero_masked { &nothing } else { &before };
            output = select(&counts, &output, other)?;
            for (next, state) in next.iter_mut().zip(&states) {
                *next = select(&counts, next, state)?;
            }
        }
        states = next;
        before = output.clone();
        outputs.push(output);
    }
    let last = outputs.last().cloned().unwrap_or(nothing);
    let sequence = shape::stack(&outputs.iter().collect::<Vec<_>>(), 1)?;
    Ok(Run { sequence, last, states })
}

fn zeros(dims: &[usize]) -> Result<Array, EvaluateError> {
    Array::floats(dims, vec![0.0; dims.iter().product()])
}

/// One step of cells that stand one on the other.
fn all_cells(
    layer: &Recurrent,
    weights: &[Weights],
    input: &Array,
    states: &[Array],
) -> Result<(Array, Vec<Array>), EvaluateError> {
    let mut x = input.clone();
    let mut next = Vec::with_capacity(states.len());
    let mut rest = states;
    for (cell, weights) in layer.cells.iter().zip(weights) {
        let (own, others) = rest.split_at(cell.states().min(rest.len()));
        rest = others;
        let state = one_cell(cell, weights, &x, own)?;
        x = state.first().cloned().unwrap_or(x);
        next.extend(state);
    }
    Ok((x, next))
}

/// One step of a cell: its new state, of which the first is what it gives.
fn one_cell(
    cell: &Cell,
    weights: &Weights,
    x: &Array,
    state: &[Array],
) -> Result<Vec<Array>, EvaluateError> {
    let [h, ..] = state else { return Err(EvaluateError::new("a cell has no state")) };
    match cell.kind {
        Kind::Simple => {
            let sum = add(&projected(x, weights)?, &matmul(h, &weights.recurrent)?)?;
            Ok(vec![cell.activation.evaluate(&sum)?])
        }
        Kind::Lstm => lstm(cell, weights, x, state),
        Kind::Gru { reset_after } => gru(cell, weights, (x, h), reset_after),
    }
}

/// What comes in, times the kernel, plus the bias.
fn projected(x: &Array, weights: &Weights) -> Result<Array, EvaluateError> {
    let product = matmul(x, &weights.kernel)?;
    match &weights.bias {
        Some(bias) if bias.rank() == 1 => add(&product, bias),
        // The first of two.
        Some(bias) => add(&product, &shape::narrow(bias, 0, 0, 1)?),
        None => Ok(product),
    }
}

fn lstm(
    cell: &Cell,
    weights: &Weights,
    x: &Array,
    state: &[Array],
) -> Result<Vec<Array>, EvaluateError> {
    let [h, c] = state else { return Err(EvaluateError::new("an LSTM has two states")) };
    let z = add(&projected(x, weights)?, &matmul(h, &weights.recurrent)?)?;
    let z = shape::split(&z, 1, &[cell.units; 4])?;
    let gate = |index: usize| cell.recurrent_activation.evaluate(&z[index]);
    let new = mul(&gate(0)?, &cell.activation.evaluate(&z[2])?)?;
    let c = add(&mul(&gate(1)?, c)?, &new)?;
    let h = mul(&gate(3)?, &cell.activation.evaluate(&c)?)?;
    Ok(vec![h, c])
}

fn gru(
    cell: &Cell,
    weights: &Weights,
    (x, h): (&Array, &Array),
    reset_after: bool,
) -> Result<Vec<Array>, EvaluateError> {
    let sizes = [cell.units; 3];
    let x = shape::split(&projected(x, weights)?, 1, &sizes)?;
    let (z, inner) = if reset_after {
        let mut inner = matmul(h, &weights.recurrent)?;
        if let Some(bias) = &weights.bias {
            inner = add(&inner, &shape::narrow(bias, 0, 1, 1)?)?;
        }
        let inner = shape::split(&inner, 1, &sizes)?;
        let z = cell.recurrent_activation.evaluate(&add(&x[0], &inner[0])?)?;
        let r = cell.recurrent_activation.evaluate(&add(&x[1], &inner[1])?)?;
        (z, mul(&r, &inner[2])?)
    } else {
        let kernels = shape::split(&weights.recurrent, 1, &sizes)?;
        let gate = |index: usize| -> Result<Array, EvaluateError> {
            let sum = add(&x[index], &matmul(h, &kernels[index])?)?;
            cell.recurrent_activation.evaluate(&sum)
        };
        let (z, r) = (gate(0)?, gate(1)?);
        let inner = matmul(&mul(&r, h)?, &kernels[2])?;
        (z, inner)
    };
    let candidate = cell.activation.evaluate(&add(&x[2], &inner)?)?;
    let kept = mul(&z, h)?;
    let ones = map_floats(&z, |_| 1.0)?;
    Ok(vec![add(&kept, &mul(&sub(&ones, &z)?, &candidate)?)?])
}
