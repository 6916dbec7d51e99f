//! Stochastic gradient descent with momentum, as Sutskever et al. (On the importance of
//! initialization and momentum in deep learning, 2013), in PyTorch's form: the velocity is not
//! scaled by the learning rate.

use super::{Change, flushed};
use crate::math::vector::vectorized;

pub(super) fn change(
    weights: &mut [f32],
    gradients: &[f32],
    memory: &mut [Vec<f32>],
    (momentum, nesterov): (f32, bool),
    change: &Change,
) {
    let Some(velocity) = memory.first_mut() else {
        return vectorized(
            #[inline(always)]
            || {
                for (weight, &gradient) in weights.iter_mut().zip(gradients) {
                    let gradient = change.gradient(gradient, *weight);
                    *weight = change.decayed(*weight) - change.rate * gradient;
                }
            },
        );
    };
    vectorized(
        #[inline(always)]
        || {
            for ((weight, &gradient), velocity) in weights.iter_mut().zip(gradients).zip(velocity) {
                let gradient = change.gradient(gradient, *weight);
                *velocity = flushed(momentum * *velocity + gradient);
                let direction = if nesterov { gradient + momentum * *velocity } else { *velocity };
                *weight = change.decayed(*weight) - change.rate * direction;
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::super::{Penalties, Rule};

    const NONE: Penalties = Penalties { l1: 0.0, l2: 0.0, decay: 0.0 };

    #[test]
    fn agrees_with_pytorch() {
        check(Rule::Sgd { momentum: 0.0, nesterov: false }, NONE, EXPECTED[0]);
        check(Rule::Sgd { momentum: 0.9, nesterov: false }, NONE, EXPECTED[1]);
        check(Rule::Sgd { momentum: 0.9, nesterov: true }, NONE, EXPECTED[2]);
        // PyTorch's weight_decay of 0.2 in SGD is an L2 term of 0.1.
        let l2 = Penalties { l2: 0.1, ..NONE };
        check(Rule::Sgd { momentum: 0.9, nesterov: false }, l2, EXPECTED[3]);
    }

    const EXPECTED: [[f32; 2]; 4] =
        [[0.588, 1.092], [0.471, 0.669], [0.168_402, 0.145_398], [0.385_032, 0.506_904]];
}
