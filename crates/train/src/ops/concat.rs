//! Concat: arrays one after another along an axis.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::math::picks::around;
use crate::math::view::{Axis, View};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Concat {
    axis: i64,
}

/// Where a part of `size` along an axis lies in `whole`, from `start` on.
pub(super) fn part(whole: &Shape, axis: usize, start: usize, size: usize) -> View {
    let (outer, along, inner) = around(whole, axis);
    let mut dims = whole.to_vec();
    dims[axis] = size;
    let axes = [
        Axis { size: outer, stride: (along * inner) as isize },
        Axis { size: size * inner, stride: 1 },
    ];
    View::new(Shape::new(&dims), start * inner, axes)
}

impl Concat {
    /// The axis and the shape of all together.
    fn whole(&self, shapes: &[&Shape]) -> Result<(usize, Shape), OpError> {
        let first = shapes.first().ok_or_else(|| OpError::new("expected at least one input"))?;
        let axis = crate::ops::axis(self.axis, first.len())?;
        let mut whole = first.to_vec();
        for shape in &shapes[1..] {
            let fits = shape.len() == first.len()
                && (0..shape.len()).all(|other| other == axis || shape[other] == first[other]);
            if !fits {
                return Err(OpError::new(format!(
                    "shapes {first} and {shape} differ beside axis {axis}"
                )));
            }
            whole[axis] += shape[axis];
        }
        Ok((axis, Shape::new(&whole)))
    }

    fn of<T: Element>(&self, scope: &mut Scope<'_>, inputs: &[&Array]) -> Result<Array, OpError> {
        let shapes: Vec<&Shape> = inputs.iter().map(|input| input.shape()).collect();
        let (axis, whole) = self.whole(&shapes)?;
        let mut out = T::buffer(scope.buffers, scope.elements(&whole)?);
        let mut start = 0;
        for input in inputs {
            let size = input.shape()[axis];
            part(&whole, axis, start, size).write(&mut out, T::of(input)?);
            start += size;
        }
        Ok(T::array(whole, out))
    }
}

impl Operator for Concat {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let all: Vec<&Array> =
            (0..inputs.len()).map(|number| inputs.at(number)).collect::<Result<_, _>>()?;
        Ok(by_kind!(inputs.at(0)?, T => self.of::<T>(scope, &all))?.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let axis = crate::ops::axis(self.axis, gradient.shape().len())?;
        let mut start = 0;
        let mut gradients = Gradients::new();
        for (shape, &wanted) in at.input_shapes.iter().zip(at.wanted) {
            let part = part(gradient.shape(), axis, start, shape[axis]);
            start += shape[axis];
            gradients.push(wanted.then(|| part.of(scope.buffers, &gradient)).transpose()?);
        }
        scope.buffers.recycle(gradient);
        Ok(gradients)
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    // Opset 1 alone had a default.
    Ok(Box::new(Concat { axis: site.int("axis", 1) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, count, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            axis in -3i64..3,
            sizes in prop::collection::vec(0usize..4, 1..4),
        ) {
            let mut case = Case::new("Concat").with("axis", axis);
            for (number, size) in sizes.into_iter().enumerate() {
                let mut dims = [2, 1, 3];
                dims[axis.rem_euclid(3) as usize] = size;
                case = case.trained(&dims, numbers(seed ^ number as u64, count(&dims)));
            }
            case.check();
        }
    }

    #[test]
    fn arrays_of_one_kind_follow_each_other() {
        let floats = |axis: i64| {
            let case = Case::new("Concat").with("axis", axis);
            case.trained(&[2, 1], vec![1.0, 2.0]).trained(&[2, 2], vec![3.0, 4.0, 5.0, 6.0])
        };
        floats(1).gives(&[2, 3], &[1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
        floats(0).is_refused("shapes [2,1] and [2,2] differ beside axis 0");
        let case = || Case::new("Concat").with("axis", 0).fixed(Array::ints([2], vec![1, 2]));
        case().fixed(Array::ints([1], vec![3])).gives_ints(&[3], &[1, 2, 3]);
        case().trained(&[1], vec![3.0]).is_refused("expected integers, found floats");
    }
}
