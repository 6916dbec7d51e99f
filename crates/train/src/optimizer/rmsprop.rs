//! RMSprop (Hinton: Neural Networks for Machine Learning, lecture 6e, 2012), in PyTorch's form:
//! epsilon is added outside of the root.

use super::{Change, flushed};
use crate::math::vector::vectorized;

pub(super) fn change(
    weights: &mut [f32],
    gradients: &[f32],
    memory: &mut [Vec<f32>],
    (rho, epsilon, momentum): (f32, f32, f32),
    change: &Change,
) {
    let Some((squares, velocity)) = memory.split_first_mut() else { return };
    let Some(velocity) = velocity.first_mut() else {
        return vectorized(
            #[inline(always)]
            || {
                for ((weight, &gradient), square) in weights.iter_mut().zip(gradients).zip(squares)
                {
                    let gradient = change.gradient(gradient, *weight);
                    *square = flushed(rho * *square + (1.0 - rho) * gradient * gradient);
                    let step = gradient / (square.sqrt() + epsilon);
                    *weight = change.decayed(*weight) - change.rate * step;
                }
            },
        );
    };
    vectorized(
        #[inline(always)]
        || {
            let memory = squares.iter_mut().zip(velocity);
            for ((weight, &gradient), (square, velocity)) in
                weights.iter_mut().zip(gradients).zip(memory)
            {
                let gradient = change.gradient(gradient, *weight);
                *square = flushed(rho * *square + (1.0 - rho) * gradient * gradient);
                *velocity = flushed(momentum * *velocity + gradient / (square.sqrt() + epsilon));
                *weight = change.decayed(*weight) - change.rate * *velocity;
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
        let rule = |momentum| Rule::Rmsprop { rho: 0.9, epsilon: 1e-7, momentum };
        check(rule(0.0), Penalties::default(), EXPECTED[0]);
        check(rule(0.9), Penalties::default(), EXPECTED[1]);
    }

    const EXPECTED: [[f32; 2]; 2] = [[0.763_070_64, 1.121_847_6], [1.001_243, 0.323_362_36]];
}
