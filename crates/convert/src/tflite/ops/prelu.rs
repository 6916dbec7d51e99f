//! `PRELU`: a slope for negative elements, broadcast.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::Stop;
use crate::emitter::node;
use crate::reference::elementwise::zip_floats;

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let inputs = [cx.real(op.input(0)?)?, cx.real(op.input(1)?)?];
    let y = cx.emitter.add(node("PRelu", &inputs));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (x, slope) = (cx.real(op.input(0)?)?, cx.real(op.input(1)?)?);
    let y = zip_floats(&x, &slope, |x, slope| if x >= 0.0 { x } else { x * slope })?;
    cx.give_real(op.output(0)?, y)
}
