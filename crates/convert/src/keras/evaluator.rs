//! What layers compute with.

use std::cell::Cell;

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::keras::fault::Fault;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::keras::weights::Weights;
use crate::reference::Array;

/// The weights of the model, for layers that compute.
pub(crate) struct Evaluator<'a> {
    weights: &'a Weights,
    calls_left: Cell<usize>,
}

/// A tensor with Keras' mask.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The tensor.
    pub(crate) array: Array,
    /// Which steps of a sequence count, as booleans `[batch, steps]`.
    pub(crate) mask: Option<Array>,
    /// The type of float that the source has here, where it is another one.
    pub(crate) declared: Option<ElementType>,
}

impl Sample {
    /// A tensor without a mask.
    pub(crate) fn new(array: Array) -> Sample {
        Sample { array, mask: None, declared: None }
    }

    /// One tensor without a mask, as the outputs of a layer.
    pub(crate) fn only(array: Array) -> Vec<Sample> {
        vec![Sample::new(array)]
    }
}

impl<'a> Evaluator<'a> {
    /// An evaluator that makes at most so many calls of layers.
    pub(crate) fn new(weights: &'a Weights, calls: usize) -> Evaluator<'a> {
        Evaluator { weights, calls_left: Cell::new(calls) }
    }

    /// Reads a weight.
    pub(crate) fn read(&self, of: &Variables, name: &str) -> Result<Weight, EvaluateError> {
        Ok(self.weights.read(of, name)?)
    }

    /// Reads a weight, for what needs the error of a layer.
    pub(crate) fn read_weight(&self, of: &Variables, name: &str) -> Result<Weight, Fault> {
        self.weights.read(of, name)
    }

    /// Reads a weight as an array.
    pub(crate) fn weight(&self, of: &Variables, name: &str) -> Result<Array, EvaluateError> {
        self.read(of, name)?.array()
    }

    /// Counts a call of a layer; an error when there were too many.
    pub(crate) fn count_call(&self) -> Result<(), EvaluateError> {
        let left = self.calls_left.get().checked_sub(1);
        self.calls_left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| EvaluateError::new("the model calls too many layers"))
    }
}

impl From<Fault> for EvaluateError {
    fn from(fault: Fault) -> EvaluateError {
        match fault {
            Fault::Malformed(message) => EvaluateError::new(message),
            Fault::Unsupported { reason, .. } => {
                EvaluateError::new(format!("{reason} is not covered"))
            }
            Fault::Convert(error) => EvaluateError::new(error.to_string()),
            Fault::Refused => EvaluateError::new("part of the model is not covered"),
        }
    }
}
