//! Squeeze and Unsqueeze: axes of one element go or come. Copy nothing.
//!
//! The axes are an attribute before opset 13 and an input from then on.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::operator::{Inputs, Operator};
use crate::ops::movement::{Moved, Movement, Source, ints_of, reshaped};
use crate::site::Site;

#[derive(Debug)]
struct Squeeze {
    axes: Option<Vec<i64>>,
}

#[derive(Debug)]
struct Unsqueeze {
    axes: Option<Vec<i64>>,
}

/// Which of `rank` axes are named; refuses one that is named twice.
pub(super) fn marked(axes: &[i64], rank: usize) -> Result<Vec<bool>, OpError> {
    let mut marked = vec![false; rank];
    for &axis in axes {
        if std::mem::replace(&mut marked[crate::ops::axis(axis, rank)?], true) {
            return Err(OpError::new(format!("axis {axis} is named twice in {axes:?}")));
        }
    }
    Ok(marked)
}

impl Movement for Squeeze {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let goes = match ints_of(&self.axes, inputs, 1)? {
            Some(axes) => marked(axes, from.len())?,
            None => from.iter().map(|&size| size == 1).collect(),
        };
        let mut shape = Shape::default();
        for (axis, (&size, goes)) in from.iter().zip(goes).enumerate() {
            match (goes, size) {
                (false, _) => shape.push(size),
                (true, 1) => {}
                (true, _) => {
                    return Err(OpError::new(format!(
                        "axis {axis} of {from} has {size} elements, expected 1 to squeeze"
                    )));
                }
            }
        }
        Ok(reshaped(shape))
    }
}

impl Movement for Unsqueeze {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let axes = ints_of(&self.axes, inputs, 1)?;
        let axes = axes.ok_or_else(|| OpError::new("the axes are missing"))?;
        let comes = marked(axes, from.len() + axes.len())?;
        let mut sizes = from.iter().copied();
        let dims = comes.into_iter().map(|comes| if comes { None } else { sizes.next() });
        Ok(reshaped(dims.map(|size| size.unwrap_or(1)).collect()))
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(Squeeze { axes: site.ints("axes") })))
}

pub(super) fn build_unsqueeze(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Moved(Unsqueeze { axes: site.ints("axes") })))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn axes(values: &[i64]) -> Array {
        Array::ints([values.len()], values.to_vec())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn gradient(seed in any::<u64>(), axis in prop_oneof![Just(0i64), Just(2), Just(-3)]) {
            let axis = [axis];
            Case::new("Squeeze").trained(&[1, 2, 1], numbers(seed, 2)).check();
            let case = Case::new("Squeeze").trained(&[1, 2, 1], numbers(seed, 2));
            case.fixed(axes(&[if axis[0] == 2 { 2 } else { 0 }])).check();
            Case::new("Unsqueeze").trained(&[2, 3], numbers(seed, 6)).fixed(axes(&axis)).check();
        }
    }

    #[test]
    fn axes_of_one_element_go_and_come() {
        let x = || Array::ints([1, 2, 1], vec![7, 8]);
        Case::new("Squeeze").fixed(x()).gives_ints(&[2], &[7, 8]);
        Case::new("Squeeze").fixed(x()).fixed(axes(&[-1])).gives_ints(&[1, 2], &[7, 8]);
        let old = Case::new("Squeeze").opset(11).with("axes", [0]).fixed(x());
        old.gives_ints(&[2, 1], &[7, 8]);
        let case = || Case::new("Unsqueeze").fixed(Array::ints([2], vec![7, 8]));
        case().fixed(axes(&[0, -1])).gives_ints(&[1, 2, 1], &[7, 8]);
        case().opset(11).with("axes", [1]).gives_ints(&[2, 1], &[7, 8]);
    }

    #[test]
    fn axes_that_do_not_fit_are_refused() {
        let x = || Case::new("Squeeze").fixed(Array::ints([1, 2], vec![7, 8]));
        x().fixed(axes(&[1])).is_refused("axis 1 of [1,2] has 2 elements, expected 1");
        x().fixed(axes(&[0, -2])).is_refused("axis -2 is named twice in [0, -2]");
        let case = || Case::new("Unsqueeze").fixed(Array::ints([1], vec![7]));
        case().fixed(axes(&[3])).is_refused("axis 3 is not one of an array of 2 dimensions");
        case().is_refused("the axes are missing");
    }
}
