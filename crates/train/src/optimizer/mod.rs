//! Optimizers: how weights follow their gradients.
//!
//! One pass over the memory of a weight does everything: clipping, regularization, decay, the rule
//! itself, and the sum that the regularizers add to the loss.
//!
//! | module | holds |
//! |---|---|
//! | `sgd`, `adam`, `rmsprop` | the rules |
//! | `schedule` | the learning rate over the steps |
//! | `clip` | gradients that are not too large |

mod adam;
mod clip;
mod rmsprop;
mod schedule;
mod sgd;

pub use clip::Clip;
pub use schedule::{Curve, Schedule};
use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::error::OpError;
use crate::program::Weights;

/// A rule that changes weights by gradients, with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "name")]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd {
        /// Share of the last change that is kept; 0 for none.
        momentum: f32,
        /// Whether the momentum looks ahead.
        nesterov: bool,
    },
    /// Adam; AdamW when [`Penalties::decay`] is not 0.
    Adam {
        /// Share of the mean gradient that is kept.
        beta1: f32,
        /// Share of the mean squared gradient that is kept.
        beta2: f32,
        /// Added to the root of the mean squared gradient.
        epsilon: f32,
    },
    /// RMSprop.
    Rmsprop {
        /// Share of the mean squared gradient that is kept.
        rho: f32,
        /// Added to the root of the mean squared gradient.
        epsilon: f32,
        /// Share of the last change that is kept; 0 for none.
        momentum: f32,
    },
}

impl Rule {
    /// Adam with the values of its authors.
    pub const ADAM: Rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

    /// How many numbers it remembers for each weight.
    fn memories(self) -> usize {
        match self {
            Rule::Sgd { momentum, .. } => usize::from(momentum != 0.0),
            Rule::Adam { .. } => 2,
            Rule::Rmsprop { momentum, .. } => 1 + usize::from(momentum != 0.0),
        }
    }
}

/// What keeps weights small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Penalties {
    /// Factor of the sum of absolute weights that is added to the loss.
    pub l1: f32,
    /// Factor of the sum of squared weights that is added to the loss.
    pub l2: f32,
    /// Share of each weight, times the learning rate, that is taken off in each step, apart from
    /// the gradient (Loshchilov and Hutter: Decoupled Weight Decay Regularization, 2019).
    pub decay: f32,
}

impl Penalties {
    /// What they add to the loss for these weights.
    pub fn loss(&self, weights: &[f32]) -> f64 {
        let sum = |of: fn(f64) -> f64| weights.iter().map(|&weight| of(weight.into())).sum::<f64>();
        let mut loss = 0.0;
        if self.l1 != 0.0 {
            loss += f64::from(self.l1) * sum(f64::abs);
        }
        if self.l2 != 0.0 {
            loss += f64::from(self.l2) * sum(|weight| weight * weight);
        }
        loss
    }
}

/// A weight that is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trained {
    /// How many numbers it has.
    pub size: usize,
    /// Whether the penalties are for it.
    pub penalized: bool,
}

/// One change of one weight: what every rule is given.
struct Change {
    /// The learning rate.
    rate: f32,
    /// Factor of the gradient, from clipping.
    scale: f32,
    /// Bound on each element of the gradient, from clipping.
    bound: f32,
    /// For this weight.
    penalties: Penalties,
    /// Number of the step, from 1.
    step: u64,
}

impl Change {
    /// The gradient of the whole loss by one element of a weight.
    #[inline(always)]
    fn gradient(&self, gradient: f32, weight: f32) -> f32 {
        let scaled = gradient * self.scale;
        // Not `clamp`: NaN must stay NaN, so that it is noticed.
        let clipped = if scaled > self.bound {
            self.bound
        } else if scaled < -self.bound {
            -self.bound
        } else {
            scaled
        };
        let sign = if weight > 0.0 {
            1.0
        } else if weight < 0.0 {
            -1.0
        } else {
            0.0
        };
        clipped + 2.0 * self.penalties.l2 * weight + self.penalties.l1 * sign
    }

    /// A weight after decay.
    #[inline(always)]
    fn decayed(&self, weight: f32) -> f32 {
        weight - self.rate * self.penalties.decay * weight
    }
}

/// Numbers below this are taken as 0. What is remembered of a gradient that stopped coming decays
/// forever, as does a weight that nothing but a penalty pulls at (that of a pixel which is black in
/// all examples), and processors are some hundred times slower with numbers below 1e-38: in
/// training, and wherever the model runs later.
const TINY: f32 = 1e-30;

#[inline(always)]
fn flushed(value: f32) -> f32 {
    if value.abs() < TINY { 0.0 } else { value }
}

/// A [`Rule`] at work on some weights.
#[derive(Clone, Debug)]
pub struct Optimizer {
    rule: Rule,
    /// By weight.
    penalties: Vec<Penalties>,
    clip: Clip,
    step: u64,
    /// By weight: what the rule remembers.
    memory: Vec<Vec<Vec<f32>>>,
}

impl Optimizer {
    /// An optimizer for weights of these sizes.
    pub fn new(rule: Rule, penalties: Penalties, clip: Clip, trained: &[Trained]) -> Optimizer {
        let memory = |of: &Trained| vec![vec![0.0; of.size]; rule.memories()];
        let of = |of: &Trained| if of.penalized { penalties } else { Penalties::default() };
        Optimizer {
            rule,
            penalties: trained.iter().map(of).collect(),
            clip,
            step: 0,
            memory: trained.iter().map(memory).collect(),
        }
    }

