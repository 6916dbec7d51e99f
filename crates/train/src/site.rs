//! Where an operator is built: its node and what is constant around it.

use modelyard_graph::{ElementType, Node};

use crate::error::OpError;

/// A node whose operator is being built. Attributes have ONNX's defaults only where the operator
/// gives them.
pub(crate) struct Site<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    /// Version of its operator set.
    pub(crate) opset: i64,
    /// The types in which the model states inputs that are its constants, `None` for the others.
    pub(crate) constant_types: &'a [Option<ElementType>],
}

impl Site<'_> {
    /// An integer attribute.
    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.node.int(name).unwrap_or(default)
    }

    /// A switch: an integer attribute that is 0 or 1.
    pub(crate) fn flag(&self, name: &str, default: bool) -> bool {
        self.node.int(name).map_or(default, |value| value != 0)
    }

    /// A float attribute.
    pub(crate) fn float(&self, name: &str, default: f32) -> f32 {
        self.node.float(name).unwrap_or(default)
    }

    /// A list of integers.
    pub(crate) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.node.ints(name).map(<[i64]>::to_vec)
    }

    /// A string attribute.
    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.node.string(name).unwrap_or(default).to_owned()
    }

    /// The type of a constant input, as the model states it: arrays know fewer.
    pub(crate) fn constant_type(&self, number: usize) -> Option<ElementType> {
        self.constant_types.get(number).copied().flatten()
    }

    /// Refuses an attribute that has another value than the one that is covered.
    pub(crate) fn expect_text(&self, name: &str, covered: &[&str]) -> Result<(), OpError> {
        match self.node.string(name) {
            Some(found) if !covered.contains(&found) => Err(OpError::new(format!(
                "attribute {name} is '{found}', training covers {}",
                covered.join(", ")
            ))),
            _ => Ok(()),
        }
    }
}
