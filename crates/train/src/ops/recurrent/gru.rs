//! GRU: `h' = (1 - z) n + z h` with gates z, r (sigmoid) and n (tanh), in this order.
//!
//! n sees the state through the gate r: as `R (r h)`, or with `linear_before_reset`, which PyTorch
//! exports, as `r (R h + b)`.

use rten_simd::SimdUnaryOp;
use rten_vecmath::{Sigmoid, Tanh};

use super::cell::{BackStep, ByRecurrence, Cell, Recurrence, Step, Steps, add_columns, blocks};
use super::{Settings, operator};
use crate::error::OpError;
use crate::math::matmul::{self, ADDED, Matrix, PLAIN};
use crate::math::vector;
use crate::operator::Operator;
use crate::site::Site;

#[derive(Debug)]
struct Gru {
    linear_before_reset: bool,
}

/// The gates of one sequence.
fn split(gates: &mut [f32], hidden: usize) -> [&mut [f32]; 3] {
    let (z, rest) = gates.split_at_mut(hidden);
    let (r, n) = rest.split_at_mut(hidden);
    [z, r, n]
}

impl Gru {
    /// Adds the products with h to the gates z and r, and activates those; then `extra`, what n
    /// sees: `R h + b`, or before the product, `r h`.
    fn open(&self, with: &Recurrence<'_>, at: &mut Step<'_>) -> Result<(), OpError> {
        let (hidden, h) = (with.hidden, at.h);
        let mut products = vec![0.0; with.rows * 2 * hidden];
        let states = Matrix::new(h, with.rows, hidden);
        with.multiply(&mut products, states, 0, PLAIN)?;
        let rows = at.gates.chunks_exact_mut(3 * hidden).zip(products.chunks_exact(2 * hidden));
        for (gates, products) in rows {
            let opened = &mut gates[..2 * hidden];
            vector::add(opened, products);
            Sigmoid {}.map_mut(opened);
        }
        if self.linear_before_reset {
            let product = matmul::Product { bias: Some(&with.bias[2 * hidden..]), ..PLAIN };
            return with.multiply(at.extra, states, 1, product);
        }
        let rows = at.gates.chunks_exact(3 * hidden).zip(h.chunks_exact(hidden));
        for (out, (gates, h)) in at.extra.chunks_exact_mut(hidden).zip(rows) {
            vector::map2(out, &gates[hidden..2 * hidden], h, |r, h| r * h);
        }
        Ok(())
    }
}

impl Cell for Gru {
    const GATES: usize = 3;
    const PARTS: &'static [usize] = &[2, 1];
    const HAS_C: bool = false;
    /// What n sees of the state, for the way back.
    const EXTRA: usize = 1;

    fn input_bias(&self, of_w: &[f32], of_r: &[f32]) -> Vec<f32> {
        let mut bias = of_w.to_vec();
        let added = if self.linear_before_reset { bias.len() / 3 * 2 } else { bias.len() };
        vector::add(&mut bias[..added], &of_r[..added]);
        bias
    }

    fn step(&self, with: &Recurrence<'_>, mut at: Step<'_>) -> Result<(), OpError> {
        let hidden = with.hidden;
        self.open(with, &mut at)?;
        let mut products = Vec::new();
        if !self.linear_before_reset {
            products = vec![0.0; with.rows * hidden];
            let seen = Matrix::new(at.extra, with.rows, hidden);
            with.multiply(&mut products, seen, 1, PLAIN)?;
        }
        for (row, gates) in at.gates.chunks_exact_mut(3 * hidden).enumerate() {
            let place = row * hidden..(row + 1) * hidden;
            let [z, r, n] = split(gates, hidden);
            if self.linear_before_reset {
                let seen = &at.extra[place.clone()];
                vector::vectorized(|| {
                    let values = n.iter_mut().zip(r.iter().zip(seen));
                    values.for_each(|(n, (r, seen))| *n += r * seen);
                });
            } else {
                vector::add(n, &products[place.clone()]);
            }
            Tanh {}.map_mut(n);
            let (next, h) = (&mut at.next_h[place.clone()], &at.h[place]);
            vector::vectorized(|| {
                let gates = z.iter().zip(n.iter());
                for ((next, h), (z, n)) in next.iter_mut().zip(h).zip(gates) {
                    *next = (1.0 - z) * n + z * h;
                }
            });
        }
        Ok(())
    }

