//! Reshape: the same elements under another shape. Copies nothing.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Reshape {
    allow_zero: bool,
    /// Before opset 5 the shape was an attribute.
    shape: Option<Vec<i64>>,
}

impl Reshape {
    /// The new shape: 0 keeps the dimension of the same place, one -1 takes what remains.
    fn target(&self, from: &Shape, wanted: &[i64]) -> Result<Shape, OpError> {
        let refuse = || {
            OpError::new(format!(
                "cannot reshape {from} to {wanted:?}: the numbers of elements differ"
            ))
        };
        let mut dims = Vec::with_capacity(wanted.len());
        let mut free = None;
        for (axis, &dim) in wanted.iter().enumerate() {
            dims.push(match dim {
                0 if !self.allow_zero => *from.get(axis).ok_or_else(refuse)?,
                -1 if free.is_none() => {
                    free = Some(axis);
                    1
                }
                _ => usize::try_from(dim).map_err(|_| refuse())?,
            });
        }
        let elements: usize = from.iter().product();
        if let Some(axis) = free {
            let others = Shape::new(&dims).elements().ok_or_else(refuse)?;
            dims[axis] = elements.checked_div(others).unwrap_or(0);
        }
        let shape = Shape::new(&dims);
        if shape.elements() == Some(elements) { Ok(shape) } else { Err(refuse()) }
    }
}

impl Operator for Reshape {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let wanted = match &self.shape {
            Some(shape) => shape,
            None => inputs.at(1)?.as_ints()?,
        };
        let shape = self.target(input.shape(), wanted)?;
        Ok(input.clone().reshaped(shape).into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, _scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        Ok(vec![Some(gradient.reshaped(at.shape(0)?.clone()))])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Reshape { allow_zero: site.flag("allowzero", false), shape: site.ints("shape") }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};

    #[test]
    fn gradient() {
        Case::new("Reshape")
            .trained(&[2, 3, 2], numbers(1, 12))
            .fixed(Array::ints([2], vec![0, -1]))
            .check();
    }

    #[test]
    fn sizes_that_differ_are_refused() {
        let case = Case::new("Reshape")
            .trained(&[2, 3], numbers(1, 6))
            .fixed(Array::ints([2], vec![4, -1]));
        let error = case.try_run().unwrap_err();
        assert!(error.contains("cannot reshape [2,3] to [4, -1]"), "{error}");
    }
}
