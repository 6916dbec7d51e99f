//! Where channels are: TensorFlow has them last unless it says otherwise, ONNX second.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::reference::{Array, normalize};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::Context;
use crate::tensorflow::value::{Refusal, Val, Value};

/// Where the channels of a node's images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Last,
    Second,
}

impl Layout {
    pub(super) fn of(attrs: &Attrs) -> Layout {
        // NHWC, NDHWC, NCHW, NCDHW; nothing else runs on a CPU.
        if attrs.text("data_format", "NHWC").starts_with("NC") {
            Layout::Second
        } else {
            Layout::Last
        }
    }

    /// The spatial part of a list that has one number an axis.
    pub(super) fn spatial<T: Clone>(self, list: &[T]) -> Vec<T> {
        match (self, list) {
            (Layout::Last, [_, inner @ .., _]) | (Layout::Second, [_, _, inner @ ..]) => {
                inner.to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// The part of such a list for batch and channels.
    pub(super) fn others<T: Clone>(self, list: &[T]) -> Vec<T> {
        match (self, list) {
            (Layout::Last, [batch, .., channels]) | (Layout::Second, [batch, channels, ..]) => {
                vec![batch.clone(), channels.clone()]
            }
            _ => list.to_vec(),
        }
    }

    /// A value with its channels second: its name and its dimensions.
    pub(super) fn channels_first(
        self,
        context: &mut Context<'_>,
        value: &Value,
    ) -> Result<(String, Vec<Dim>), Refusal> {
        let dims = value.known_dims()?.to_vec();
        let name = context.name(value)?;
        let rank = dims.len();
        if self == Layout::Second || rank < 3 {
            return Ok((name, dims));
        }
        let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        let moved = order.iter().map(|&axis| dims[axis].clone()).collect();
        Ok((context.transpose(&name, &order), moved))
    }

    /// A value of ONNX's layout as the node's users want it.
    pub(super) fn back(
        self,
        context: &mut Context<'_>,
        name: String,
        element_type: ElementType,
        dims: Vec<Dim>,
    ) -> Val {
        let rank = dims.len();
        if self == Layout::Second || rank < 3 {
            return context.value(name, element_type, Some(dims));
        }
        let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
        let moved = order.iter().map(|&axis| dims[axis].clone()).collect();
        let name = context.transpose(&name, &order);
        context.value(name, element_type, Some(moved))
    }

    /// As [`Layout::channels_first`], of an array.
    pub(super) fn array_first(self, array: &Array) -> Result<Array, EvaluateError> {
        match self {
            Layout::Last => normalize::channels_first(array),
            Layout::Second => Ok(array.clone()),
        }
    }

    /// As [`Layout::back`], of an array.
    pub(super) fn array_back(self, array: Array) -> Result<Array, EvaluateError> {
        match self {
            Layout::Last => normalize::channels_last(&array),
            Layout::Second => Ok(array),
        }
    }
}
