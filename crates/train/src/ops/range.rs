//! Range: numbers from one to another by a step, the last not included. It has no gradient.

use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Range;

fn single<T: Copy>(values: &[T]) -> Result<T, OpError> {
    match values {
        [value] => Ok(*value),
        _ => Err(OpError::new(format!("expected one number, found {}", values.len()))),
    }
}

fn ints(start: i64, limit: i64, step: i64) -> Result<Array, OpError> {
    let refuse = || OpError::new(format!("cannot step from {start} to {limit} by {step}"));
    let distance = limit.checked_sub(start).ok_or_else(refuse)?;
    // A step in the other direction takes nothing.
    let count = match step {
        0 => return Err(refuse()),
        _ if (distance < 0) != (step < 0) => 0,
        _ => distance.unsigned_abs().div_ceil(step.unsigned_abs()),
    };
    let count = i64::try_from(count).map_err(|_| refuse())?;
    let values = (0..count).map(|number| start + number * step).collect();
    Ok(Array::ints([count as usize], values))
}

impl Operator for Range {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (start, limit, step) = (inputs.at(0)?, inputs.at(1)?, inputs.at(2)?);
        if let Data::Floats(start) = start.data() {
            let (start, limit, step) =
                (single(start)?, single(limit.as_floats()?)?, single(step.as_floats()?)?);
            let count = ((f64::from(limit) - f64::from(start)) / f64::from(step)).ceil();
            if !count.is_finite() {
                return Err(OpError::new(format!("cannot step from {start} to {limit} by {step}")));
            }
            let count = scope.elements(&Shape::from([count.max(0.0) as usize]))?;
            let values = (0..count).map(|number| start + number as f32 * step).collect();
            return Ok(Array::floats([count], values).into());
        }
        let (start, limit, step) =
            (single(start.as_ints()?)?, single(limit.as_ints()?)?, single(step.as_ints()?)?);
        let count = limit.abs_diff(start).checked_div(step.unsigned_abs()).unwrap_or(0);
        scope.elements(&Shape::from([usize::try_from(count).unwrap_or(usize::MAX)]))?;
        Ok(ints(start, limit, step)?.into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn steps_up_and_down() {
        let ints = |values: [i64; 3]| {
            values
                .into_iter()
                .fold(Case::new("Range"), |case, value| case.fixed(Array::ints([], vec![value])))
        };
        ints([1, 6, 2]).gives_ints(&[3], &[1, 3, 5]);
        ints([10, 4, -2]).gives_ints(&[3], &[10, 8, 6]);
        ints([1, 1, 3]).gives_ints(&[0], &[]);
        ints([1, 5, -1]).gives_ints(&[0], &[]);
        ints([1, 5, 0]).is_refused("cannot step from 1 to 5 by 0");
        ints([0, i64::MAX, 1]).is_refused("outgrows the limit");
        let floats = |values: [f32; 3]| {
            values
                .into_iter()
                .fold(Case::new("Range"), |case, value| case.fixed(Array::scalar(value)))
        };
        floats([1.0, 2.0, 0.5]).gives(&[2], &[1.0, 1.5]);
        floats([1.0, 2.0, 0.0]).is_refused("cannot step from 1 to 2 by 0");
        let two = Case::new("Range").fixed(Array::ints([2], vec![1, 2]));
        let two = two.fixed(Array::ints([], vec![1])).fixed(Array::ints([], vec![1]));
        two.is_refused("expected one number, found 2");
    }
}
