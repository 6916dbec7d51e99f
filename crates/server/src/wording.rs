//! What both protocols say of tensors that are not as they should be.

use modelyard_serving::{ErrorCode, InferError};
use modelyard_tensor::{Shape, TensorSpec};

/// Most characters of a client's own words in an error.
const SHOWN: usize = 64;

/// A name from the wire, cut.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}

/// Inputs or outputs as text, such as `'x' (FP32 [batch,784])`.
pub(crate) fn names(specs: &[TensorSpec]) -> String {
    const SHOWN: usize = 8;
    let text =
        |spec: &TensorSpec| format!("'{}' ({} {})", spec.name, spec.data_type, spec.shape_text());
    let shown: Vec<String> = specs.iter().take(SHOWN).map(text).collect();
    let more = specs.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// An input or output that the model does not have.
#[cold]
pub(crate) fn unknown(kind: &str, name: &str, model: &str, expected: &[TensorSpec]) -> InferError {
    InferError::invalid(format!(
        "unknown {kind} '{}' for model '{model}', expected {}",
        shown(name),
        names(expected)
    ))
}

/// A tensor may have so many elements. A shape that no memory could hold is a mistake; one that
/// is merely larger than allowed is too large.
pub(crate) fn check_elements(name: &str, shape: &Shape, most: usize) -> Result<(), InferError> {
    match shape.elements() {
        Some(elements) if elements <= most => Ok(()),
        Some(elements) => Err(InferError::new(
            ErrorCode::TooLarge,
            format!(
                "shape {shape} of input '{}' has {elements} elements, but limits.tensor_elements \
                 is {most}",
                shown(name)
            ),
        )),
        None => Err(InferError::invalid(format!(
            "shape {shape} of input '{}' has more elements than can be counted",
            shown(name)
        ))),
    }
}

/// A tensor that is said to lie in shared memory.
#[cold]
pub(crate) fn shared_memory(kind: &str, name: &str, parameter: &str) -> InferError {
    let instead = match kind {
        "output" => "take the data from the answer",
        _ => "send the data in the request",
    };
    InferError::new(
        ErrorCode::Unimplemented,
        format!(
            "{kind} '{}' has parameter '{}', but shared memory is not offered: {instead}",
            shown(name),
            shown(parameter)
        ),
    )
}

/// Whether a tensor's parameter is about shared memory.
pub(crate) fn is_shared_memory(parameter: &str) -> bool {
    parameter.starts_with("shared_memory_")
}

/// `1 byte`, `2 bytes`.
pub(crate) fn bytes(count: usize) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_that_cannot_be_counted_is_a_mistake_and_a_large_one_is_too_large() {
        let code = |dims: &[usize]| check_elements("x", &Shape::new(dims), 10).unwrap_err().code;
        assert_eq!(code(&[usize::MAX, 2]), ErrorCode::InvalidArgument);
        assert_eq!(code(&[11]), ErrorCode::TooLarge);
        assert!(check_elements("x", &Shape::new(&[2, 5]), 10).is_ok());
    }
}
