//! Sign and Cast to BOOL.

use modelyard_graph::{ElementType, Node};

use super::{Amender, Answer, Instead};

/// `sign(x) = (x > 0) - (x < 0)`, and NaN stays NaN; rten answers 1 for 0.
pub(super) fn sign(amender: &mut Amender, node: &Node) -> Answer {
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return Ok(None) };
    let kind = amender.kind(input).ok_or("answers 1 for 0, and the datatype is not known")?;
    let float = is_float(kind.element_type);
    let zero = if float { amender.floats(&[], &[0.0]) } else { amender.zero() };
    let to = if float { ElementType::Float32 } else { ElementType::Int64 };
    let to = [("to", i64::from(to.code()).into())];
    let mut instead = Instead::of(node, amender);
    let above = instead.make("Greater", &[input, &zero]);
    let below = instead.make("Less", &[input, &zero]);
    let above = instead.make_with("Cast", &[&above], &to);
    let below = instead.make_with("Cast", &[&below], &to);
    if !float {
        instead.last("Sub", &[&above, &below], &[], output);
        return Ok(Some(instead.nodes));
    }
    let sign = instead.make("Sub", &[&above, &below]);
    let none = instead.make("IsNaN", &[input]);
    instead.last("Where", &[&none, input, &sign], &[], output);
    Ok(Some(instead.nodes))
}

/// Whether rten computes values of this type in `f32`.
pub(super) fn is_float(element_type: ElementType) -> bool {
    matches!(element_type, ElementType::Float32 | ElementType::Float64 | ElementType::Float16)
}

/// Everything but 0 is true. rten knows no booleans and casts to an integer: 0.5 becomes 0, and
/// 2 stays 2.
pub(super) fn cast(amender: &mut Amender, node: &Node) -> Answer {
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else { return Ok(None) };
    let kind = amender.kind(input);
    let is_bool = kind.is_some_and(|kind| kind.element_type == ElementType::Bool);
    if node.int("to") != Some(ElementType::Bool.code().into()) || is_bool {
        return Ok(None);
    }
    let zero = amender.floats(&[], &[0.0]);
    let mut instead = Instead::of(node, amender);
    let to = [("to", i64::from(ElementType::Float32.code()).into())];
    // No integer but 0 becomes 0.0.
    let number = instead.make_with("Cast", &[input], &to);
    let equal = instead.make("Equal", &[&number, &zero]);
    instead.last("Not", &[&equal], &[], output);
    Ok(Some(instead.nodes))
}
