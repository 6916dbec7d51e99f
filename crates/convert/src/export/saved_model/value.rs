//! The values of the model while it is written, and why one is not.

use std::sync::Arc;

use modelyard_graph::{Constant, ElementType};
use modelyard_tensor::Dim;

/// An output of an operator that was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    /// How others take it as an input: `name`, or `name:1`.
    pub(super) port: String,
    pub(super) element_type: ElementType,
}

/// A value of the ONNX graph.
#[derive(Clone, Debug)]
pub(super) struct Value {
    /// Its name in the ONNX graph.
    pub(super) name: String,
    pub(super) element_type: ElementType,
    /// `None` where not even the rank is known.
    pub(super) dims: Option<Vec<Dim>>,
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// It was written.
    Written(Tensor),
    /// A constant, written when somebody takes it.
    Constant(Arc<Constant>),
    /// Who makes it was refused; what follows is looked at all the same.
    Missing,
}

/// Why something is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What of it is not covered.
    pub(super) reason: String,
    /// The nearest way out.
    pub(super) way_out: String,
}

impl Refusal {
    pub(super) fn new(reason: impl Into<String>, way_out: impl Into<String>) -> Refusal {
        Refusal { reason: reason.into(), way_out: way_out.into() }
    }
}

impl Value {
    pub(super) fn rank(&self) -> Result<usize, Refusal> {
        Ok(self.known_dims()?.len())
    }

    /// Its dimensions, as far as each is known; a refusal where not even their number is.
    pub(super) fn known_dims(&self) -> Result<&[Dim], Refusal> {
        self.dims.as_deref().ok_or_else(|| {
            let way_out = "state the shapes of the model's inputs (modelyard convert --shape)";
            Refusal::new(format!("the value '{}' of unknown rank", self.name), way_out)
        })
    }

    /// Its sizes, if all are known.
    pub(super) fn sizes(&self) -> Option<Vec<usize>> {
        self.dims.as_ref()?.iter().map(fixed).collect()
    }

    /// The size of one axis, if it is known.
    pub(super) fn size(&self, axis: usize) -> Option<usize> {
        self.dims.as_ref()?.get(axis).and_then(fixed)
    }

    /// The size of one axis, or a refusal that names it.
    pub(super) fn known_size(&self, axis: usize, what: &str) -> Result<usize, Refusal> {
        self.size(axis).ok_or_else(|| {
            let way_out = "give the model's inputs a fixed size (modelyard convert --shape)";
            Refusal::new(format!("{what} of a size that is not known before it runs"), way_out)
        })
    }

    /// The constant that it is.
    pub(super) fn constant(&self) -> Option<&Arc<Constant>> {
        match &self.source {
            Source::Constant(constant) => Some(constant),
            _ => None,
        }
    }

    /// Its elements, if it is a constant of a few integers.
    pub(super) fn integers(&self) -> Option<Vec<i64>> {
        self.constant()?.integers(MOST_INTEGERS)
    }

    /// An axis of it, counted from the front.
    pub(super) fn axis(&self, axis: i64) -> Result<usize, Refusal> {
        let rank = self.rank()?;
        counted(axis, rank).ok_or_else(|| {
            Refusal::new(format!("axis {axis} of {rank} axes"), "the model may be damaged")
        })
    }
}

/// Shapes, axes, permutations: no list of those is longer.
const MOST_INTEGERS: usize = 1 << 16;

/// An axis counted from the front.
pub(super) fn counted(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let counted = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&counted).then(|| usize::try_from(counted).ok())?
}

fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbol(_) | Dim::Free => None,
    }
}
