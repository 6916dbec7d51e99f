//! What a model takes and gives.

use std::fmt;

use crate::{DataType, Shape};

/// One dimension of a signature.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Any size; dimensions of one model with the same name agree at run time.
    Symbol(String),
    /// Any size, without a name.
    Free,
}

impl Dim {
    /// The size on the wire: -1 stands for a free or symbolic dimension.
    pub fn wire(&self) -> i64 {
        match self {
            Dim::Fixed(size) => i64::try_from(*size).unwrap_or(i64::MAX),
            Dim::Symbol(_) | Dim::Free => -1,
        }
    }

    /// Whether a tensor may have `size` here.
    pub fn accepts(&self, size: usize) -> bool {
        match self {
            Dim::Fixed(fixed) => *fixed == size,
            Dim::Symbol(_) | Dim::Free => true,
        }
    }

    /// Whether the size is not known beforehand.
    pub fn is_free(&self) -> bool {
        !matches!(self, Dim::Fixed(_))
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(size) => write!(f, "{size}"),
            Dim::Symbol(name) => f.write_str(name),
            Dim::Free => f.write_str("?"),
        }
    }
}

/// Name, datatype and shape of one input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name in the model.
    pub name: String,
    /// What the elements are.
    pub data_type: DataType,
    /// The dimensions with the batch dimension, if any, first. `None` when the model does not
    /// state even the rank.
    pub dims: Option<Vec<Dim>>,
}

impl TensorSpec {
    /// Whether a tensor of this shape fits.
    pub fn accepts(&self, shape: &Shape) -> bool {
        self.dims.as_ref().is_none_or(|dims| {
            dims.len() == shape.len()
                && dims.iter().zip(shape.iter()).all(|(dim, &size)| dim.accepts(size))
        })
    }

    /// The shape on the wire, -1 for free dimensions; an unknown rank shows as `[-1]`.
    pub fn wire_shape(&self) -> Vec<i64> {
        match &self.dims {
            Some(dims) => dims.iter().map(Dim::wire).collect(),
            None => vec![-1],
        }
    }

    /// The shape as text, such as `[batch,784]`.
    pub fn shape_text(&self) -> String {
        match &self.dims {
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
                format!("[{}]", dims.join(","))
            }
            None => "[...]".into(),
        }
    }
}

/// All inputs and outputs of a model, in the order of the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// What the model takes.
    pub inputs: Vec<TensorSpec>,
    /// What the model gives.
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    /// Position of the input with this name.
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|spec| spec.name == name)
    }

    /// Position of the output with this name.
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|spec| spec.name == name)
    }

    /// Whether the outermost dimension of every input and output is free: the sign of a model
    /// that takes batches.
    pub fn has_batch_dimension(&self) -> bool {
        let free = |spec: &TensorSpec| {
            spec.dims.as_ref().and_then(|dims| dims.first()).is_some_and(Dim::is_free)
        };
        !self.inputs.is_empty() && self.inputs.iter().chain(&self.outputs).all(free)
    }
}
