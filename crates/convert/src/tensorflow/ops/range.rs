//! `Range` and `LinSpace`: numbers in equal steps.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::reference::{Array, index, layout};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let element_type = call.input(0)?.element_type;
    if call.node.op == "Range" {
        let inputs: [String; 3] = context.names(call)?;
        let found = context.add("Range", &inputs);
        return Ok(vec![context.value(found, element_type, Some(vec![Dim::Free]))]);
    }
    let count = context.integer(call.input(2)?, "the number of steps")?;
    let size = usize::try_from(count).ok().filter(|&count| count > 0);
    let size = size.ok_or_else(|| Refusal::new(format!("{count} steps"), ""))?;
    let [start, stop] = context.names(call)?;
    let steps = Array::from_f64s(element_type, &[size], fractions(size))?;
    let steps = context.emitter.constant(super::super::writing::constant_of("steps", &steps)?);
    let span = context.add("Sub", &[stop, start.clone()]);
    let scaled = context.add("Mul", &[steps, span]);
    let found = context.add("Add", &[scaled, start]);
    Ok(vec![context.value(found, element_type, Some(vec![Dim::Fixed(size)]))])
}

/// Numbers from 0 to 1.
fn fractions(count: usize) -> Vec<f64> {
    let last = (count - 1).max(1) as f64;
    (0..count).map(|index| index as f64 / last).collect()
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let element_type = given.input(0)?.element_type();
    if given.node.op == "Range" {
        let (start, limit, step) = (given.number(0)?, given.number(1)?, given.number(2)?);
        return Ok(vec![index::range(element_type, start, limit, step)?]);
    }
    let count = usize::try_from(given.integer(2)?).unwrap_or(0);
    if count == 0 {
        return Err(EvaluateError::new("there is no list of no steps"));
    }
    layout::elements(&[count])?;
    let (start, stop) = (given.number(0)?, given.number(1)?);
    let values = fractions(count).iter().map(|part| start + part * (stop - start)).collect();
    Ok(vec![Array::from_f64s(element_type, &[count], values)?])
}

/// The integers below a bound, as a constant.
pub(super) fn up_to(
    context: &mut Context<'_>,
    bound: usize,
    element_type: ElementType,
) -> Result<String, Refusal> {
    let values = (0..bound).map(|value| value as f64).collect();
    let array = Array::from_f64s(element_type, &[bound], values)?;
    let constant = super::super::writing::constant_of("range", &array)?;
    Ok(context.emitter.constant(constant))
}
