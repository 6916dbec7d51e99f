//! Split: parts of an array along an axis.
//!
//! Their sizes are an attribute before opset 13 and an input from then on. Without them the parts
//! are equal; when opset 18's `num_outputs` does not divide the axis, the last is smaller.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::concat::part;
use crate::ops::movement::ints_of;
use crate::site::Site;

#[derive(Debug)]
struct Split {
    axis: i64,
    sizes: Option<Vec<i64>>,
    parts: usize,
    /// Whether the last part may be smaller than the others.
    uneven: bool,
}

impl Split {
    fn sizes(&self, from: &Shape, axis: usize, inputs: Inputs<'_>) -> Result<Vec<usize>, OpError> {
        let size = from[axis];
        let refuse = |sizes: &dyn std::fmt::Debug| {
            OpError::new(format!(
                "cannot split axis {axis} of {from} into {} parts of sizes {sizes:?}",
                self.parts
            ))
        };
        let Some(sizes) = ints_of(&self.sizes, inputs, 1)? else {
            let part = size.div_ceil(self.parts.max(1));
            let sizes: Vec<usize> = (0..self.parts)
                .map(|number| part.min(size.saturating_sub(number * part)))
                .collect();
            let even = sizes.iter().all(|&found| found == part);
            return if even || self.uneven { Ok(sizes) } else { Err(refuse(&"that are equal")) };
        };
        let found: Option<Vec<usize>> =
            sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
        found
            .filter(|found| {
                let total = found.iter().try_fold(0usize, |sum, &part| sum.checked_add(part));
                found.len() == self.parts && total == Some(size)
            })
            .ok_or_else(|| refuse(&sizes))
    }
}

impl Operator for Split {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let axis = crate::ops::axis(self.axis, input.shape().len())?;
        let mut outputs = Vec::new();
        let mut start = 0;
        for size in self.sizes(input.shape(), axis, inputs)? {
            outputs.push(part(input.shape(), axis, start, size).of(scope.buffers, input)?);
            start += size;
        }
        Ok(Outcome { outputs, ..Outcome::default() })
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(1)
    }

    fn backward(&self, scope: &mut Scope<'_>, at: Backward<'_>) -> Result<Gradients, OpError> {
        let whole = at.shape(0)?.clone();
        let axis = crate::ops::axis(self.axis, whole.len())?;
        let sizes = self.sizes(&whole, axis, at.inputs)?;
        // Outputs that no gradient comes from keep their zeros.
        let mut by_input = scope.buffers.zeros(whole.iter().product());
        let mut start = 0;
        for (gradient, size) in at.gradients.into_iter().zip(sizes) {
            if let Some(gradient) = gradient {
                part(&whole, axis, start, size).write(&mut by_input, gradient.as_floats()?);
                scope.buffers.recycle(gradient);
            }
            start += size;
        }
        Ok(vec![Some(Array::floats(whole, by_input))])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let parts = site.node.outputs.len();
    let stated = site.node.int("num_outputs");
    if let Some(stated) = stated
        && usize::try_from(stated) != Ok(parts)
    {
        return Err(OpError::new(format!("attribute num_outputs is {stated}, found {parts}")));
    }
    Ok(Box::new(Split {
        axis: site.int("axis", 0),
        sizes: site.ints("split"),
        parts,
        uneven: stated.is_some(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, count, numbers};
    use proptest::prelude::*;

    fn sizes(values: &[i64]) -> Array {
        Array::ints([values.len()], values.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            axis in -3i64..3,
            parts in prop::collection::vec(0i64..4, 1..4),
        ) {
            let mut dims = [2, 1, 3];
            dims[axis.rem_euclid(3) as usize] = parts.iter().sum::<i64>() as usize;
            let case = Case::new("Split").with("axis", axis).outputs(parts.len());
            let case = case.trained(&dims, numbers(seed, count(&dims)));
            case.fixed(sizes(&parts)).check();
        }
    }

    #[test]
    fn parts_of_stated_and_of_equal_sizes() {
        let case = |outputs| {
            let x = Array::ints([2, 3], vec![1, 2, 3, 4, 5, 6]);
            Case::new("Split").with("axis", 1).outputs(outputs).fixed(x)
        };
        let parts = |case: Case| {
            let parts = case.run();
            parts.iter().map(|part| part.as_ints().unwrap().to_vec()).collect::<Vec<_>>()
        };
        let uneven = [vec![1, 2, 4, 5], vec![3, 6]];
        assert_eq!(parts(case(2).fixed(sizes(&[2, 1]))), uneven);
        assert_eq!(parts(case(2).opset(11).with("split", [2, 1])), uneven);
        assert_eq!(parts(case(2).with("num_outputs", 2)), uneven);
        assert_eq!(parts(case(3)), [[1, 4], [2, 5], [3, 6]]);
        case(2).opset(13).is_refused("cannot split axis 1 of [2,3] into 2 parts");
        case(2).fixed(sizes(&[2, 2])).is_refused("into 2 parts of sizes [2, 2]");
        case(2).fixed(sizes(&[4, -1])).is_refused("into 2 parts of sizes [4, -1]");
    }
}
