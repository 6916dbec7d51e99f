//! GlobalAveragePool and GlobalMaxPool: one element a plane.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

/// The shape of the output, and the elements of a plane.
fn sizes(input: &Shape) -> Result<(Shape, usize), OpError> {
    let [samples, channels, axes @ ..] = &input[..] else {
        return Err(OpError::new(format!("expected samples and channels, found shape {input}")));
    };
    let len = axes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let len = len.filter(|&len| len > 0).ok_or_else(|| {
        OpError::new(format!("a plane of shape {input} has no elements or too many"))
    })?;
    Ok(([*samples, *channels].into_iter().chain(axes.iter().map(|_| 1)).collect(), len))
}

#[derive(Debug)]
struct Average;

impl Operator for Average {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let (shape, len) = sizes(input.shape())?;
        let mut out = scope.buffers.take(input.len() / len);
        let planes = input.as_floats()?.chunks_exact(len);
        out.iter_mut().zip(planes).for_each(|(out, plane)| *out = vector::sum(plane) / len as f32);
        Ok(Array::floats(shape, out).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let input = at.shape(0)?.clone();
        let (_, len) = sizes(&input)?;
        let mut out = scope.buffers.take(input.iter().product());
        let planes = out.chunks_exact_mut(len).zip(gradient.as_floats()?);
        planes.for_each(|(plane, dy)| plane.fill(dy / len as f32));
        scope.buffers.recycle(gradient);
        Ok(vec![Some(Array::floats(input, out))])
    }
}

#[derive(Debug)]
struct Max;

impl Operator for Max {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let (shape, len) = sizes(input.shape())?;
        let mut out = scope.buffers.take(input.len() / len);
        let planes = input.as_floats()?.chunks_exact(len);
        out.iter_mut().zip(planes).for_each(|(out, plane)| *out = plane[largest(plane)]);
        Ok(Array::floats(shape, out).into())
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let input = at.inputs.at(0)?;
        let (_, len) = sizes(input.shape())?;
        let mut out = scope.buffers.zeros(input.len());
        let planes = out.chunks_exact_mut(len).zip(input.as_floats()?.chunks_exact(len));
        for ((out, plane), &dy) in planes.zip(gradient.as_floats()?) {
            out[largest(plane)] = dy;
        }
        scope.buffers.recycle(gradient);
        Ok(vec![Some(Array::floats(input.shape().clone(), out))])
    }
}

/// The number of the largest element: the first of equal ones, and the first NaN if there is one.
fn largest(plane: &[f32]) -> usize {
    let mut most = 0;
    for (number, &value) in plane.iter().enumerate() {
        if value > plane[most] || (value.is_nan() && !plane[most].is_nan()) {
            most = number;
        }
    }
    most
}

pub(super) fn build_average(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Average))
}

pub(super) fn build_max(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Max))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, distinct};

    #[test]
    fn one_element_a_plane() {
        let x = vec![1.0, 5.0, 3.0, 3.0, -1.0, -2.0, -4.0, -1.0];
        let average = Case::new("GlobalAveragePool").trained(&[1, 2, 2, 2], x.clone());
        assert_eq!(average.run()[0], crate::Array::floats([1, 2, 1, 1], vec![3.0, -2.0]));
        let max = Case::new("GlobalMaxPool").trained(&[1, 2, 2, 2], x);
        assert_eq!(max.run()[0], crate::Array::floats([1, 2, 1, 1], vec![5.0, -1.0]));
    }

    #[test]
    fn gradient() {
        for dims in [&[2, 3, 4][..], &[2, 3, 2, 3], &[1, 2, 2, 3, 2], &[2, 3]] {
            for name in ["GlobalAveragePool", "GlobalMaxPool"] {
                Case::new(name).trained(dims, distinct(3, dims.iter().product())).check();
            }
        }
    }

    #[test]
    fn planes_without_elements_are_refused() {
        for name in ["GlobalAveragePool", "GlobalMaxPool"] {
            let text = Case::new(name).trained(&[1, 2, 0], vec![]).try_run().unwrap_err();
            assert!(
                text.contains("a plane of shape [1,2,0] has no elements or too many"),
                "{text}"
            );
            let text = Case::new(name).trained(&[3], vec![0.0; 3]).try_run().unwrap_err();
            assert!(text.contains("expected samples and channels, found shape [3]"), "{text}");
        }
    }
}
