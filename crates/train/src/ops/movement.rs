//! The frame of operators that only move elements: each element of the output is one of the first
//! input's. The same for floats, integers and booleans.

use std::fmt::Debug;

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::picks::Picks;
use crate::math::view::{self, Axis, View};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};

/// Says where the elements come from.
pub(crate) trait Movement: Debug + Send + Sync {
    /// Where each element of the output lies in a first input of shape `from`. `inputs`: all of
    /// them, of which the first may not be there.
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError>;
}

/// Where elements lie.
pub(crate) enum Source {
    /// In steps along axes.
    View(View),
    /// Anywhere.
    Picks(Picks),
}

impl From<View> for Source {
    fn from(view: View) -> Self {
        Source::View(view)
    }
}

impl From<Picks> for Source {
    fn from(picks: Picks) -> Self {
        Source::Picks(picks)
    }
}

/// The same elements in the same order under another shape: copies nothing.
pub(crate) fn reshaped(shape: Shape) -> Source {
    let size = shape.iter().product();
    View::new(shape, 0, [Axis { size, stride: 1 }]).into()
}

/// The axes of an array of shape `dims`, in order.
pub(crate) fn axes(dims: &[usize]) -> Vec<Axis> {
    let strides = view::strides(dims);
    dims.iter().zip(strides).map(|(&size, stride)| Axis { size, stride }).collect()
}

/// Integers that are an input, or an attribute in older operator sets.
pub(crate) fn ints_of<'a>(
    attribute: &'a Option<Vec<i64>>,
    inputs: Inputs<'a>,
    number: usize,
) -> Result<Option<&'a [i64]>, OpError> {
    match attribute {
        Some(values) => Ok(Some(values)),
        None => inputs.get(number).map(Array::as_ints).transpose(),
    }
}

/// The operator of a [`Movement`].
#[derive(Debug)]
pub(crate) struct Moved<M>(pub(crate) M);

impl<M: Movement> Operator for Moved<M> {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let out = match self.0.source(input.shape(), inputs)? {
            Source::View(view) => {
                scope.elements(view.shape())?;
                view.of(scope.buffers, input)?
            }
            Source::Picks(picks) => {
                scope.elements(&picks.shape)?;
                picks.of(scope.buffers, input)?
            }
        };
        Ok(out.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        // Axes, indices, sizes: no operator has more of them.
        (1..=4).fold(Reads::NOTHING, Reads::and_input)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let to = at.shape(0)?;
        let by_input = match self.0.source(to, at.inputs)? {
            Source::View(view) => view.back(scope.buffers, gradient, to)?,
            Source::Picks(picks) => picks.back(scope.buffers, gradient, to)?,
        };
        Ok(vec![Some(by_input)])
    }
}
