//! Attention: ONNX's own operator and those that ONNX Runtime's fusions write.
//!
//! | module | does |
//! |---|---|
//! | `place` | where the heads of an array are |
//! | `mask` | what is added to scores |
//! | `attend` | scaled dot products, softmax and weighted sums, forward and back |
//! | `onnx` | `Attention` of opset 23 |
//! | `multi_head` | `com.microsoft.MultiHeadAttention` |
//! | `packed` | `com.microsoft.Attention`, with the projection of its input |

mod attend;
mod mask;
mod multi_head;
mod onnx;
mod packed;
mod place;
#[cfg(test)]
mod reference;

use crate::error::OpError;
use crate::site::Site;

pub(super) use multi_head::build as build_multi_head;
pub(super) use onnx::build as build_onnx;
pub(super) use packed::build as build_packed;

/// Refuses inputs and outputs that are not covered, by name.
fn refuse_others(
    site: &Site<'_>,
    inputs: &[(usize, &str)],
    outputs: &[(usize, &str)],
) -> Result<(), OpError> {
    if let Some((_, name)) = inputs.iter().find(|(at, _)| site.node.input(*at).is_some()) {
        return Err(OpError::new(format!("input {name} is not covered")));
    }
    if let Some((_, name)) = outputs.iter().find(|(at, _)| site.node.output(*at).is_some()) {
        return Err(OpError::new(format!("output {name} is not covered")));
    }
    Ok(())
}

/// A number of heads, which must be positive.
fn head_count(site: &Site<'_>, name: &str) -> Result<Option<usize>, OpError> {
    match site.node.int(name) {
        None => Ok(None),
        Some(count) => match usize::try_from(count) {
            Ok(count) if count > 0 => Ok(Some(count)),
            _ => Err(OpError::new(format!("attribute {name} is {count}, expected 1 or more"))),
        },
    }
}

/// The attribute `scale`, where it is given; ONNX Runtime writes 0 for the default.
fn scale(site: &Site<'_>) -> Option<f32> {
    site.node.float("scale").filter(|&scale| scale != 0.0)
}
