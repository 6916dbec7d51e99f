//! Reductions over axes: `MEAN`, `SUM`, `REDUCE_PROD`, `REDUCE_MAX`, `REDUCE_MIN`, `REDUCE_ANY`,
//! `REDUCE_ALL`; `ARG_MAX` and `ARG_MIN`.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::{Operator, Quantization};
use super::super::quantization::Multiplier;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::elementwise::cast;
use crate::reference::reduce::{self, Over, Tie};

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let axes = cx.required(op, 1, "an axis")?;
    let axes = distinct(&axes, cx.rank(input))?;
    let mut x = cx.real(input)?;
    let name = match op.kind.as_str() {
        "MEAN" => "ReduceMean",
        "SUM" => "ReduceSum",
        "REDUCE_PROD" => "ReduceProd",
        // Booleans are reduced as numbers.
        "REDUCE_MAX" | "REDUCE_ANY" => "ReduceMax",
        "REDUCE_MIN" | "REDUCE_ALL" => "ReduceMin",
        _ => return Err(super::unknown(op)),
    };
    let is_bool = matches!(op.kind.as_str(), "REDUCE_ANY" | "REDUCE_ALL");
    if is_bool {
        x = cx.cast(&x, ElementType::Int32);
    }
    let axes = cx.emitter.integers("axes", &axes);
    let keep = i64::from(op.options.bool(0)?);
    // Without axes nothing is reduced.
    let reduce = node(name, &[x, axes]).with("keepdims", keep).with("noop_with_empty_axes", 1i64);
    let mut y = cx.emitter.add(reduce);
    if is_bool {
        y = cx.cast(&y, ElementType::Bool);
    }
    cx.give(output, y)
}

/// Axes counted from the front, each once.
fn distinct(axes: &[i64], rank: usize) -> Result<Vec<i64>, Stop> {
    let mut found = Vec::new();
    for &axis in axes {
        let axis = if axis < 0 { axis + rank as i64 } else { axis };
        if axis < 0 || axis >= rank.max(1) as i64 {
            return Err(mismatch(format!("there is no axis {axis} among {rank}")));
        }
        if !found.contains(&axis) && rank > 0 {
            found.push(axis);
        }
    }
    found.sort_unstable();
    Ok(found)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let quantized = (cx.quantized(op.input(0)?), cx.quantized(op.output(0)?));
    if let (Some(from), Some(to)) = &quantized
        && matches!(op.kind.as_str(), "MEAN" | "SUM")
    {
        return integers(cx, op, from, to);
    }
    let x = cx.real(op.input(0)?)?;
    let axes = distinct(&cx.ints(op.input(1)?)?, x.rank())?;
    let over = Over { axes: Some(&axes), keep_dims: op.options.bool(0)? };
    let y = match op.kind.as_str() {
        "MEAN" => reduce::mean(&x, over)?,
        "SUM" => reduce::sum(&x, over)?,
        "REDUCE_PROD" => reduce::prod(&x, over)?,
        "REDUCE_MAX" => reduce::max(&x, over)?,
        "REDUCE_MIN" => reduce::min(&x, over)?,
        "REDUCE_ANY" => reduce::any(&x, over)?,
        "REDUCE_ALL" => reduce::all(&x, over)?,
        kind => return Err(mismatch(format!("{kind} is not known"))),
    };
    cx.give_real(op.output(0)?, y)
}

/// Integers are added up exactly; the sum is scaled once, by a multiplier that holds the number of
/// elements of a mean.
fn integers(
    cx: &mut Evaluation<'_>,
    op: &Operator,
    from: &Quantization,
    to: &Quantization,
) -> Result<(), Stop> {
    let ((from_scale, from_zero), (scale, zero)) = (from.single()?, to.single()?);
    let raw = cx.raw(op.input(0)?)?;
    let axes = distinct(&cx.ints(op.input(1)?)?, raw.rank())?;
    let over = Over { axes: Some(&axes), keep_dims: op.options.bool(0)? };
    let steps = raw.as_ints()?.iter().map(|&step| step - from_zero).collect();
    let sums = reduce::sum(&Array::ints(raw.dims(), steps)?, over)?;
    let count = raw.len() / sums.len().max(1);
    let mut multiplier = Multiplier::new(from_scale / scale);
    if op.kind == "MEAN" {
        multiplier = multiplier.divided_by(count);
    }
    let step = |&sum: &i64| i64::from(multiplier.apply(sum as i32)) + zero;
    let steps = sums.as_ints()?.iter().map(step).collect();
    cx.give_steps(op.output(0)?, sums.dims(), steps)
}

pub(super) fn convert_arg(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let axis = cx.required(op, 1, "an axis")?.first().copied().unwrap_or(0);
    let axis = cx.axis(input, axis)? as i64;
    let x = cx.real(input)?;
    let name = if op.kind == "ARG_MAX" { "ArgMax" } else { "ArgMin" };
    let arg = node(name, &[x]).with("axis", axis).with("keepdims", 0i64);
    let y = cx.emitter.add(arg);
    let element_type = cx.element_type(output)?;
    let y = if element_type == ElementType::Int64 { y } else { cx.cast(&y, element_type) };
    cx.give_raw(output, y);
    Ok(())
}

pub(super) fn evaluate_arg(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let x = cx.raw(op.input(0)?)?;
    let axis = cx.int(op.input(1)?)?;
    let y = match op.kind.as_str() {
        "ARG_MAX" => reduce::arg_max(&x, axis, false, Tie::First)?,
        _ => reduce::arg_min(&x, axis, false, Tie::First)?,
    };
    let element_type = cx.tensor(output).element_type.unwrap_or(ElementType::Int32);
    cx.give(output, cast(&y, element_type)?)
}
