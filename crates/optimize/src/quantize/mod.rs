//! Models of small integers.
//!
//! | module | holds |
//! |---|---|
//! | [`Options`] | what is to be quantized, and to what |
//! | `roles` | what quantization has to know of operators |
//! | [`Plan`] | which nodes take integers, which tensors are integers |
//! | [`insert`] | a plan written into a model as QDQ pairs |
//! | [`dynamic`] | ranges of activations are looked up in each call |
//! | [`blockwise`] | weights of 4 bits, activations of floats |
//! | [`narrowed`] | weights stored as 16-bit floats |
//! | [`dequantized`] | what integers in a model stand for |
//! | `draft` | what all ways of quantization write alike |
//! | `weights` | weights and biases as integers |

mod blockwise;
mod dequantized;
mod draft;
mod dynamic;
mod insert;
mod narrowed;
mod options;
mod plan;
pub(crate) mod roles;
mod weights;

#[cfg(test)]
pub(crate) mod tests;

pub use blockwise::{Blocks, blockwise};
pub use dequantized::dequantized;
pub(crate) use draft::drop_unused;
pub use dynamic::{SEVEN_BITS, dynamic};
pub use insert::{Given, Weights, grids, insert, insert_with};
use modelyard_graph::Model;
pub use narrowed::narrowed;
pub use options::{Options, usual_operators};
pub(crate) use plan::refuse_quantized;
pub use plan::{Kept, Plan, is_quantized};

/// A quantized model, and what is to be said about it.
#[derive(Debug)]
pub struct Quantized {
    /// The model.
    pub model: Model,
    /// Nodes whose weights are integers now.
    pub layers: Vec<Layer>,
    /// Nodes that stayed as they were.
    pub kept: Vec<Kept>,
}

/// A node whose weight is integers now.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Layer {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// Name of the weight.
    pub weight: String,
    /// Numbers in it.
    pub numbers: usize,
    /// Signal to quantization noise of the weight, in decibels.
    pub sqnr_db: f64,
    /// The same of what the node gives, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_sqnr_db: Option<f64>,
}
