//! Gradients of the reductions: that of the result, times the slope by each element.

use super::{Axes, Kind};
use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::math::vector;
use crate::operator::{Backward, Scope};
use rten_simd::SimdUnaryOp;

/// The gradient by the input from the one by the output, with what [`Backward`] kept.
pub(super) fn back(
    scope: &mut Scope<'_>,
    kind: Kind,
    axes: &Axes,
    (gradient, at): (Array, &Backward<'_>),
) -> Result<Array, OpError> {
    let kept = axes.kept();
    let walk = Walk::new(&axes.from, &axes.from, &kept);
    let mut out = scope.buffers.take(axes.from.iter().product());
    let mut gradient = gradient;
    let factors = gradient.floats_mut()?;
    let elements = || at.inputs.floats(0);
    let results = || at.outputs.floats(0);
    match kind {
        Kind::Sum => repeat(&mut out, axes, factors),
        Kind::Mean => {
            vector::scale(factors, 1.0 / axes.count() as f32);
            repeat(&mut out, axes, factors);
        }
        Kind::LogSum => {
            let sums = results()?.iter();
            factors.iter_mut().zip(sums).for_each(|(factor, y)| *factor *= (-y).exp());
            repeat(&mut out, axes, factors);
        }
        Kind::L1 => {
            let slope = |x: f32| if x == 0.0 { 0.0 } else { x.signum() };
            broadcast::apply(&mut out, &walk, (elements()?, factors), |x, g| slope(x) * g);
        }
        Kind::SumSquare => {
            broadcast::apply(&mut out, &walk, (elements()?, factors), |x, g| 2.0 * x * g);
        }
        Kind::L2 => {
            // Where all are 0 the slope is taken as 0, as PyTorch does.
            let lengths = results()?.iter();
            factors.iter_mut().zip(lengths).for_each(|(factor, &y)| {
                *factor = if y == 0.0 { 0.0 } else { *factor / y };
            });
            broadcast::apply(&mut out, &walk, (elements()?, factors), |x, g| x * g);
        }
        Kind::LogSumExp => {
            // Where the result is infinite, so is what it is compared with.
            let difference = |x: f32, y: f32| if x == y { 0.0 } else { x - y };
            broadcast::apply(&mut out, &walk, (elements()?, results()?), difference);
            rten_vecmath::Exp {}.map_mut(&mut out);
            let walk = Walk::new(&axes.from, &kept, &[]);
            let factors = (&factors[..], &[()][..]);
            broadcast::update(&mut out, &walk, factors, |out, g, ()| *out *= g);
        }
        Kind::Max | Kind::Min => chosen(&mut out, &walk, (elements()?, results()?), factors),
        Kind::Prod => others(&mut out, &walk, elements()?, (results()?, factors)),
    }
    scope.buffers.recycle(gradient);
    Ok(Array::floats(axes.from.clone(), out))
}

/// One factor for all elements that became one.
fn repeat(out: &mut [f32], axes: &Axes, factors: &[f32]) {
    let walk = Walk::new(&axes.from, &axes.kept(), &[]);
    broadcast::apply(out, &walk, (factors, &[()]), |factor, ()| factor);
}

/// Calls `each` with every element's place and that of the result it went into, in order.
fn places(walk: &Walk, mut each: impl FnMut(usize, usize)) {
    let [by_element, by_result] = walk.inner.strides;
    walk.rows(|element, result| {
        for number in 0..walk.inner.size {
            each(element + number * by_element, result + number * by_result);
        }
    });
}

/// The gradient goes to the first element that was chosen.
fn chosen(
    out: &mut [f32],
    walk: &Walk,
    (elements, results): (&[f32], &[f32]),
    factors: &mut [f32],
) {
    if elements.is_empty() {
        return;
    }
    places(walk, |element, result| {
        out[element] = match elements[element] == results[result] {
            true => std::mem::take(&mut factors[result]),
            false => 0.0,
        };
    });
}

/// The gradient times the product of all other elements.
fn others(out: &mut [f32], walk: &Walk, elements: &[f32], (results, factors): (&[f32], &[f32])) {
    if elements.is_empty() {
        return;
    }
    // A product of 0 cannot be divided by the element: multiply those that are not 0, and look
    // how many are.
    let mut zeros = vec![0usize; results.len()];
    let mut products = vec![1f32; results.len()];
    places(walk, |element, result| match elements[element] {
        0.0 => zeros[result] += 1,
        x => products[result] *= x,
    });
    places(walk, |element, result| {
        let product = match (elements[element], zeros[result]) {
            (x, 0) => products[result] / x,
            (0.0, 1) => products[result],
            _ => 0.0,
        };
        out[element] = product * factors[result];
    });
}
