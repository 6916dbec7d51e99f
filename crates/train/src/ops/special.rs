//! IsNaN and IsInf: which floats are no numbers. They have no gradient.

use crate::array::Array;
use crate::error::OpError;
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Clone, Copy, Debug)]
enum Special {
    NotANumber,
    Infinite { negative: bool, positive: bool },
}

impl Special {
    fn is(self, value: f32) -> bool {
        match self {
            Special::NotANumber => value.is_nan(),
            Special::Infinite { negative, positive } => {
                value == f32::INFINITY && positive || value == f32::NEG_INFINITY && negative
            }
        }
    }
}

impl Operator for Special {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let out = input.as_floats()?.iter().map(|&value| self.is(value)).collect();
        Ok(Array::bools(input.shape().clone(), out).into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build_nan(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Special::NotANumber))
}

pub(super) fn build_infinite(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Special::Infinite {
        negative: site.flag("detect_negative", true),
        positive: site.flag("detect_positive", true),
    }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::Case;

    #[test]
    fn finds_what_is_no_number() {
        let case = |name| {
            let values = vec![1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            Case::new(name).fixed(Array::floats([4], values))
        };
        case("IsNaN").gives_bools(&[4], &[false, true, false, false]);
        case("IsInf").gives_bools(&[4], &[false, false, true, true]);
        let positive = case("IsInf").with("detect_negative", 0);
        positive.gives_bools(&[4], &[false, false, true, false]);
        let negative = case("IsInf").with("detect_positive", 0);
        negative.gives_bools(&[4], &[false, false, false, true]);
        Case::new("IsNaN").fixed(Array::ints([1], vec![1])).is_refused("expected floats");
    }
}
