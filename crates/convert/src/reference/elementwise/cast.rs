//! Other element types.

use modelyard_graph::ElementType;

use super::super::array::is_integer;
use super::super::{Array, Data};
use super::pairs::wrong_kind;
use crate::EvaluateError;

/// Elements as another type: floats to integers are cut off towards zero (saturated at 64 bits,
/// then wrapped; NaN is 0), booleans are 0 and 1, and what is not 0 is true. Strings are refused.
pub(crate) fn cast(array: &Array, to: ElementType) -> Result<Array, EvaluateError> {
    if array.element_type() == to {
        return Ok(array.clone());
    }
    let unsigned = array.element_type() == ElementType::Uint64;
    let data = match array.data() {
        Data::Ints(values) if is_integer(to) => Data::Ints(values.clone()),
        Data::Ints(values) if to == ElementType::Bool => {
            Data::Bools(values.iter().map(|&value| value != 0).collect())
        }
        Data::Ints(values) if unsigned => {
            let values = values.iter().map(|&value| value as u64 as f64).collect();
            return Array::from_f64s(to, array.dims(), values);
        }
        Data::Ints(values) if to == ElementType::Float32 => {
            Data::Floats(values.iter().map(|&value| value as f32).collect())
        }
        Data::Floats(values) if to == ElementType::Uint64 => {
            Data::Ints(values.iter().map(|&value| as_unsigned(value.into())).collect())
        }
        Data::Doubles(values) if to == ElementType::Uint64 => {
            Data::Ints(values.iter().map(|&value| as_unsigned(value)).collect())
        }
        Data::Floats(values)
            if matches!(
                to,
                ElementType::Float32 | ElementType::Float16 | ElementType::Bfloat16
            ) =>
        {
            Data::Floats(values.clone())
        }
        Data::Strings(_) => return Err(wrong_kind("a number", array)),
        _ if to == ElementType::String => {
            return Err(EvaluateError::new("a number cannot be cast to a string"));
        }
        _ => return Array::from_f64s(to, array.dims(), array.to_f64s()?),
    };
    Array::new(to, array.dims(), data)
}

fn as_unsigned(value: f64) -> i64 {
    if value < 0.0 { value as i64 } else { value as u64 as i64 }
}
