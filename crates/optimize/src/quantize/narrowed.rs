//! Weights stored as 16-bit floats.

use modelyard_graph::Model;
use modelyard_graph::weights::{Narrow, narrow};

use super::Quantized;
use crate::OptimizeError;

/// A model whose weights are stored as 16-bit floats and computed with as 32-bit ones.
pub fn narrowed(model: &Model, to: Narrow) -> Result<Quantized, OptimizeError> {
    let mut model = model.clone();
    if narrow(&mut model, to) == 0 {
        let reason = "no weight of 32-bit floats fits into 16 bits".to_owned();
        return Err(OptimizeError::Nothing(reason));
    }
    Ok(Quantized { model: model.check()?, layers: Vec::new(), kept: Vec::new() })
}
