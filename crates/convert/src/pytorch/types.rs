//! PyTorch's rules for the type of a result: which of several types operands are promoted to.

use modelyard_graph::ElementType;

/// What takes part in a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A tensor with dimensions.
    Tensor(ElementType),
    /// A tensor without dimensions: its kind counts, its width only among its likes.
    Scalar(ElementType),
    /// A Python number of this kind.
    Number(Kind),
}

/// Kinds of numbers, the later ones stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Bool,
    Int,
    Float,
}

/// The kind of elements of this type.
pub(crate) fn kind(element_type: ElementType) -> Kind {
    match element_type {
        ElementType::Bool => Kind::Bool,
        ElementType::Float16
        | ElementType::Bfloat16
        | ElementType::Float32
        | ElementType::Float64 => Kind::Float,
        _ => Kind::Int,
    }
}

/// Whether elements of this type are floats.
pub(crate) fn is_float(element_type: ElementType) -> bool {
    kind(element_type) == Kind::Float
}

/// The type that these operands are computed in (`torch.result_type`): tensors with dimensions
/// decide, unless those without or Python numbers are of a stronger kind.
pub(crate) fn result_type(operands: &[Operand]) -> ElementType {
    let mut tensors = None;
    let mut scalars = None;
    let mut numbers = None;
    let add = |all: &mut Option<ElementType>, one| {
        *all = Some(all.map_or(one, |all| promote(all, one)));
    };
    for operand in operands {
        match *operand {
            Operand::Tensor(element_type) => add(&mut tensors, element_type),
            Operand::Scalar(element_type) => add(&mut scalars, element_type),
            Operand::Number(kind) => add(&mut numbers, default_type(kind)),
        }
    }
    let weaker = combine(scalars, numbers);
    combine(tensors, weaker).unwrap_or(ElementType::Float32)
}

fn combine(stronger: Option<ElementType>, weaker: Option<ElementType>) -> Option<ElementType> {
    match (stronger, weaker) {
        (Some(one), Some(two)) if kind(two) > kind(one) => Some(promote(one, two)),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

fn default_type(kind: Kind) -> ElementType {
    match kind {
        Kind::Bool => ElementType::Bool,
        Kind::Int => ElementType::Int64,
        Kind::Float => ElementType::Float32,
    }
}

/// The smallest type that holds both (`torch.promote_types`).
pub(crate) fn promote(one: ElementType, two: ElementType) -> ElementType {
    use ElementType::{Bfloat16, Bool, Float16, Float32, Int16, Int32, Int64, Uint8};
    match (one, two) {
        _ if one == two => one,
        (Bool, other) | (other, Bool) => other,
        (Float16, Bfloat16) | (Bfloat16, Float16) => Float32,
        _ if is_float(one) && is_float(two) => wider(one, two),
        _ if is_float(one) => one,
        _ if is_float(two) => two,
        // An unsigned byte and a signed type: the signed type that holds it.
        (Uint8, signed) | (signed, Uint8) => match signed {
            Int16 | Int32 | Int64 => signed,
            _ => Int16,
        },
        _ => wider(one, two),
    }
}

fn wider(one: ElementType, two: ElementType) -> ElementType {
    if two.bits() > one.bits() { two } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operands: &[Operand], expected: ElementType) {
        assert_eq!(result_type(operands), expected, "{operands:?}");
    }

    #[test]
    fn tensors_decide_unless_a_stronger_kind_comes() {
        use ElementType::*;
        use Operand::{Number, Scalar, Tensor};
        check(&[Tensor(Float16), Number(super::Kind::Float)], Float16);
        check(&[Tensor(Int32), Number(super::Kind::Float)], Float32);
        check(&[Tensor(Int32), Number(super::Kind::Int)], Int32);
        check(&[Tensor(Bool), Number(super::Kind::Int)], Int64);
        check(&[Tensor(Float16), Scalar(Float32)], Float16);
        check(&[Tensor(Int64), Scalar(Float64)], Float64);
        check(&[Scalar(Float16), Number(super::Kind::Float)], Float16);
        check(&[Tensor(Uint8), Tensor(Int8)], Int16);
        check(&[Tensor(Int64), Tensor(Float16)], Float16);
        check(&[Tensor(Float16), Tensor(Bfloat16)], Float32);
    }
}
