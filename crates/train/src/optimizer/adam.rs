//! Adam (Kingma and Ba: Adam: A Method for Stochastic Optimization, 2015), and with decay AdamW
//! (Loshchilov and Hutter, 2019).

use super::{Change, flushed};
use crate::math::vector::vectorized;

pub(super) fn change(
    weights: &mut [f32],
    gradients: &[f32],
    memory: &mut [Vec<f32>],
    (beta1, beta2, epsilon): (f32, f32, f32),
    change: &Change,
) {
    let [means, squares] = memory else { return };
    // Both means start at zero; these factors undo that bias.
    let exponent = i32::try_from(change.step).unwrap_or(i32::MAX);
    let unbias1 = 1.0 - f64::from(beta1).powi(exponent);
    let unbias2 = 1.0 - f64::from(beta2).powi(exponent);
    let rate = (f64::from(change.rate) / unbias1) as f32;
    let root = (1.0 / unbias2.sqrt()) as f32;
    vectorized(
        #[inline(always)]
        || {
            let memory = means.iter_mut().zip(squares);
            for ((weight, &gradient), (mean, square)) in
                weights.iter_mut().zip(gradients).zip(memory)
            {
                let gradient = change.gradient(gradient, *weight);
                *mean = flushed(beta1 * *mean + (1.0 - beta1) * gradient);
                *square = flushed(beta2 * *square + (1.0 - beta2) * gradient * gradient);
                *weight = change.decayed(*weight) - rate * *mean / (square.sqrt() * root + epsilon);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::super::{Penalties, Rule};

    #[test]
    fn agrees_with_pytorch() {
        check(Rule::ADAM, Penalties::default(), EXPECTED[0]);
        check(Rule::ADAM, Penalties { decay: 0.3, ..Penalties::default() }, EXPECTED[1]);
    }

    const EXPECTED: [[f32; 2]; 2] = [[0.964_365_5, 1.728_546_1], [0.873_600_6, 1.561_700_2]];
}
