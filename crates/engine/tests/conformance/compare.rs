//! Whether two tensors are the same.
//!
//! Integers, booleans and strings exactly; floats within a relative 1e-3 and an absolute 1e-5,
//! 16-bit floats within the spacing of their numbers (2e-3 and 1e-2 relative).

use half::{bf16, f16};
use modelyard_tensor::{DataType, Element, Tensor};

const ABSOLUTE: f64 = 1e-5;

/// The first thing in which `found` differs from what was expected.
pub(crate) fn first_difference(expected: &[Tensor], found: &[Tensor]) -> Option<String> {
    expected.iter().zip(found).enumerate().find_map(|(index, (expected, found))| {
        difference(expected, found).map(|difference| format!("output {index}: {difference}"))
    })
}

fn difference(expected: &Tensor, found: &Tensor) -> Option<String> {
    if expected.data_type() != found.data_type() {
        return Some(format!("expected {}, found {}", expected.data_type(), found.data_type()));
    }
    if expected.shape() != found.shape() {
        return Some(format!("expected shape {}, found {}", expected.shape(), found.shape()));
    }
    match expected.data_type() {
        DataType::Fp64 => floats::<f64>(expected, found, 1e-3, |value| value),
        DataType::Fp32 => floats::<f32>(expected, found, 1e-3, f64::from),
        DataType::Fp16 => floats::<f16>(expected, found, 2e-3, f64::from),
        DataType::Bf16 => floats::<bf16>(expected, found, 1e-2, f64::from),
        _ if expected.data() == found.data() => None,
        _ => Some(format!("expected {}, found {}", shown(expected), shown(found))),
    }
}

fn floats<T: Element>(
    expected: &Tensor,
    found: &Tensor,
    relative: f64,
    wide: fn(T) -> f64,
) -> Option<String> {
    let (expected, found) = (expected.values::<T>().unwrap(), found.values::<T>().unwrap());
    let pairs = expected.iter().zip(found.iter()).map(|(&a, &b)| (wide(a), wide(b)));
    pairs.enumerate().find_map(|(at, (expected, found))| {
        let same = expected == found
            || (expected.is_nan() && found.is_nan())
            || (found - expected).abs() <= ABSOLUTE + relative * expected.abs();
        (!same).then(|| format!("at {at} expected {expected}, found {found}"))
    })
}

fn shown(tensor: &Tensor) -> String {
    let bytes = &tensor.data()[..tensor.data().len().min(32)];
    format!("bytes {bytes:?}")
}
