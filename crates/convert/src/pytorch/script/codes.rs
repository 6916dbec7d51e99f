//! Types of elements as the code has them: numbers of `c10::ScalarType`.

use modelyard_graph::ElementType;

use super::value::NumberKind;
use crate::pytorch::types::{Kind, kind};

/// PyTorch's number of a type of elements (`c10::ScalarType`).
pub(super) fn type_code(element_type: ElementType) -> Option<i64> {
    (0..=27).find(|&code| self::element_type(code) == Some(element_type))
}

/// The type of elements that has this number.
pub(super) fn element_type(code: i64) -> Option<ElementType> {
    Some(match code {
        0 => ElementType::Uint8,
        1 => ElementType::Int8,
        2 => ElementType::Int16,
        3 => ElementType::Int32,
        4 => ElementType::Int64,
        5 => ElementType::Float16,
        6 => ElementType::Float32,
        7 => ElementType::Float64,
        11 => ElementType::Bool,
        15 => ElementType::Bfloat16,
        27 => ElementType::Uint16,
        _ => return None,
    })
}

/// What a tensor's element is as a number of Python.
pub(super) fn number_kind(element_type: ElementType) -> NumberKind {
    match kind(element_type) {
        Kind::Bool => NumberKind::Bool,
        Kind::Int => NumberKind::Int,
        Kind::Float => NumberKind::Float,
    }
}
