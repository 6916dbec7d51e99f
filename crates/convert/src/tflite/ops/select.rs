//! `SELECT`, `SELECT_V2`: elements of one or the other; `WHERE`: where the elements that hold stand.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::Stop;
use crate::emitter::node;
use crate::reference::elementwise::select;
use crate::reference::index::where_nonzero;
use crate::reference::shape::transpose;

/// The condition of `SELECT`, where it is one boolean a row, needs axes for the rest of the row.
fn missing_axes(kind: &str, condition: usize, rank: usize) -> usize {
    match kind {
        "SELECT" if condition == 1 => rank.saturating_sub(1),
        _ => 0,
    }
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (condition, yes, no) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let more = missing_axes(&op.kind, cx.rank(condition), cx.rank(yes));
    let mut chosen = cx.real(condition)?;
    if more > 0 {
        let axes: Vec<i64> = (1..=more as i64).collect();
        let axes = cx.emitter.integers("axes", &axes);
        chosen = cx.emitter.add(node("Unsqueeze", &[chosen, axes]));
    }
    let inputs = [chosen, cx.real(yes)?, cx.real(no)?];
    let y = cx.emitter.add(node("Where", &inputs));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (condition, yes, no) =
        (cx.raw(op.input(0)?)?, cx.real(op.input(1)?)?, cx.real(op.input(2)?)?);
    let more = missing_axes(&op.kind, condition.rank(), yes.rank());
    let dims = [condition.dims(), &vec![1; more]].concat();
    let condition = crate::reference::Array::clone(&condition).reshaped(&dims)?;
    cx.give_real(op.output(0)?, select(&condition, &yes, &no)?)
}

pub(super) fn convert_where(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let mut x = cx.raw(op.input(0)?)?;
    if cx.element_type(op.input(0)?)? != ElementType::Bool {
        x = cx.cast(&x, ElementType::Bool);
    }
    // ONNX has an axis a row, TensorFlow a column.
    let places = cx.emitter.add(node("NonZero", &[x]));
    let y = cx.transpose(&places, &[1, 0]);
    cx.give_raw(op.output(0)?, y);
    Ok(())
}

pub(super) fn evaluate_where(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let places = where_nonzero(&*cx.raw(op.input(0)?)?)?;
    cx.give(op.output(0)?, transpose(&places, &[1, 0])?)
}
