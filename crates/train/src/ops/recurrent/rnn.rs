//! RNN: `h' = f(W x + R h + b)`, where f is Tanh or Relu.

use rten_simd::SimdUnaryOp;
use rten_vecmath::Tanh;

use super::cell::{BackStep, Cell, Recurrence, Step};
use super::{Settings, activations_of, operator};
use crate::error::OpError;
use crate::math::vector;
use crate::operator::Operator;
use crate::site::Site;

#[derive(Debug)]
struct Rnn {
    is_relu: bool,
}

impl Cell for Rnn {
    const GATES: usize = 1;
    const PARTS: &'static [usize] = &[1];
    const HAS_C: bool = false;
    const EXTRA: usize = 0;

    fn step(&self, with: &Recurrence<'_>, at: Step<'_>) -> Result<(), OpError> {
        with.add_products(at.gates, at.h)?;
        if self.is_relu {
            at.gates.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value });
        } else {
            Tanh {}.map_mut(at.gates);
        }
        at.next_h.copy_from_slice(at.gates);
        Ok(())
    }

    fn back(&self, with: &Recurrence<'_>, at: BackStep<'_>) -> Result<(), OpError> {
        let (gates, by_h) = (at.gates.iter_mut(), at.by_h.iter());
        vector::vectorized(|| {
            if self.is_relu {
                gates.zip(by_h).for_each(|(h, by)| *h = if *h > 0.0 { *by } else { 0.0 });
            } else {
                gates.zip(by_h).for_each(|(h, by)| *h = by * (1.0 - *h * *h));
            }
        });
        with.products_back(at.gates, at.by_h)
    }
}

pub(in crate::ops) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let is_relu = activations_of(site).first().is_some_and(|name| name == "Relu");
    let covered: &[&str] = if is_relu { &["Relu"] } else { &["Tanh"] };
    operator(Rnn { is_relu }, Settings::new(site, covered)?)
}
