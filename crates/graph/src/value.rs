//! The values that flow between nodes: their names and types.

use std::fmt;

use modelyard_tensor::Dim;

use crate::ElementType;

/// A named value with its type: an input, an output, or something between two nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The name, unique in its graph.
    pub name: String,
    /// What it is.
    pub value_type: ValueType,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueType {
    /// A dense tensor. `dims` is `None` when not even the rank is stated.
    Tensor {
        /// What it is made of.
        element_type: ElementType,
        /// The dimensions, outermost first.
        dims: Option<Vec<Dim>>,
    },
    /// A sparse tensor.
    SparseTensor {
        /// What it is made of.
        element_type: ElementType,
        /// The dimensions, outermost first.
        dims: Option<Vec<Dim>>,
    },
    /// Several values of one type.
    Sequence(Box<ValueType>),
    /// A value or none.
    Optional(Box<ValueType>),
    /// A dictionary.
    Map {
        /// The type of the keys.
        key: ElementType,
        /// The type of the values.
        value: Box<ValueType>,
    },
    /// Something that only a custom operator knows.
    Opaque {
        /// Whose type it is.
        domain: String,
        /// The name of the type.
        name: String,
    },
    /// The file does not say.
    Unknown,
}

impl ValueType {
    /// A dense tensor with these dimensions.
    pub fn tensor(element_type: impl Into<ElementType>, dims: &[Dim]) -> ValueType {
        ValueType::Tensor { element_type: element_type.into(), dims: Some(dims.to_vec()) }
    }

    /// Element type and dimensions of a dense tensor.
    pub fn as_tensor(&self) -> Option<(ElementType, Option<&[Dim]>)> {
        match self {
            ValueType::Tensor { element_type, dims } => Some((*element_type, dims.as_deref())),
            _ => None,
        }
    }
}

/// As ONNX writes types in text: `seq(map(int64,tensor(float)))`.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueType::Tensor { element_type, .. } => write!(f, "tensor({element_type})"),
            ValueType::SparseTensor { element_type, .. } => {
                write!(f, "sparse_tensor({element_type})")
            }
            ValueType::Sequence(element) => write!(f, "seq({element})"),
            ValueType::Optional(element) => write!(f, "optional({element})"),
            ValueType::Map { key, value } => write!(f, "map({key},{value})"),
            ValueType::Opaque { domain, name } => write!(f, "opaque({domain},{name})"),
            ValueType::Unknown => f.write_str("unknown"),
        }
    }
}
