//! What is in the way when a model is to be written otherwise.

use std::fmt;

/// One node that cannot be written as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The operator.
    pub operator: String,
    /// The node: its name, or its first output where it has none.
    pub place: String,
    /// What of it is in the way, such as `reduction 'max'`.
    pub reason: String,
    /// The nearest way out.
    pub way_out: String,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at '{}': {}", self.operator, self.place, self.reason)?;
        if self.way_out.is_empty() { Ok(()) } else { write!(f, "; {}", self.way_out) }
    }
}

/// Why a model cannot be written as wanted: everything that is in the way, in the order of the
/// model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to {action}:{}", Listed(.obstacles))]
pub struct Unadaptable {
    /// What was attempted, such as `convert the model to opset 13`.
    pub action: String,
    /// What is in the way; at least one.
    pub obstacles: Vec<Obstacle>,
}

/// The obstacles, a line each.
struct Listed<'a>(&'a [Obstacle]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 50;
        for obstacle in self.0.iter().take(SHOWN) {
            write!(f, "\n  {obstacle}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
