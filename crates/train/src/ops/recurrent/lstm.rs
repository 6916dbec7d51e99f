//! LSTM: `c' = f c + i g`, `h' = o tanh(c')` with gates i, o, f (sigmoid) and g (tanh) of
//! `W x + R h + b`, in the order i, o, f, g. Peepholes are not covered.

use rten_simd::SimdUnaryOp;
use rten_vecmath::{Sigmoid, Tanh};

use super::cell::{BackStep, Cell, Recurrence, Step};
use super::{Settings, operator};
use crate::error::OpError;
use crate::math::vector;
use crate::operator::Operator;
use crate::site::Site;

#[derive(Debug)]
struct Lstm;

/// The gates of one sequence.
fn split(gates: &mut [f32], hidden: usize) -> [&mut [f32]; 4] {
    let (i, rest) = gates.split_at_mut(hidden);
    let (o, rest) = rest.split_at_mut(hidden);
    let (f, g) = rest.split_at_mut(hidden);
    [i, o, f, g]
}

impl Cell for Lstm {
    const GATES: usize = 4;
    const PARTS: &'static [usize] = &[4];
    const HAS_C: bool = true;
    /// tanh(c').
    const EXTRA: usize = 1;

    fn step(&self, with: &Recurrence<'_>, at: Step<'_>) -> Result<(), OpError> {
        let hidden = with.hidden;
        with.add_products(at.gates, at.h)?;
        let states = at.next_c.chunks_exact_mut(hidden).zip(at.c.chunks_exact(hidden));
        for (gates, (next_c, c)) in at.gates.chunks_exact_mut(4 * hidden).zip(states) {
            Sigmoid {}.map_mut(&mut gates[..3 * hidden]);
            Tanh {}.map_mut(&mut gates[3 * hidden..]);
            let [i, _, f, g] = split(gates, hidden);
            vector::vectorized(|| {
                for k in 0..hidden.min(next_c.len()).min(c.len()) {
                    next_c[k] = f[k] * c[k] + i[k] * g[k];
                }
            });
        }
        at.extra.copy_from_slice(at.next_c);
        Tanh {}.map_mut(at.extra);
        let outputs = at.next_h.chunks_exact_mut(hidden).zip(at.extra.chunks_exact(hidden));
        for (gates, (next_h, tanh)) in at.gates.chunks_exact(4 * hidden).zip(outputs) {
            vector::map2(next_h, &gates[hidden..2 * hidden], tanh, |o, tanh| o * tanh);
        }
        Ok(())
    }

    fn back(&self, with: &Recurrence<'_>, at: BackStep<'_>) -> Result<(), OpError> {
        let hidden = with.hidden;
        let kept = at.extra.chunks_exact(hidden).zip(at.c.chunks_exact(hidden));
        let by = at.by_h.chunks_exact(hidden).zip(at.by_c.chunks_exact_mut(hidden));
        let rows = at.gates.chunks_exact_mut(4 * hidden).zip(kept.zip(by));
        for (gates, ((tanh, c), (by_h, by_c))) in rows {
            let [i, o, f, g] = split(gates, hidden);
            vector::vectorized(|| {
                let kept = tanh.iter().zip(c).zip(by_h.iter().zip(by_c));
                let first = i.iter_mut().zip(o);
                let second = f.iter_mut().zip(g);
                for (((i, o), (f, g)), ((tanh, c), (by_h, by_c))) in first.zip(second).zip(kept) {
                    let by_next_c = *by_c + by_h * *o * (1.0 - tanh * tanh);
                    *by_c = by_next_c * *f;
                    let (by_i, by_g) = (by_next_c * *g, by_next_c * *i);
                    *i = by_i * *i * (1.0 - *i);
                    *o = by_h * tanh * *o * (1.0 - *o);
                    *f = by_next_c * c * *f * (1.0 - *f);
                    *g = by_g * (1.0 - *g * *g);
                }
            });
        }
        with.products_back(at.gates, at.by_h)
    }
}

pub(in crate::ops) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    if site.node.input(7).is_some() {
        return Err(OpError::new("input P (peepholes) is not covered"));
    }
    if site.flag("input_forget", false) {
        return Err(OpError::new("attribute input_forget is not covered"));
    }
    operator(Lstm, Settings::new(site, &["Sigmoid", "Tanh", "Tanh"])?)
}
