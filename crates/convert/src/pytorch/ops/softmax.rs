//! Softmax and its logarithm.

use super::operands::float_type;
use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::{elementwise, softmax};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.softmax.int", "self dim dtype", convert, evaluate),
    operator("aten.log_softmax.int", "self dim dtype", convert, evaluate),
    operator("aten._softmax.default", "self dim half_to_float", convert, evaluate),
    operator("aten._log_softmax.default", "self dim half_to_float", convert, evaluate),
    operator("aten.special_softmax.default", "self dim dtype", convert, evaluate),
    operator("aten.special_log_softmax.default", "self dim dtype", convert, evaluate),
    operator("aten._safe_softmax.default", "self dim dtype", convert_safe, evaluate),
];

fn is_log(operator: &str) -> bool {
    operator.contains("log_softmax")
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    // A type that is asked for is that of the calculation.
    let (element_type, _) = call.output(0)?;
    let op_type = if is_log(call.operator()) { "LogSoftmax" } else { "Softmax" };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    if own.rank() == 0 {
        let wide = call.to.unsqueeze(&value, &[0]);
        let result = call.to.emit_node(node(op_type, &[wide]).with("axis", 0i64));
        let result = call.to.squeeze(&result, &[0]);
        call.give(0, result);
        return Ok(());
    }
    let axis = call.axis("dim", own.rank(), -1)? as i64;
    let result = call.to.emit_node(node(op_type, &[value]).with("axis", axis));
    call.give(0, result);
    Ok(())
}

/// Rows of nothing but -inf give zeros.
fn convert_safe(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (element_type, _) = call.output(0)?;
    let axis = call.axis("dim", own.rank(), -1)? as i64;
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let soft = call.to.emit_node(node("Softmax", &[&value]).with("axis", axis));
    let axes = call.to.ints(&[axis]);
    let largest = call.to.emit("ReduceMax", &[&value, &axes]);
    let lowest = call.to.float(f64::NEG_INFINITY, element_type);
    let is_empty = call.to.emit("Equal", &[&largest, &lowest]);
    let zero = call.to.float(0.0, element_type);
    let result = call.to.emit("Where", &[&is_empty, &zero, &soft]);
    call.give(0, result);
    Ok(())
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let element_type = eval.element_type("dtype")?.unwrap_or(float_type(own.element_type()));
    let wide = eval.bool_or("half_to_float", false)?;
    let element_type = if wide { modelyard_graph::ElementType::Float32 } else { element_type };
    let value = elementwise::cast(&own, element_type)?;
    if own.rank() == 0 {
        let result = if is_log(eval.operator()) { 0.0 } else { 1.0 };
        return one(elementwise::map(&value, |_| result));
    }
    let axis = eval.axis("dim", own.rank(), -1)? as i64;
    one(match is_log(eval.operator()) {
        true => softmax::log_softmax(&value, axis),
        false if eval.operator() == "_safe_softmax" => {
            let soft = softmax::softmax(&value, axis)?;
            elementwise::map(&soft, |value| if value.is_nan() { 0.0 } else { value })
        }
        false => softmax::softmax(&value, axis),
    })
}
