//! What is known of a value while a graph is converted.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::weight::Weight;
use crate::reference::Array;
use crate::{ConvertError, EvaluateError};

/// A value of the graph, shared by those that take it.
pub(super) type Val = Rc<Value>;

/// A value of the graph.
#[derive(Debug)]
pub(super) struct Value {
    pub(super) element_type: ElementType,
    /// Its dimensions as far as they are known. Complex numbers are pairs of floats in ONNX, whose
    /// dimension is not among these.
    pub(super) dims: Option<Vec<Dim>>,
    pub(super) kind: Kind,
    /// Its elements, where they are the same for every run.
    pub(super) known: Option<Known>,
    /// Its elements as sizes, where it is a list of sizes some of which are known.
    pub(super) sizes: Option<Vec<Dim>>,
    /// Its name in the ONNX graph; constants get theirs when they are first needed.
    pub(super) name: OnceCell<String>,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    Tensor,
    /// A list of tensors of one shape: the name is that of the tensors stacked.
    List,
    /// A list that nothing was written to yet, and how many tensors it has room for.
    EmptyList {
        size: Val,
    },
    /// Inside a loop: a list that each turn writes to once.
    LoopList,
    /// Inside a loop: what a turn wrote to its list.
    Written,
    /// A variable, or a table by the name of its node.
    Handle(String),
    /// Of a node that was refused.
    Missing,
}

/// The elements of a constant.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Not yet read.
    Weight(Weight),
    Array(Arc<Array>),
}

impl Value {
    /// A tensor of this name.
    pub(super) fn tensor(name: String, element_type: ElementType, dims: Option<Vec<Dim>>) -> Val {
        let name = OnceCell::from(name);
        let kind = Kind::Tensor;
        Rc::new(Value { element_type, dims, kind, known: None, sizes: None, name })
    }

    /// A constant that was read or is to be read.
    pub(super) fn weight(weight: Weight) -> Val {
        let dims = weight.dims.iter().map(|&size| Dim::Fixed(size)).collect();
        let element_type = weight.element_type;
        Value::constant(element_type, dims, Known::Weight(weight))
    }

    /// A constant that was computed.
    pub(super) fn array(array: Arc<Array>) -> Val {
        let dims = array.dims().iter().map(|&size| Dim::Fixed(size)).collect();
        Value::constant(array.element_type(), dims, Known::Array(array))
    }

    fn constant(element_type: ElementType, dims: Vec<Dim>, known: Known) -> Val {
        let (dims, known, kind) = (Some(dims), Some(known), Kind::Tensor);
        Rc::new(Value { element_type, dims, kind, known, sizes: None, name: OnceCell::new() })
    }

    /// A value that is no tensor.
    pub(super) fn other(kind: Kind, element_type: ElementType, dims: Option<Vec<Dim>>) -> Val {
        let name = OnceCell::new();
        Rc::new(Value { element_type, dims, kind, known: None, sizes: None, name })
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self.kind, Kind::Missing)
    }

    pub(super) fn is_tensor(&self) -> bool {
        matches!(self.kind, Kind::Tensor)
    }

    pub(super) fn is_complex(&self) -> bool {
        matches!(self.element_type, ElementType::Complex64 | ElementType::Complex128)
    }

    pub(super) fn is_float(&self) -> bool {
        matches!(
            self.element_type,
            ElementType::Float32
                | ElementType::Float64
                | ElementType::Float16
                | ElementType::Bfloat16
        )
    }

    /// Its number of dimensions; refused where nobody knows.
    pub(super) fn rank(&self) -> Result<usize, Refusal> {
        Ok(self.known_dims()?.len())
    }

    /// Its dimensions; refused where not even their number is known.
    pub(super) fn known_dims(&self) -> Result<&[Dim], Refusal> {
        self.dims.as_deref().ok_or_else(|| {
            Refusal::new(
                "an input of unknown rank",
                "give the model's inputs a shape when it is exported",
            )
        })
    }

    /// The size of an axis, where it is fixed.
    pub(super) fn size(&self, axis: usize) -> Option<usize> {
        fixed(self.dims.as_ref()?.get(axis)?)
    }

    /// All sizes, where they are fixed.
    pub(super) fn fixed_dims(&self) -> Option<Vec<usize>> {
        self.dims.as_ref()?.iter().map(fixed).collect()
    }

    /// How many elements a constant has.
    pub(super) fn known_elements(&self) -> Option<usize> {
        Some(match self.known.as_ref()? {
            Known::Weight(weight) => weight.elements(),
            Known::Array(array) => array.len(),
        })
    }
}

/// The size of a dimension that is fixed.
pub(super) fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(size) => Some(*size),
        _ => None,
    }
}

/// Why a node is not converted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// What of it is not covered, and the nearest way out.
    Refused { reason: String, way_out: String },
    /// The model is damaged, or cannot be read.
    Failed(ConvertError),
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>, way_out: impl Into<String>) -> Refusal {
        Refusal::Refused { reason: reason.into(), way_out: way_out.into() }
    }
}

impl From<ConvertError> for Refusal {
    fn from(error: ConvertError) -> Self {
        Refusal::Failed(error)
    }
}

/// Constants that cannot be computed: what the operator says of them.
impl From<EvaluateError> for Refusal {
    fn from(error: EvaluateError) -> Self {
        Refusal::new(format!("what it is given ({error})"), "")
    }
}