    fn back(&self, with: &Recurrence<'_>, at: BackStep<'_>) -> Result<(), OpError> {
        let (rows, hidden) = (with.rows, with.hidden);
        // z and n first: the gradient by r needs that by what n sees.
        for (row, gates) in at.gates.chunks_exact_mut(3 * hidden).enumerate() {
            let place = row * hidden..(row + 1) * hidden;
            let [z, _, n] = split(gates, hidden);
            let (by_h, h) = (&mut at.by_h[place.clone()], &at.h[place]);
            vector::vectorized(|| {
                for ((z, n), (by_h, h)) in z.iter_mut().zip(n).zip(by_h.iter_mut().zip(h)) {
                    let by_n = *by_h * (1.0 - *z);
                    let by_z = *by_h * (h - *n);
                    *by_h *= *z;
                    *z = by_z * *z * (1.0 - *z);
                    *n = by_n * (1.0 - *n * *n);
                }
            });
        }
        let mut by_seen = Vec::new();
        if !self.linear_before_reset {
            by_seen = vec![0.0; rows * hidden];
            let by_n = blocks(at.gates, (rows, hidden, 3), (2, 1));
            with.multiply(&mut by_seen, by_n, 1, PLAIN)?;
        }
        for (row, gates) in at.gates.chunks_exact_mut(3 * hidden).enumerate() {
            let place = row * hidden..(row + 1) * hidden;
            let [_, r, n] = split(gates, hidden);
            if self.linear_before_reset {
                let seen = &mut at.extra[place];
                vector::vectorized(|| {
                    for ((r, by_n), seen) in r.iter_mut().zip(n.iter()).zip(seen) {
                        let by_r = by_n * *seen;
                        *seen = by_n * *r;
                        *r = by_r * *r * (1.0 - *r);
                    }
                });
            } else {
                let by_h = &mut at.by_h[place.clone()];
                let values = by_seen[place.clone()].iter().zip(&at.h[place]);
                vector::vectorized(|| {
                    for ((r, by_h), (by_seen, h)) in r.iter_mut().zip(by_h).zip(values) {
                        *by_h += by_seen * *r;
                        *r = by_seen * h * *r * (1.0 - *r);
                    }
                });
            }
        }
        if self.linear_before_reset {
            let by_seen = Matrix::new(at.extra, rows, hidden);
            with.multiply(at.by_h, by_seen, 1, ADDED)?;
        }
        let by_opened = blocks(at.gates, (rows, hidden, 3), (0, 2));
        with.multiply(at.by_h, by_opened, 0, ADDED)
    }

    fn by_recurrence(&self, at: &Steps<'_>, out: ByRecurrence<'_>) -> Result<(), OpError> {
        let (rows, hidden) = (at.rows, at.hidden);
        let extra = Matrix::new(at.extra, rows, hidden);
        let (opened, seen) = out.r.split_at_mut(2 * hidden * hidden);
        let by_opened = blocks(at.gates, (rows, hidden, 3), (0, 2));
        matmul::multiply(opened, by_opened.transposed(), at.states(), ADDED)?;
        if self.linear_before_reset {
            // The gates but for n, whose own bias is inside of the product with r.
            let mut sums = vec![0.0; 3 * hidden];
            add_columns(&mut sums, at.gates);
            out.bias[..2 * hidden].copy_from_slice(&sums[..2 * hidden]);
            add_columns(&mut out.bias[2 * hidden..], at.extra);
            return matmul::multiply(seen, extra.transposed(), at.states(), ADDED);
        }
        add_columns(out.bias, at.gates);
        let by_n = blocks(at.gates, (rows, hidden, 3), (2, 1));
        matmul::multiply(seen, by_n.transposed(), extra, ADDED)
    }
}

pub(in crate::ops) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let linear_before_reset = site.flag("linear_before_reset", false);
    operator(Gru { linear_before_reset }, Settings::new(site, &["Sigmoid", "Tanh"])?)
}
