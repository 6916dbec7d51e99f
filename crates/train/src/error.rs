//! What can go wrong.

/// Why one operator could not do its work: what it expected and what it found. The node is added
/// by whoever runs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpError(String);

impl OpError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> OpError {
        OpError(text.into())
    }
}

/// Why a graph cannot be trained: every node that stands in the way, not the first alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Nodes that training does not cover.
    #[error("cannot train this model: {}", .0.join("; "))]
    Uncovered(Vec<String>),
    /// A parameter that is not an initializer of floats.
    #[error("cannot train '{name}': {reason}")]
    Parameter {
        /// The name asked for.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that is no value of the graph.
    #[error("the graph has no value '{name}'; did you mean one of: {near}")]
    NoValue {
        /// The name asked for.
        name: String,
        /// Values of the graph.
        near: String,
    },
}

/// Why a step of training failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A node could not be evaluated or differentiated.
    #[error("failed to {action} {node}")]
    Node {
        /// `evaluate` or `differentiate`.
        action: &'static str,
        /// The node as errors name it.
        node: String,
        /// Why.
        source: OpError,
    },
    /// An input is missing or not of the shape that the model states.
    #[error("{0}")]
    Input(String),
    /// The values that must be kept outgrow the bound.
    #[error(
        "training holds {needed_bytes} bytes of values at {node}, more than the limit of \
         {limit_bytes}; make the batch smaller or the limit larger"
    )]
    Memory {
        /// Bytes held when it stopped.
        needed_bytes: usize,
        /// The bound.
        limit_bytes: usize,
        /// Where it stopped.
        node: String,
    },
}
