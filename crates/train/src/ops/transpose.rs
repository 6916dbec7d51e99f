//! Transpose: the axes in another order, reversed where none is stated.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::view::{Axis, View};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::movement::axes;
use crate::site::Site;

#[derive(Debug)]
struct Transpose {
    permutation: Option<Vec<i64>>,
}

impl Transpose {
    /// By axis of the output: the axis of the input.
    fn order(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        let Some(permutation) = &self.permutation else { return Ok((0..rank).rev().collect()) };
        let refuse = || {
            OpError::new(format!("{permutation:?} is no order of the axes of {rank} dimensions"))
        };
        let order: Vec<usize> = permutation
            .iter()
            .map(|&axis| usize::try_from(axis).map_err(|_| refuse()))
            .collect::<Result<_, _>>()?;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..rank) { Ok(order) } else { Err(refuse()) }
    }
}

/// The array with its axes in this order, which holds every axis once.
fn transposed(scope: &mut Scope<'_>, input: &Array, order: &[usize]) -> Result<Array, OpError> {
    let axes = axes(input.shape());
    let axes: Vec<Axis> = order.iter().map(|&axis| axes[axis]).collect();
    let shape: Shape = axes.iter().map(|axis| axis.size).collect();
    View::new(shape, 0, axes).of(scope.buffers, input)
}

impl Operator for Transpose {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let order = self.order(input.shape().len())?;
        Ok(transposed(scope, input, &order)?.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let order = self.order(gradient.shape().len())?;
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        let by_input = transposed(scope, &gradient, &back)?;
        scope.buffers.recycle(gradient);
        Ok(vec![Some(by_input)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Transpose { permutation: site.ints("perm") }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            dims in prop::collection::vec(0usize..4, 4),
            order in Just(vec![0i64, 1, 2, 3]).prop_shuffle(),
        ) {
            let x = numbers(seed, dims.iter().product());
            Case::new("Transpose").with("perm", &order[..]).trained(&dims, x).check();
        }

        #[test]
        fn matrices_of_any_size(rows in 1usize..40, columns in 1usize..40) {
            let x: Vec<i64> = (0..(rows * columns) as i64).collect();
            let expected: Vec<i64> = (0..columns)
                .flat_map(|column| (0..rows).map(move |row| (row * columns + column) as i64))
                .collect();
            let case = Case::new("Transpose").fixed(Array::ints([rows, columns], x));
            case.gives_ints(&[columns, rows], &expected);
        }
    }

    #[test]
    fn the_axes_take_the_stated_order() {
        let x = || Array::ints([1, 2, 3], vec![1, 2, 3, 4, 5, 6]);
        let case = Case::new("Transpose").with("perm", [0, 2, 1]).fixed(x());
        case.gives_ints(&[1, 3, 2], &[1, 4, 2, 5, 3, 6]);
        Case::new("Transpose").fixed(x()).gives_ints(&[3, 2, 1], &[1, 4, 2, 5, 3, 6]);
        for wrong in [vec![0i64, 1], vec![0, 1, 1], vec![0, 1, 3], vec![0, 1, -1]] {
            let case = Case::new("Transpose").with("perm", &wrong[..]).fixed(x());
            case.is_refused("is no order of the axes of 3 dimensions");
        }
    }
}
