//! Operands of element-wise operators: promoted to one type, broadcast.

use std::rc::Rc;

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Operand, Refusal, Scalar};
use crate::pytorch::evaluate::{self, Eval};
use crate::pytorch::types::{self, Kind};
use crate::reference::Array;

/// What an operand of a conversion counts as in the promotion of types.
fn counts_as(operand: &Operand) -> types::Operand {
    match operand {
        Operand::Tensor(tensor) if tensor.rank() == 0 => {
            types::Operand::Scalar(tensor.element_type)
        }
        Operand::Tensor(tensor) => types::Operand::Tensor(tensor.element_type),
        Operand::Number(scalar) => types::Operand::Number(scalar.kind()),
        Operand::Extent(_) => types::Operand::Number(Kind::Int),
        Operand::Computed(tensor) => types::Operand::Number(types::kind(tensor.element_type)),
    }
}

/// The type that operands are computed in.
pub(super) fn result_type(operands: &[&Operand]) -> ElementType {
    let counted: Vec<types::Operand> = operands.iter().map(|operand| counts_as(operand)).collect();
    types::result_type(&counted)
}

/// An operand as a tensor of this type.
pub(super) fn typed(call: &mut Call<'_, '_>, operand: &Operand, to: ElementType) -> String {
    match operand {
        Operand::Tensor(tensor) | Operand::Computed(tensor) => {
            call.to.cast(&tensor.name, tensor.element_type, to)
        }
        Operand::Number(scalar) => call.to.number(*scalar, to),
        Operand::Extent(extent) => call.to.extent_number(extent, to),
    }
}

/// The type that engines calculate such elements in: narrow integers in wider ones.
pub(super) fn calculated(element_type: ElementType) -> ElementType {
    match element_type {
        ElementType::Int8 | ElementType::Uint8 | ElementType::Int16 | ElementType::Uint16 => {
            ElementType::Int32
        }
        ElementType::Uint32 | ElementType::Uint64 => ElementType::Int64,
        other => other,
    }
}

/// `element_type`, or the default float where that is no float.
pub(super) fn float_type(element_type: ElementType) -> ElementType {
    if types::is_float(element_type) { element_type } else { ElementType::Float32 }
}

/// `self` and `other` as tensors of the type that they are promoted to.
pub(super) fn both(call: &mut Call<'_, '_>) -> Result<(String, String, ElementType), Refusal> {
    let (one, two) = (call.operand("self")?, call.operand("other")?);
    let element_type = calculated(result_type(&[&one, &two]));
    let one = typed(call, &one, element_type);
    let two = typed(call, &two, element_type);
    Ok((one, two, element_type))
}

/// Gives one node on `self` and `other`, promoted; on booleans another operator.
pub(super) fn give_both(
    call: &mut Call<'_, '_>,
    op_type: &str,
    of_booleans: Option<&str>,
) -> Result<(), Refusal> {
    let (one, two, element_type) = both(call)?;
    let op_type = match (element_type, of_booleans) {
        (ElementType::Bool, Some(op_type)) => op_type,
        (ElementType::Bool, None) => {
            return Err(Refusal::new("booleans as numbers", "cast them before"));
        }
        _ => op_type,
    };
    let result = call.to.emit(op_type, &[&one, &two]);
    call.give_as(0, &result, element_type)
}

/// Floats rounded towards zero.
pub(super) fn truncated(call: &mut Call<'_, '_>, name: &str, element_type: ElementType) -> String {
    let zero = call.to.number(Scalar::Float(0.0), element_type);
    let negative = call.to.emit("Less", &[name, &zero]);
    let (up, down) = (call.to.emit("Ceil", &[name]), call.to.emit("Floor", &[name]));
    call.to.emit_node(node("Where", &[negative, up, down]))
}

/// Operands of an evaluation, promoted.
pub(super) fn evaluated(
    eval: &mut Eval<'_, '_>,
    names: &[&str],
) -> Result<(Vec<evaluate::Operand>, ElementType), EvaluateError> {
    let mut operands = Vec::new();
    for name in names {
        operands.push(eval.operand(name)?);
    }
    let counted: Vec<types::Operand> = operands.iter().map(evaluate::Operand::promoted).collect();
    Ok((operands, types::result_type(&counted)))
}

/// `self` and `other` as arrays of the type that they are promoted to.
pub(super) fn evaluated_both(
    eval: &mut Eval<'_, '_>,
) -> Result<(Rc<Array>, Rc<Array>), EvaluateError> {
    let (operands, element_type) = evaluated(eval, &["self", "other"])?;
    Ok((operands[0].array(element_type)?, operands[1].array(element_type)?))
}
