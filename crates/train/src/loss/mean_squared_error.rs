//! Mean squared error: `1/n sum (prediction - target)²` over all elements.

use super::{Graded, Rows};
use crate::array::Array;
use crate::data::Targets;
use crate::error::OpError;

/// The mean squared error and its gradient. Targets are values, or classes as one-hot rows.
pub fn mean_squared_error(prediction: &Array, targets: &Targets) -> Result<Graded, OpError> {
    let rows = Rows::of(prediction)?;
    let targets = rows.distributions(targets)?;
    let factor = 2.0 / rows.values.len() as f32;
    let mut sum = 0.0;
    let differences = rows.values.iter().zip(&targets).map(|(value, target)| {
        let difference = value - target;
        sum += f64::from(difference) * f64::from(difference);
        factor * difference
    });
    let gradient = differences.collect();
    Ok(rows.graded(sum / rows.columns as f64, gradient))
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    #[test]
    fn is_as_defined() {
        let prediction = Array::floats([2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let targets = Targets::Values(Array::floats([2, 2], vec![1.0, 0.0, 0.0, 4.0]));
        // (0 + 4 + 9 + 0) / 4
        assert_eq!(mean_squared_error(&prediction, &targets).unwrap().loss, 3.25);
        check([2, 2], vec![1.0, 2.0, 3.0, 4.0], |x| mean_squared_error(x, &targets));
    }
}
