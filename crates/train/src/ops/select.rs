//! Where: elements of one array where a condition holds, of another elsewhere, with broadcasting.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Where;

fn select<T: Element>(
    scope: &mut Scope<'_>,
    condition: &Array,
    (yes, no): (&Array, &Array),
) -> Result<Array, OpError> {
    let shape = broadcast::shape(condition.shape(), yes.shape())?;
    let shape = broadcast::shape(&shape, no.shape())?;
    let mut out = T::buffer(scope.buffers, scope.elements(&shape)?);
    let (yes_values, no_values) = (T::of(yes)?, T::of(no)?);
    let walk = Walk::new(&shape, no.shape(), &[]);
    broadcast::apply(&mut out, &walk, (no_values, &[()]), |no, ()| no);
    let walk = Walk::new(&shape, condition.shape(), yes.shape());
    broadcast::update(
        &mut out,
        &walk,
        (condition.as_bools()?, yes_values),
        #[inline(always)]
        |out, condition, yes| *out = if condition { yes } else { *out },
    );
    Ok(T::array(shape, out))
}

/// The gradient by the array of shape `to` that is taken where the condition is `when`.
fn back(
    scope: &mut Scope<'_>,
    condition: &Array,
    (when, to): (bool, &Shape),
    gradient: Array,
) -> Result<Array, OpError> {
    let shape = gradient.shape().clone();
    let mut values = gradient.into_floats()?;
    let walk = Walk::new(&shape, condition.shape(), &[]);
    broadcast::update(
        &mut values,
        &walk,
        (condition.as_bools()?, &[()]),
        #[inline(always)]
        |gradient, condition, ()| *gradient = if condition == when { *gradient } else { 0.0 },
    );
    let values = broadcast::sum_to(scope.buffers, values, &shape, to);
    Ok(Array::floats(to.clone(), values))
}

impl Operator for Where {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (condition, yes, no) = (inputs.at(0)?, inputs.at(1)?, inputs.at(2)?);
        Ok(by_kind!(yes, T => select::<T>(scope, condition, (yes, no)))?.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(0)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let condition = at.inputs.at(0)?;
        let by_no = at
            .wants(2)
            .then(|| back(scope, condition, (false, at.shape(2)?), gradient.clone()))
            .transpose()?;
        let by_yes = at
            .wants(1)
            .then(|| back(scope, condition, (true, at.shape(1)?), gradient))
            .transpose()?;
        Ok(vec![None, by_yes, by_no])
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Where))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, broadcasting, count, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient((a, b) in broadcasting(), seed in any::<u64>()) {
            let bools = |dims: &[usize]| {
                let values = numbers(seed ^ 5, count(dims)).iter().map(|&x| x > 0.0).collect();
                Array::bools(Shape::new(dims), values)
            };
            let (yes, no) = (numbers(seed, count(&a)), numbers(!seed, count(&b)));
            for condition in [&a, &b] {
                Case::new("Where")
                    .fixed(bools(condition))
                    .trained(&a, yes.clone())
                    .trained(&b, no.clone())
                    .check();
            }
        }
    }

    #[test]
    fn selects_elements_of_every_kind() {
        let case = || Case::new("Where").fixed(Array::bools([2, 1], vec![true, false]));
        let floats = || case().trained(&[2], vec![1.0, 2.0]);
        floats().trained(&[1], vec![0.0]).gives(&[2, 2], &[1.0, 2.0, 0.0, 0.0]);
        let ints = case().fixed(Array::ints([2], vec![1, 2])).fixed(Array::ints([], vec![0]));
        ints.gives_ints(&[2, 2], &[1, 2, 0, 0]);
        let bools = |value| Array::bools([1], vec![value]);
        case().fixed(bools(true)).fixed(bools(false)).gives_bools(&[2, 1], &[true, false]);
        floats().fixed(Array::ints([1], vec![0])).is_refused("expected floats, found integers");
        floats().trained(&[3], numbers(1, 3)).is_refused("do not broadcast");
        let case = Case::new("Where").fixed(Array::ints([1], vec![1])).trained(&[1], vec![1.0]);
        case.trained(&[1], vec![1.0]).is_refused("expected booleans");
    }
}
