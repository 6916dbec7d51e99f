//! What can go wrong.

/// Why a model was not optimized as asked.
#[derive(Debug, thiserror::Error)]
pub enum OptimizeError {
    /// Activations that are no numbers.
    #[error(
        "cannot choose ranges: the calibration data gives NaN, infinity or nothing in {}; look for \
         inputs that are wrong, or leave the nodes that give these as floats (--exclude)",
        .0.join(", ")
    )]
    NotFinite(Vec<String>),
    /// Weights that are no numbers.
    #[error("cannot quantize weights that hold NaN or infinity: {}", .0.join(", "))]
    WeightsNotFinite(Vec<String>),
    /// Nothing in the model can be changed as asked.
    #[error("nothing to do: {0}")]
    Nothing(String),
    /// An option does not go with the model.
    #[error("{0}")]
    Invalid(String),
    /// The result is no valid model: a mistake of this crate.
    #[error("the optimized model is not valid, which is a mistake in modelyard")]
    Result(#[from] modelyard_graph::ReadError),
}
