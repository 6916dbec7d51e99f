//! Small operators over lists: `BUCKETIZE`, `HASHTABLE_LOOKUP`, `SPARSE_TO_DENSE`, `MATRIX_DIAG`.

use modelyard_graph::{Constant, ElementType};

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use super::reshape::{give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::elementwise::cast;
use crate::reference::index::{Combine, scatter_nd};
use crate::reference::{Array, Data};

/// `BUCKETIZE`: how many boundaries are not above each element.
pub(super) fn convert_buckets(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let boundaries = op.options.f32s(0)?.unwrap_or_default();
    let x = cx.real(op.input(0)?)?;
    let x = cx.cast(&x, ElementType::Float32);
    let last = cx.emitter.integers("last", &[-1]);
    let x = cx.emitter.add(node("Unsqueeze", &[x, last.clone()]));
    let boundaries = cx.emitter.floats("boundaries", &[boundaries.len()], &boundaries);
    let above = cx.emitter.add(node("GreaterOrEqual", &[x, boundaries]));
    let above = cx.cast(&above, ElementType::Int32);
    let count = cx.emitter.add(node("ReduceSum", &[above, last]).with("keepdims", 0i64));
    cx.give_raw(output, count);
    Ok(())
}

pub(super) fn evaluate_buckets(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let boundaries = op.options.f32s(0)?.unwrap_or_default();
    let x = cx.real(op.input(0)?)?;
    let x = cast(&x, ElementType::Float32)?;
    let count = |&value: &f32| boundaries.iter().filter(|&&least| value >= least).count() as i64;
    let counts = Data::Ints(x.as_floats()?.iter().map(count).collect());
    cx.give(op.output(0)?, Array::new(ElementType::Int32, x.dims(), counts)?)
}

/// `HASHTABLE_LOOKUP`: rows by their keys; zeros, and no hit, for keys that are not there.
pub(super) fn convert_lookup(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (table, output) = (op.input(2)?, op.output(0)?);
    if cx.element_type(table)? == ElementType::String {
        return Err(refused("a table of strings", "look strings up outside of the model"));
    }
    let (wanted, keys) = (cx.raw(op.input(0)?)?, cx.raw(op.input(1)?)?);
    let last = cx.emitter.integers("last", &[1]);
    let wanted = cx.emitter.add(node("Unsqueeze", &[wanted, last.clone()]));
    let same = cx.emitter.add(node("Equal", &[wanted, keys]));
    let same = cx.cast(&same, ElementType::Int32);
    let place = node("ArgMax", &[&same]).with("axis", 1i64).with("keepdims", 0i64);
    let place = cx.emitter.add(place);
    let hit = cx.emitter.add(node("ReduceMax", &[same, last]).with("keepdims", 0i64));
    let x = moved(cx, table, output)?;
    let rows = cx.emitter.add(node("Gather", &[x.name, place]).with("axis", 0i64));
    let found = cx.cast(&hit, ElementType::Bool);
    let axes: Vec<i64> = (1..cx.rank(table) as i64).collect();
    let axes = cx.emitter.integers("axes", &axes);
    let found = cx.emitter.add(node("Unsqueeze", &[found, axes]));
    let element_type = if x.is_raw { cx.element_type(table)? } else { ElementType::Float32 };
    let zero = cx.emitter.constant(super::fill::number("zero", element_type, 0));
    let y = cx.emitter.add(node("Where", &[found, rows, zero]));
    give_moved(cx, output, y, x.is_raw)?;
    if let Some(&hits) = op.outputs.get(1) {
        let hit = cx.cast(&hit, ElementType::Uint8);
        cx.give_raw(hits, hit);
    }
    Ok(())
}

pub(super) fn evaluate_lookup(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (table, output) = (op.input(2)?, op.output(0)?);
    let (wanted, keys) = (cx.ints(op.input(0)?)?, cx.ints(op.input(1)?)?);
    let array = taken(cx, table, output)?;
    let width = array.len() / keys.len().max(1);
    cx.room(&[wanted.len(), width])?;
    let values = array.to_f64s()?;
    let mut rows = Vec::with_capacity(wanted.len() * width);
    let mut hits = Vec::with_capacity(wanted.len());
    for key in &wanted {
        let place = keys.iter().position(|other| other == key);
        hits.push(i64::from(place.is_some()));
        match place.and_then(|place| values.get(place * width..(place + 1) * width)) {
            Some(row) => rows.extend_from_slice(row),
            None => rows.extend(std::iter::repeat_n(0.0, width)),
        }
    }
    let dims = [&[wanted.len()], array.dims().get(1..).unwrap_or_default()].concat();
    let result = Array::from_f64s(array.element_type(), &dims, rows)?;
    put(cx, (table, output), result)?;
    match op.outputs.get(1) {
        Some(&output) => {
            let hits = Array::new(ElementType::Uint8, &[wanted.len()], Data::Ints(hits))?;
            cx.give(output, hits)
        }
        None => Ok(()),
    }
}

/// `SPARSE_TO_DENSE`: values at stated places of a shape that is filled with a default.
pub(super) fn convert_dense(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (places, values, output) = (op.input(0)?, op.input(2)?, op.output(0)?);
    let rank = cx.rank(places);
    if cx.rank(values) == 0 || rank == 0 {
        return Err(refused("a single value for all places", "give a value for each place"));
    }
    let shape = cx.int64(op.input(1)?)?;
    let x = moved(cx, values, output)?;
    let filler = op.input(3)?;
    let filler = if x.is_raw { cx.raw(filler)? } else { cx.real(filler)? };
    let filled = cx.emitter.add(node("Expand", &[filler, shape]));
    let mut indices = cx.int64_array(places)?;
    if rank == 1 {
        let last = cx.emitter.integers("last", &[-1]);
        indices = cx.emitter.add(node("Unsqueeze", &[indices, last]));
    }
    let y = cx.emitter.add(node("ScatterND", &[filled, indices, x.name]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_dense(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (values, output) = (op.input(2)?, op.output(0)?);
    let mut places = Array::clone(&*cx.raw(op.input(0)?)?);
    if places.rank() == 1 {
        let count = places.len();
        places = places.reshaped(&[count, 1])?;
    }
    let dims = super::fill::shape(&cx.ints(op.input(1)?)?)?;
    let array = taken(cx, values, output)?;
    let filler = taken(cx, op.input(3)?, output)?;
    cx.room(&dims)?;
    let filled = crate::reference::shape::broadcast_to(&filler, &dims)?;
    let result = scatter_nd(&filled, &places, &array, Combine::Replace)?;
    put(cx, (values, output), result)
}

/// `MATRIX_DIAG`: the last axis on the diagonal of matrices.
pub(super) fn convert_diagonal(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let Some(size) = cx.dims(input).last().copied().flatten() else {
        return Err(refused("a diagonal of unknown size", "export the model with fixed shapes"));
    };
    let x = moved(cx, input, output)?;
    let last = cx.emitter.integers("last", &[-1]);
    let rows = cx.emitter.add(node("Unsqueeze", &[x.name, last]));
    let is_diagonal: Vec<u8> =
        (0..size * size).map(|at| u8::from(at / size == at % size)).collect();
    let mask = Constant::raw("diagonal", ElementType::Bool, &[size, size], is_diagonal);
    let mask = cx.emitter.constant(mask);
    let element_type = if x.is_raw { cx.element_type(input)? } else { ElementType::Float32 };
    let zero = cx.emitter.constant(super::fill::number("zero", element_type, 0));
    let y = cx.emitter.add(node("Where", &[mask, rows, zero]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_diagonal(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let array = taken(cx, input, output)?;
    let size = array.dims().last().copied().ok_or_else(|| mismatch("expected a diagonal"))?;
    let dims = [array.dims(), &[size]].concat();
    let count = cx.room(&dims)?;
    let mut values = vec![0.0; count];
    for (at, value) in array.to_f64s()?.into_iter().enumerate() {
        values[at * size + at % size] = value;
    }
    let result = Array::from_f64s(array.element_type(), &dims, values)?;
    put(cx, (input, output), result)
}
