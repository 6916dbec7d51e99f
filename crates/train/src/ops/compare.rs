//! Equal, Greater, GreaterOrEqual, Less and LessOrEqual, with broadcasting: booleans from two
//! arrays of one kind. They have no gradient.

use crate::array::Array;
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    fn of<T: Element + PartialOrd>(
        self,
        scope: &Scope<'_>,
        a: &Array,
        b: &Array,
    ) -> Result<Array, OpError> {
        let shape = broadcast::shape(a.shape(), b.shape())?;
        let mut out = vec![false; scope.elements(&shape)?];
        let walk = Walk::new(&shape, a.shape(), b.shape());
        let both = (T::of(a)?, T::of(b)?);
        match self {
            Comparison::Equal => broadcast::apply(&mut out, &walk, both, |a, b| a == b),
            Comparison::Greater => broadcast::apply(&mut out, &walk, both, |a, b| a > b),
            Comparison::GreaterOrEqual => broadcast::apply(&mut out, &walk, both, |a, b| a >= b),
            Comparison::Less => broadcast::apply(&mut out, &walk, both, |a, b| a < b),
            Comparison::LessOrEqual => broadcast::apply(&mut out, &walk, both, |a, b| a <= b),
        }
        Ok(Array::bools(shape, out))
    }
}

impl Operator for Comparison {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (a, b) = (inputs.at(0)?, inputs.at(1)?);
        Ok(by_kind!(a, T => self.of::<T>(scope, a, b))?.into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(match site.node.op_type.as_str() {
        "Equal" => Comparison::Equal,
        "Greater" => Comparison::Greater,
        "GreaterOrEqual" => Comparison::GreaterOrEqual,
        "Less" => Comparison::Less,
        _ => Comparison::LessOrEqual,
    }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::Case;

    #[test]
    fn compares_arrays_of_one_kind() {
        let check = |name, floats: [bool; 4], bools: [bool; 2]| {
            Case::new(name)
                .fixed(Array::floats([2, 1], vec![1.0, 2.0]))
                .fixed(Array::floats([2], vec![1.0, 3.0]))
                .gives_bools(&[2, 2], &floats);
            let ints = Case::new(name).fixed(Array::ints([2, 1], vec![1, 2]));
            ints.fixed(Array::ints([2], vec![1, 3])).gives_bools(&[2, 2], &floats);
            let case = Case::new(name).fixed(Array::bools([2], vec![true, false]));
            case.fixed(Array::bools([1], vec![true])).gives_bools(&[2], &bools);
            let mixed = Case::new(name).fixed(Array::ints([1], vec![1])).fixed(Array::scalar(1.0));
            mixed.is_refused("expected integers, found floats");
        };
        check("Equal", [true, false, false, false], [true, false]);
        check("Greater", [false, false, true, false], [false, false]);
        check("GreaterOrEqual", [true, false, true, false], [true, false]);
        check("Less", [false, true, false, true], [false, true]);
        check("LessOrEqual", [true, true, false, true], [true, true]);
    }

    #[test]
    fn no_gradient_flows_through_them() {
        let a = || Array::scalar(1.0);
        let case = Case::new("Less").trained(&[1], vec![2.0]).fixed(a());
        assert_eq!(case.gradients(&case.program()), [None]);
    }
}
