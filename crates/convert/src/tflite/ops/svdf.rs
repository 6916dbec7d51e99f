//! `SVDF`: a layer of filters over features and over time, whose last features are its state.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch, refused};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::matmul::linear;

/// Where the inputs stand: input, weights of features, weights of time, bias, state.
const FEATURES: usize = 1;
const TIME: usize = 2;
const BIAS: usize = 3;
const STATE: usize = 4;

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let rank = op.options.size(0, 1)?;
    let activation = cx.activation(op, 1)?;
    let state = op.input(STATE)?;
    let Some(&[filters, memory]) = cx.fixed_dims(op.input(TIME)?).as_deref() else {
        return Err(mismatch("its weights of time have no size"));
    };
    let x = cx.real(op.input(0)?)?;
    let features = cx.real(op.input(FEATURES)?)?;
    let now = cx.emitter.add(node("Gemm", &[x, features]).with("transB", 1i64));
    let last = cx.emitter.integers("last", &[2]);
    let now = cx.emitter.add(node("Unsqueeze", &[now, last.clone()]));
    // The oldest features leave, the newest come in.
    let held = cx.real(state)?;
    let shape = cx.emitter.integers("shape", &[-1, filters as i64, memory as i64]);
    let held = cx.emitter.add(node("Reshape", &[held, shape]));
    let from = cx.emitter.integers("from", &[1]);
    let to = cx.emitter.integers("to", &[i64::MAX]);
    let held = cx.emitter.add(node("Slice", &[held, from, to, last.clone()]));
    let held = cx.emitter.add(node("Concat", &[held, now]).with("axis", 2i64));
    let flat = cx.emitter.integers("flat", &[-1, (filters * memory) as i64]);
    let next = cx.emitter.add(node("Reshape", &[&held, &flat]));
    cx.next_state(state, next)?;
    let time = cx.real(op.input(TIME)?)?;
    let weighted = cx.emitter.add(node("Mul", &[held, time]));
    let sum = node("ReduceSum", &[weighted, last.clone()]).with("keepdims", 0i64);
    let mut y = cx.emitter.add(sum);
    if rank > 1 {
        let units = filters.checked_div(rank).unwrap_or(0);
        let shape = cx.emitter.integers("units", &[-1, units as i64, rank as i64]);
        y = cx.emitter.add(node("Reshape", &[y, shape]));
        y = cx.emitter.add(node("ReduceSum", &[y, last]).with("keepdims", 0i64));
    }
    if let Some(bias) = op.optional(BIAS) {
        let bias = cx.real(bias)?;
        y = cx.emitter.add(node("Add", &[y, bias]));
    }
    let y = cx.activated(&y, activation);
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let rank = op.options.size(0, 1)?;
    let activation: Activation = op.activation(1)?;
    let x = cx.real(op.input(0)?)?;
    let (features, time) = (cx.real(op.input(FEATURES)?)?, cx.real(op.input(TIME)?)?);
    let state = op.input(STATE)?;
    let mut held = cx.real(state)?.as_floats()?.to_vec();
    let &[filters, memory] = time.dims() else { return Err(mismatch("its weights have no size")) };
    let rows = x.dims().first().copied().unwrap_or(1);
    if held.len() != rows * filters * memory || !filters.is_multiple_of(rank) || memory == 0 {
        return Err(mismatch("its state does not fit its weights"));
    }
    let now = linear(&x, &features, None)?;
    let (now, time) = (now.as_floats()?, time.as_floats()?);
    let units = filters / rank;
    let mut values = vec![0f64; rows * units];
    for (filter, held) in held.chunks_exact_mut(memory).enumerate() {
        held.rotate_left(1);
        held[memory - 1] = now[filter];
        let weights = &time[filter % filters * memory..(filter % filters + 1) * memory];
        let products = held.iter().zip(weights).map(|(&a, &b)| f64::from(a) * f64::from(b));
        let row = filter / filters;
        values[row * units + filter % filters / rank] += products.sum::<f64>();
    }
    let bias = match op.optional(BIAS) {
        Some(bias) => cx.real(bias)?.as_floats()?.to_vec(),
        None => vec![0.0; units],
    };
    if bias.len() != units {
        return Err(refused("a bias of another size", "give it one number a unit"));
    }
    let value =
        |(at, value): (usize, f64)| activation.apply((value + f64::from(bias[at % units])) as f32);
    let values = values.into_iter().enumerate().map(value).collect();
    cx.next_state(state, Array::floats(&[rows, filters * memory], held)?)?;
    cx.give_real(op.output(0)?, Array::floats(&[rows, units], values)?)
}
