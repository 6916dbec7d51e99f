//! What a conversion is proved with: inputs to try, answers to compare.
//!
//! Running the converted model is the caller's part: this crate knows no engine.

mod compare;
mod index_limits;
mod inputs;
mod quantization_step;
mod sensitivity;
mod widened;

pub use compare::{Agreement, compare};
pub use inputs::{Trial, inputs};
pub use quantization_step::quantization_step;
pub use sensitivity::sensitivity;
pub use widened::widened;
