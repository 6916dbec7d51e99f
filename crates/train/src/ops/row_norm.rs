//! The frame of normalizations of rows (see [`crate::math::normalize`]): inputs X, scale and
//! maybe bias; output Y and maybe the statistics of rows.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::normalize::{ByFactors, Kept, Kind, Rows, Statistics};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// All axes from this one on; a factor an element.
    From(i64),
    /// Each channel of each sample; a factor a channel.
    Channels,
    /// As many channels of each sample as make this number of groups; a factor a channel.
    Groups(usize),
    /// The same with a factor a group.
    GroupFactors(usize),
}

impl Layout {
    /// How an array of this shape is cut.
    pub(super) fn rows(self, shape: &Shape) -> Result<Rows, OpError> {
        if let Layout::From(axis) = self {
            let axis = super::axis(axis, shape.len())?;
            let (rows, channels) = (shape[..axis].iter().product(), shape[axis..].iter().product());
            return Ok(Rows { rows, groups: 1, channels, spatial: 1 });
        }
        let &[samples, channels, ref spatial @ ..] = shape.dims() else {
            return Err(OpError::new(format!("expected shape [N,C,...], found {shape}")));
        };
        let spatial: usize = spatial.iter().product();
        let groups = match self {
            Layout::Groups(groups) | Layout::GroupFactors(groups) => groups,
            Layout::Channels | Layout::From(_) => channels,
        };
        if groups == 0 || channels % groups != 0 {
            return Err(OpError::new(format!(
                "{channels} channels do not make {groups} groups of one size"
            )));
        }
        let (rows, channels) = (samples * groups, channels / groups);
        Ok(match self {
            Layout::GroupFactors(_) => {
                Rows { rows, groups, channels: 1, spatial: channels * spatial }
            }
            _ => Rows { rows, groups, channels, spatial },
        })
    }

    /// The shape of statistics: one number a row.
    pub(super) fn statistics_shape(self, shape: &Shape) -> Result<Shape, OpError> {
        let axis = match self {
            Layout::From(axis) => super::axis(axis, shape.len())?,
            _ => 2,
        };
        Ok(shape.iter().enumerate().map(|(at, &size)| if at < axis { size } else { 1 }).collect())
    }
}

/// Which statistics are outputs after Y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    None,
    MeanAndInverse,
    Inverse,
}

/// A normalization of rows.
#[derive(Debug)]
pub(super) struct RowNorm {
    pub(super) layout: Layout,
    pub(super) kind: Kind,
    pub(super) given: Given,
}

/// The factors at an input, of which there must be one an element of the row or group.
pub(super) fn factors<'a>(
    array: &'a Array,
    name: &str,
    count: usize,
) -> Result<&'a [f32], OpError> {
    if array.len() != count {
        return Err(OpError::new(format!(
            "{name} has shape {}, expected {count} elements",
            array.shape()
        )));
    }
    array.as_floats()
}

impl Operator for RowNorm {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let x = inputs.at(0)?;
        let rows = self.layout.rows(x.shape())?;
        let scale = factors(inputs.at(1)?, "scale", rows.factors())?;
        let zeros;
        let bias = match inputs.get(2) {
            Some(bias) => factors(bias, "bias", rows.factors())?,
            None => {
                zeros = vec![0.0; rows.factors()];
                &zeros
            }
        };
        let mut out = scope.buffers.take(x.len());
        let values = (x.as_floats()?, scale, bias);
        let found = rows.forward(scope.workers, self.kind, values, &mut out);
        let shape = self.layout.statistics_shape(x.shape())?;
        let mean = Array::floats([rows.rows], found.mean);
        let inverse = Array::floats([rows.rows], found.inverse);
        let mut outputs = vec![Array::floats(x.shape().clone(), out)];
        if self.given == Given::MeanAndInverse {
            outputs.push(mean.clone().reshaped(shape.clone()));
        }
        if self.given != Given::None {
            outputs.push(inverse.clone().reshaped(shape));
        }
        Ok(Outcome { outputs, saved: vec![mean, inverse], updates: Vec::new() })
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(0).and_input(1)
    }

    fn backward(&self, scope: &mut Scope<'_>, at: Backward<'_>) -> Result<Gradients, OpError> {
        let x = at.inputs.at(0)?;
        let rows = self.layout.rows(x.shape())?;
        let [mean, inverse] = &at.saved[..] else {
            return Err(OpError::new("expected the statistics that the way forward saved"));
        };
        let mut of_outputs = at.gradients.iter().map(Option::as_ref);
        let gradient = of_outputs.next().flatten().cloned();
        let by_mean = match self.given {
            Given::MeanAndInverse => of_outputs.next().flatten(),
            _ => None,
        };
        let by_inverse = of_outputs.next().flatten();
        let kept = Kept {
            centered: self.kind.centered,
            x: x.as_floats()?,
            scale: factors(at.inputs.at(1)?, "scale", rows.factors())?,
            statistics: Statistics { mean: mean.as_floats()?, inverse: inverse.as_floats()? },
            by_statistics: Statistics {
                mean: by_mean.map(Array::as_floats).transpose()?,
                inverse: by_inverse.map(Array::as_floats).transpose()?,
            },
        };
        let mut gradient = match gradient {
            Some(gradient) => gradient.into_floats()?,
            None => scope.buffers.zeros(x.len()),
        };
        let wants_factors = at.wants(1) || at.wants(2);
        let shared = (scope.workers, &mut *scope.buffers);
        let by_factors = rows.backward(shared, &kept, &mut gradient, wants_factors);
        let mut gradients = vec![Some(Array::floats(x.shape().clone(), gradient))];
        if let Some(ByFactors { scale, bias }) = by_factors {
            gradients.push(Some(Array::floats(at.shape(1)?.clone(), scale)));
            if at.wants(2) {
                gradients.push(Some(Array::floats(at.shape(2)?.clone(), bias)));
            }
        }
        Ok(gradients)
    }
}
