//! One multiplication or addition of a constant instead of several, and a multiplication instead of
//! a division by a constant.

use super::super::Options;
use super::super::net::{Net, ValueId};
use super::numbers::{constant, floats};
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};
use crate::{Constant, ElementType};

/// Constants of more elements are weights, and stay as they are.
const MOST_ELEMENTS: usize = 1 << 16;

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    if options.fuse.is_none() {
        return false;
    }
    let quotients = each(net, &Pattern::new("Div(x, a)"), product);
    let products = each(net, &Pattern::new("Mul(Mul(x, a), b)"), |net, found, output| {
        merged(net, found, output, "Mul", |a, b| a * b)
    });
    let sums = each(net, &Pattern::new("Add(Add(x, a), b)"), |net, found, output| {
        merged(net, found, output, "Add", |a, b| a + b)
    });
    quotients || products || sums
}

/// Floats that are small enough to be computed with.
fn factors(net: &Net, value: ValueId) -> Option<(&Constant, Vec<f64>)> {
    let held = net.constant(value)?;
    let is_small = held.elements()? <= MOST_ELEMENTS;
    let is_float = held.element_type == ElementType::Float32;
    (is_small && is_float).then_some((held, floats(held)?))
}

fn is_usual(numbers: &[f64]) -> bool {
    numbers.iter().all(|&number| {
        let number = number as f32;
        number == 0.0 || number.is_normal()
    })
}

fn product(net: &Net, found: &Found, _: ValueId) -> Option<Fused> {
    let x = found.get("x").filter(|&x| net.constant(x).is_none())?;
    let (held, divisors) = factors(net, found.get("a")?)?;
    let inverses: Vec<f64> = divisors.iter().map(|divisor| 1.0 / divisor).collect();
    is_usual(&inverses).then_some(())?;
    let inverses =
        constant(&format!("{}/inverse", held.name), held.element_type, &held.dims, &inverses)?;
    Some(Fused::new("Mul").input(x).constant(inverses))
}

/// Two constants in one: as large as the larger of them.
fn merged(
    net: &Net,
    found: &Found,
    output: ValueId,
    operator: &str,
    both: fn(f64, f64) -> f64,
) -> Option<Fused> {
    let x = found.get("x").filter(|&x| net.constant(x).is_none())?;
    let ((one, a), (two, b)) = (factors(net, found.get("a")?)?, factors(net, found.get("b")?)?);
    let (larger, items) = match (a.as_slice(), b.as_slice()) {
        (a, b) if one.dims == two.dims => {
            (one, a.iter().zip(b).map(|(&a, &b)| both(a, b)).collect())
        }
        (&[a], b) if one.dims.len() <= two.dims.len() => {
            (two, b.iter().map(|&b| both(a, b)).collect())
        }
        (a, &[b]) if two.dims.len() <= one.dims.len() => {
            (one, a.iter().map(|&a| both(a, b)).collect())
        }
        _ => return None,
    };
    let items: Vec<f64> = items;
    (is_usual(&items) && net.rank(output).is_some()).then_some(())?;
    let name = format!("{}/merged", larger.name);
    Some(Fused::new(operator).input(x).constant(constant(
        &name,
        larger.element_type,
        &larger.dims,
        &items,
    )?))
}
