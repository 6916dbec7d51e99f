//! And, Or and Xor, with broadcasting, and Not. They have no gradient.

use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
enum Logic {
    And,
    Or,
    Xor,
    Not,
}

impl Operator for Logic {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let a = inputs.at(0)?;
        if let Logic::Not = self {
            let out = a.as_bools()?.iter().map(|value| !value).collect();
            return Ok(Array::bools(a.shape().clone(), out).into());
        }
        let b = inputs.at(1)?;
        let shape = broadcast::shape(a.shape(), b.shape())?;
        let mut out = vec![false; scope.elements(&shape)?];
        let walk = Walk::new(&shape, a.shape(), b.shape());
        let both = (a.as_bools()?, b.as_bools()?);
        match self {
            Logic::And => broadcast::apply(&mut out, &walk, both, |a, b| a && b),
            Logic::Or => broadcast::apply(&mut out, &walk, both, |a, b| a || b),
            Logic::Xor | Logic::Not => broadcast::apply(&mut out, &walk, both, |a, b| a != b),
        }
        Ok(Array::bools(shape, out).into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(match site.node.op_type.as_str() {
        "And" => Logic::And,
        "Or" => Logic::Or,
        "Xor" => Logic::Xor,
        _ => Logic::Not,
    }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::Case;

    fn bools(dims: &[usize], values: &[bool]) -> Array {
        Array::bools(modelyard_tensor::Shape::new(dims), values.to_vec())
    }

    #[test]
    fn truth_tables() {
        let both = [false, true];
        let check = |name, table: [bool; 4]| {
            let case = || Case::new(name).fixed(bools(&[2, 1], &both));
            case().fixed(bools(&[2], &both)).gives_bools(&[2, 2], &table);
            case().fixed(Array::ints([1], vec![1])).is_refused("expected booleans, found integers");
        };
        check("And", [false, false, false, true]);
        check("Or", [false, true, true, true]);
        check("Xor", [false, true, true, false]);
        Case::new("Not").fixed(bools(&[2], &both)).gives_bools(&[2], &[true, false]);
    }
}
