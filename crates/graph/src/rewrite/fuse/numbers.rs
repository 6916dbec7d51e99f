//! Numbers in constants, of the types that networks compute in.

use super::super::tensor::first_number;
use crate::{Constant, ElementType};

/// A number and how finely its type tells numbers apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    precision: f64,
}

impl Number {
    /// Whether it is `wanted`, rounded to its type.
    pub(super) fn is(self, wanted: f64) -> bool {
        (self.value - wanted).abs() <= self.precision * wanted.abs()
    }
}

/// The number that a constant of one element holds, if it stretches no tensor.
pub(super) fn number(constant: &Constant) -> Option<Number> {
    (constant.elements() == Some(1) && constant.dims.len() <= 1).then_some(())?;
    let value = match floats(constant) {
        Some(items) => *items.first()?,
        None => first_number(constant)?,
    };
    // Exporters state constants with seven digits at least, or as their type rounds them.
    let precision = match constant.element_type {
        ElementType::Float16 => 1e-3,
        _ => 1e-6,
    };
    Some(Number { value, precision })
}

/// The elements of a constant of floats; `None` where they are not at hand.
pub(super) fn floats(constant: &Constant) -> Option<Vec<f64>> {
    let bytes = constant.bytes()?;
    Some(match constant.element_type {
        ElementType::Float32 => {
            bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item).into()).collect()
        }
        ElementType::Float64 => {
            bytes.as_chunks().0.iter().map(|&item| f64::from_le_bytes(item)).collect()
        }
        ElementType::Float16 => {
            bytes.as_chunks().0.iter().map(|&item| half::f16::from_le_bytes(item).into()).collect()
        }
        _ => return None,
    })
}

/// A constant of these elements, as their type rounds them.
pub(super) fn constant(
    name: &str,
    element_type: ElementType,
    dims: &[usize],
    items: &[f64],
) -> Option<Constant> {
    let bytes: Vec<u8> = match element_type {
        ElementType::Float32 => {
            items.iter().flat_map(|&item| (item as f32).to_le_bytes()).collect()
        }
        ElementType::Float64 => items.iter().flat_map(|item| item.to_le_bytes()).collect(),
        ElementType::Float16 => {
            items.iter().flat_map(|&item| half::f16::from_f64(item).to_le_bytes()).collect()
        }
        _ => return None,
    };
    Some(Constant::raw(name, element_type, dims, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_itself_as_its_type_rounds_it() {
        for element_type in [ElementType::Float32, ElementType::Float64, ElementType::Float16] {
            let held = constant("c", element_type, &[1], &[std::f64::consts::SQRT_2]).unwrap();
            let held = number(&held).unwrap();
            assert!(held.is(std::f64::consts::SQRT_2) && !held.is(1.4), "{element_type:?}");
        }
        let stretching = Constant::floats("c", &[1, 1, 1], &[2.0]);
        assert_eq!(number(&stretching), None);
        assert_eq!(number(&Constant::floats("c", &[2], &[2.0, 2.0])), None);
    }
}
