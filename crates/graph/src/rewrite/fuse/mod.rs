//! Passes that put one operator in the place of several: what exporters take apart and engines have
//! as one. They run only where [`Options::fuse`](super::Options::fuse) asks for them; answers then
//! differ by rounding. What is used elsewhere, or is an output, stays.
//!
//! | module | holds |
//! |---|---|
//! | `pattern`, `replace`, `numbers` | what to look for, what to put there, numbers in constants |
//! | `casts`, `clips`, `powers`, `scales` | arithmetic that is simpler than it was written |
//! | `layer_norm`, `rms_norm`, `gelu`, `activations`, `attention` | one operator each |
//! | `einsum` | products of matrices as they were before exporters took them apart |
//!
//! Left to the engine, because ONNX Runtime and rten fuse these themselves when they load a model:
//! Conv with an activation or a residual Add (`FusedConv`), Add with LayerNormalization
//! (`SkipLayerNormalization`), products of matrices with a factor or a transpose (`FusedMatMul`),
//! and x * sigmoid(x) below operator set 24.

pub(super) mod activations;
pub(super) mod attention;
pub(super) mod casts;
pub(super) mod clips;
pub(super) mod einsum;
pub(super) mod gelu;
pub(super) mod layer_norm;
mod numbers;
mod pattern;
pub(super) mod powers;
mod replace;
pub(super) mod rms_norm;
pub(super) mod scales;

/// The domain of what ONNX Runtime adds to ONNX.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// Whose operators fused ones may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// ONNX's own, as far as the model's operator set has them.
    Standard,
    /// Also those that ONNX Runtime adds, in the domain `com.microsoft`.
    OnnxRuntime,
}
