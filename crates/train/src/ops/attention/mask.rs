//! What is added to attention scores before the softmax.

use std::borrow::Cow;

use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::math::{broadcast, vector};

/// An array that broadcasts to scores [N, heads, queries, keys].
pub(super) struct Mask<'a> {
    values: Cow<'a, [f32]>,
    strides: Vec<usize>,
}

impl<'a> Mask<'a> {
    fn new(values: Cow<'a, [f32]>, shape: &Shape, scores: [usize; 4]) -> Result<Mask<'a>, OpError> {
        if *broadcast::shape(shape, &scores)? != scores {
            return Err(OpError::new(format!(
                "a mask of shape {shape} does not fit scores of shape {}",
                Shape::from(scores)
            )));
        }
        Ok(Mask { values, strides: broadcast::strides(shape, 4) })
    }

    /// Floats are added; booleans say which keys take part.
    pub(super) fn of(array: &'a Array, scores: [usize; 4]) -> Result<Mask<'a>, OpError> {
        let values = match array.data() {
            Data::Bools(bools) => {
                let value = |&takes_part: &bool| if takes_part { 0.0 } else { f32::NEG_INFINITY };
                bools.iter().map(value).collect()
            }
            _ => Cow::Borrowed(array.as_floats()?),
        };
        Mask::new(values, array.shape(), scores)
    }

    /// ONNX Runtime's integers: [N, keys] or [N, queries, keys] say with 0 which keys do not take
    /// part, [N] how many do. `filter` is added to the scores of those that do not.
    pub(super) fn of_keys(
        array: &Array,
        scores: [usize; 4],
        filter: f32,
    ) -> Result<Mask<'static>, OpError> {
        let [batch, _, queries, keys] = scores;
        let ints = match array.data() {
            Data::Bools(bools) => Cow::Owned(bools.iter().map(|&value| i64::from(value)).collect()),
            _ => Cow::Borrowed(array.as_ints()?),
        };
        let value = |takes_part: bool| if takes_part { 0.0 } else { filter };
        let ones = |dims: &[usize]| Shape::new(dims);
        let (values, shape): (Vec<f32>, Shape) = match array.shape().dims() {
            &[count] if count == batch => (
                ints.iter()
                    .flat_map(|&length| (0i64..).take(keys).map(move |key| value(key < length)))
                    .collect(),
                ones(&[batch, 1, 1, keys]),
            ),
            dims if *dims == [batch, keys] => {
                (ints.iter().map(|&int| value(int != 0)).collect(), ones(&[batch, 1, 1, keys]))
            }
            dims if *dims == [batch, queries, keys] => (
                ints.iter().map(|&int| value(int != 0)).collect(),
                ones(&[batch, 1, queries, keys]),
            ),
            _ => {
                return Err(OpError::new(format!(
                    "a mask of shape {} is not covered, [{batch}], [{batch},{keys}] and \
                     [{batch},{queries},{keys}] are",
                    array.shape()
                )));
            }
        };
        Mask::new(Cow::Owned(values), &shape, scores)
    }

    /// Adds the mask to the scores of one query.
    pub(super) fn add(&self, scores: &mut [f32], [sample, head, query]: [usize; 3]) {
        let start = sample * self.strides[0] + head * self.strides[1] + query * self.strides[2];
        match self.strides[3] {
            0 => {
                let value = self.values[start];
                scores.iter_mut().for_each(|score| *score += value);
            }
            _ => vector::add(scores, &self.values[start..start + scores.len()]),
        }
    }
}
