//! Shapes, sizes, and that constants are as long as their shape says.

use modelyard_tensor::{Dim, Shape};

use super::Report;
use crate::{Constant, ConstantData, ElementType, Value, ValueType};

/// Checks the type of a value. Types nest, but not deeper than the census let them.
pub(super) fn value(value: &Value, report: &mut Report<'_>) {
    let mut value_type = &value.value_type;
    loop {
        value_type = match value_type {
            ValueType::Sequence(element) | ValueType::Optional(element) => element,
            ValueType::Map { value, .. } => value,
            ValueType::Tensor { element_type, dims }
            | ValueType::SparseTensor { element_type, dims } => {
                let fixed: Vec<usize> = dims
                    .iter()
                    .flatten()
                    .map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 })
                    .collect();
                shape(&format!("value '{}'", value.name), *element_type, &fixed, report);
                return;
            }
            ValueType::Opaque { .. } | ValueType::Unknown => return,
        }
    }
}

/// Rank and size of a tensor within bounds.
fn shape(place: &str, element_type: ElementType, dims: &[usize], report: &mut Report<'_>) -> bool {
    let limits = report.limits;
    if dims.len() > limits.rank {
        let message = format!("expected at most {} dimensions, found {}", limits.rank, dims.len());
        report.add(place, message);
        return false;
    }
    let elements = Shape::new(dims).elements();
    let bytes = match element_type {
        ElementType::String => elements,
        _ => elements.and_then(|elements| element_type.byte_len(elements)),
    };
    if bytes.is_none_or(|bytes| bytes as u64 > limits.tensor_bytes) {
        let message = format!(
            "expected at most {} bytes, found {element_type} {}",
            limits.tensor_bytes,
            Shape::new(dims)
        );
        report.add(place, message);
        return false;
    }
    true
}

/// Checks that a constant holds what its shape says.
pub(super) fn constant(constant: &Constant, report: &mut Report<'_>) {
    let place = format!("tensor '{}'", constant.name);
    if !shape(&place, constant.element_type, &constant.dims, report) {
        return;
    }
    let elements = constant.elements().unwrap_or(0);
    let bytes = constant.element_type.byte_len(elements).unwrap_or(0);
    let pairs = matches!(constant.element_type, ElementType::Complex64 | ElementType::Complex128);
    let items = if pairs { elements * 2 } else { elements };
    let (what, expected, found) = match &constant.data {
        ConstantData::Raw(data) => ("bytes", bytes, data.len()),
        ConstantData::Floats(data) => ("numbers", items, data.len()),
        ConstantData::Doubles(data) => ("numbers", items, data.len()),
        ConstantData::Longs(data) => ("numbers", items, data.len()),
        ConstantData::Unsigned(data) => ("numbers", items, data.len()),
        ConstantData::Ints(data) if constant.element_type.bits() < 8 => {
            ("packed bytes", bytes, data.len())
        }
        ConstantData::Ints(data) => ("numbers", items, data.len()),
        ConstantData::Strings(data) => ("strings", elements, data.len()),
        ConstantData::External(external) => {
            if constant.element_type == ElementType::String {
                report.add(place, "expected strings in the model itself, found external data");
                return;
            }
            let length = external.length.unwrap_or(bytes as u64);
            ("bytes of external data", bytes, usize::try_from(length).unwrap_or(usize::MAX))
        }
    };
    if expected != found {
        let message = format!(
            "expected {expected} {what} for {} {}, found {found}",
            constant.element_type,
            Shape::new(&constant.dims)
        );
        report.add(place, message);
    }
}