    /// Changes the weights of these numbers by their gradients, at this learning rate.
    pub fn step(
        &mut self,
        weights: &mut Weights,
        numbers: &[usize],
        gradients: &[Option<Array>],
        rate: f32,
    ) -> Result<(), OpError> {
        self.step += 1;
        let scale = self.clip.scale(gradients)?;
        let of_weights = self.memory.iter_mut().zip(&self.penalties);
        for ((&number, gradient), (memory, &penalties)) in
            numbers.iter().zip(gradients).zip(of_weights)
        {
            let Some(gradient) = gradient else { continue };
            let change =
                Change { rate, scale, bound: self.clip.bound(), penalties, step: self.step };
            let weight = weights.floats_mut(number)?.as_mut_slice();
            let gradient = gradient.as_floats()?;
            match self.rule {
                Rule::Sgd { momentum, nesterov } => {
                    sgd::change(weight, gradient, memory, (momentum, nesterov), &change);
                }
                Rule::Adam { beta1, beta2, epsilon } => {
                    adam::change(weight, gradient, memory, (beta1, beta2, epsilon), &change);
                }
                Rule::Rmsprop { rho, epsilon, momentum } => {
                    rmsprop::change(weight, gradient, memory, (rho, epsilon, momentum), &change);
                }
            }
        }
        Ok(())
    }

    /// What the penalties add to the loss for these weights.
    pub fn penalty(&self, weights: &Weights, numbers: &[usize]) -> f64 {
        let each = numbers.iter().zip(&self.penalties).map(|(&number, penalties)| {
            penalties.loss(weights.array(number).as_floats().unwrap_or_default())
        });
        each.sum()
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// What it remembers, a list a weight.
    pub fn memory(&self) -> &[Vec<Vec<f32>>] {
        &self.memory
    }

    /// Goes on where another optimizer of the same kind stood.
    pub fn restore(&mut self, step: u64, memory: Vec<Vec<Vec<f32>>>) {
        self.step = step;
        self.memory = memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHT: Trained = Trained { size: 2, penalized: true };

    #[test]
    fn the_articles_example_of_l2() {
        let penalties = Penalties { l2: 0.01, ..Penalties::default() };
        assert!((penalties.loss(&[2.0, 3.0]) - 0.13).abs() < 1e-6);
        let penalties = Penalties { l1: 0.1, ..Penalties::default() };
        assert!((penalties.loss(&[2.0, -3.0]) - 0.5).abs() < 1e-6);
    }

    /// Weights after three steps with the gradients w - 1, 2w, 3w of a weight that starts at 1
    /// and 2, as PyTorch 2.15 computes them.
    pub(super) fn check(rule: Rule, penalties: Penalties, expected: [f32; 2]) {
        let mut weights = Weights::default();
        let start = Array::floats([1, 2], vec![1.0, 2.0]);
        weights.push("w", start, modelyard_graph::ElementType::Float32);
        let mut optimizer = Optimizer::new(rule, penalties, Clip::None, &[WEIGHT]);
        for step in 0..3 {
            let weight = weights.array(0).as_floats().unwrap();
            let gradient = weight.iter().map(|weight| match step {
                0 => weight - 1.5,
                step => (step + 1) as f32 * weight,
            });
            let gradient = Array::floats([1, 2], gradient.collect());
            optimizer.step(&mut weights, &[0], &[Some(gradient)], 0.1).unwrap();
        }
        let found = weights.array(0).as_floats().unwrap();
        let close =
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-6 * b.abs().max(1.0));
        assert!(close, "{rule:?}: expected {expected:?}, found {found:?}");
    }

    #[test]
    fn weights_that_only_decay_end_at_zero() {
        let sgd = |momentum| Rule::Sgd { momentum, nesterov: false };
        let l2 = Penalties { l2: 0.5, ..Penalties::default() };
        let decay = Penalties { decay: 1.0, ..Penalties::default() };
        let rmsprop = Rule::Rmsprop { rho: 0.9, epsilon: 1e-7, momentum: 0.0 };
        for (rule, penalties) in
            [(sgd(0.0), l2), (sgd(0.9), l2), (Rule::ADAM, decay), (rmsprop, decay)]
        {
            let mut weights = Weights::default();
            let start = Array::floats([1, 2], vec![1.0, -2.0]);
            weights.push("w", start, modelyard_graph::ElementType::Float32);
            let mut optimizer = Optimizer::new(rule, penalties, Clip::None, &[WEIGHT]);
            for _ in 0..3000 {
                let none = Array::floats([1, 2], vec![0.0; 2]);
                optimizer.step(&mut weights, &[0], &[Some(none)], 0.1).unwrap();
            }
            assert_eq!(weights.array(0).as_floats().unwrap(), [0.0, 0.0], "{rule:?}");
        }
    }

    #[test]
    fn weights_without_gradient_stay() {
        let mut weights = Weights::default();
        weights.push("w", Array::scalar(1.0), modelyard_graph::ElementType::Float32);
        let decay = Penalties { decay: 0.5, ..Penalties::default() };
        let mut optimizer =
            Optimizer::new(Rule::ADAM, decay, Clip::None, &[Trained { size: 1, penalized: true }]);
        optimizer.step(&mut weights, &[0], &[None], 0.1).unwrap();
        assert_eq!(weights.array(0), &Array::scalar(1.0));
    }
}
