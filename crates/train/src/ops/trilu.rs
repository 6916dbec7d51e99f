//! Trilu: the upper or lower triangle of matrices, zeros elsewhere.

use crate::array::Array;
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Trilu {
    upper: bool,
}

impl Trilu {
    /// The diagonal that bounds the triangle; 0 is the main one, larger ones lie above it.
    fn diagonal(inputs: Inputs<'_>) -> Result<i64, OpError> {
        match inputs.get(1).map(Array::as_ints).transpose()? {
            None => Ok(0),
            Some([diagonal]) => Ok(*diagonal),
            Some(found) => {
                Err(OpError::new(format!("expected one diagonal, found {}", found.len())))
            }
        }
    }

    fn of<T: Element>(
        &self,
        scope: &mut Scope<'_>,
        input: &Array,
        diagonal: i64,
    ) -> Result<Array, OpError> {
        let &[.., rows, columns] = input.shape().dims() else {
            return Err(OpError::new(format!("expected matrices, found shape {}", input.shape())));
        };
        let values = T::of(input)?;
        let mut out = T::buffer(scope.buffers, values.len());
        out.copy_from_slice(values);
        if columns > 0 {
            for (number, row) in out.chunks_exact_mut(columns).enumerate() {
                let first = diagonal.saturating_add_unsigned((number % rows) as u64);
                let zeros = if self.upper {
                    0..first.clamp(0, columns as i64) as usize
                } else {
                    first.saturating_add(1).clamp(0, columns as i64) as usize..columns
                };
                row[zeros].fill(T::default());
            }
        }
        Ok(T::array(input.shape().clone(), out))
    }
}

impl Operator for Trilu {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (input, diagonal) = (inputs.at(0)?, Trilu::diagonal(inputs)?);
        Ok(by_kind!(input, T => self.of::<T>(scope, input, diagonal))?.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(1)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let by_input = self.of::<f32>(scope, &gradient, Trilu::diagonal(at.inputs)?)?;
        scope.buffers.recycle(gradient);
        Ok(vec![Some(by_input)])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Trilu { upper: site.flag("upper", true) }))
}

#[cfg(test)]
mod tests {
    use crate::array::Array;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), upper in 0i64..2, diagonal in -4i64..5) {
            let case = Case::new("Trilu").with("upper", upper);
            case.trained(&[2, 2, 3], numbers(seed, 12)).fixed(Array::ints([], vec![diagonal])).check();
        }
    }

    #[test]
    fn triangles_of_every_kind() {
        let ints = || Case::new("Trilu").fixed(Array::ints([2, 3], vec![1, 2, 3, 4, 5, 6]));
        let one = |value| Array::ints([1], vec![value]);
        ints().gives_ints(&[2, 3], &[1, 2, 3, 0, 5, 6]);
        ints().fixed(one(1)).gives_ints(&[2, 3], &[0, 2, 3, 0, 0, 6]);
        ints().with("upper", 0).gives_ints(&[2, 3], &[1, 0, 0, 4, 5, 0]);
        ints().with("upper", 0).fixed(one(i64::MIN)).gives_ints(&[2, 3], &[0; 6]);
        let bools = Case::new("Trilu").fixed(Array::bools([2, 2], vec![true; 4]));
        bools.gives_bools(&[2, 2], &[true, true, false, true]);
        Case::new("Trilu")
            .trained(&[3], numbers(1, 3))
            .is_refused("expected matrices, found shape [3]");
        ints().fixed(Array::ints([2], vec![1, 2])).is_refused("expected one diagonal, found 2");
    }
}
