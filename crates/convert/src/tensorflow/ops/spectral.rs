//! Fourier transforms of the last axis: `RFFT`, `IRFFT`, `FFT` and `IFFT`.
//!
//! In ONNX they are products with the matrix of the transform: not every engine has `DFT`, and for
//! the sizes of audio frames a product is fast.

use std::f64::consts::TAU;

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::reshape::Size;
use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, fft, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

/// Elements of the largest transform.
const MAX_SIZE: usize = 8192;

const WAY_OUT: &str = "use frames of a fixed length of at most 8192";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    if !matches!(value.element_type, ElementType::Float32 | ElementType::Complex64) {
        return Err(Refusal::new("a transform in double precision", "use 32-bit floats"));
    }
    let op = call.node.op.as_str();
    let own = value
        .known_dims()?
        .split_last()
        .and_then(|(last, outer)| Some((outer.to_vec(), super::super::value::fixed(last)?)));
    let (outer, own) = own.ok_or_else(|| Refusal::new("frames of unknown length", WAY_OUT))?;
    let size = match op {
        "RFFT" | "IRFFT" => {
            let length = context.integer(call.input(1)?, "the length of a transform")?;
            usize::try_from(length).unwrap_or(0)
        }
        _ => own,
    };
    if size == 0 || size > MAX_SIZE || own == 0 || own > MAX_SIZE {
        return Err(Refusal::new(format!("a transform of {size} elements"), WAY_OUT));
    }
    let x = context.name(value)?;
    let transform = match op {
        "RFFT" => Transform::real(own, size),
        "IRFFT" => Transform::inverse_real(own, size),
        _ => Transform::complex(size, op == "IFFT"),
    };
    // Numbers that the transform does not look at are cut off, those it misses are 0.
    let parts = if op == "RFFT" { 1 } else { 2 };
    let rows = transform.matrix.len() / transform.columns;
    let axes = outer.len();
    let x = match rows < own * parts {
        true => cut(context, &x, axes, rows / parts),
        false => x,
    };
    let same = vec![Size::Same; axes];
    let x = match parts {
        1 => x,
        _ => context.reshape_or_copy(&x, &[same.as_slice(), &[Size::Is(rows)]].concat()),
    };
    let matrix = &transform.matrix;
    let matrix = context.emitter.floats("transform", &[rows, transform.columns], matrix);
    let product = context.add("MatMul", &[x, matrix]);
    let (found, element_type, count) = match op {
        "IRFFT" => (product, ElementType::Float32, size),
        _ => {
            let count = transform.columns / 2;
            let sizes = [same.as_slice(), &[Size::Is(count), Size::Is(2)]].concat();
            (context.reshape_or_copy(&product, &sizes), ElementType::Complex64, count)
        }
    };
    let dims = [outer.as_slice(), &[Dim::Fixed(count)]].concat();
    Ok(vec![context.value(found, element_type, Some(dims))])
}

/// The first elements of an axis.
fn cut(context: &mut Context<'_>, x: &str, axis: usize, count: usize) -> String {
    let lists = [("starts", 0), ("ends", count as i64), ("axes", axis as i64)];
    let [starts, ends, axes] = lists.map(|(name, value)| context.emitter.integers(name, &[value]));
    context.add_node(node("Slice", &[x, &starts, &ends, &axes]))
}

/// The matrix of a transform, row by row. Complex numbers are two rows or columns, the real part
/// first.
struct Transform {
    matrix: Vec<f32>,
    columns: usize,
}

/// Cosine and sine of `index` parts of a circle in `size` parts.
fn angle(index: usize, size: usize) -> (f64, f64) {
    let turn = TAU * (index % size) as f64 / size as f64;
    (turn.cos(), turn.sin())
}

impl Transform {
    /// Of `own` real numbers, filled up with zeros or cut off to `size`.
    fn real(own: usize, size: usize) -> Transform {
        let bins = size / 2 + 1;
        let mut matrix = Vec::with_capacity(own.min(size) * bins * 2);
        for row in 0..own.min(size) {
            for bin in 0..bins {
                let (cosine, sine) = angle(row * bin, size);
                matrix.extend([cosine as f32, -sine as f32]);
            }
        }
        Transform { matrix, columns: 2 * bins }
    }

    /// Of as many of `own` bins as `size` real numbers have. All but the first and the middle one
    /// stand for two.
    fn inverse_real(own: usize, size: usize) -> Transform {
        let bins = (size / 2 + 1).min(own);
        let mut matrix = Vec::with_capacity(2 * bins * size);
        for bin in 0..bins {
            let once = bin == 0 || 2 * bin == size;
            let factor = if once { 1.0 } else { 2.0 } / size as f64;
            let row = |f: &dyn Fn((f64, f64)) -> f64| -> Vec<f32> {
                (0..size).map(|at| (factor * f(angle(at * bin, size))) as f32).collect()
            };
            matrix.extend(row(&|(cosine, _)| cosine));
            matrix.extend(row(&|(_, sine)| if once { 0.0 } else { -sine }));
        }
        Transform { matrix, columns: size }
    }

    fn complex(size: usize, inverse: bool) -> Transform {
        let mut matrix = Vec::with_capacity(4 * size * size);
        let (sign, factor) = if inverse { (1.0, 1.0 / size as f64) } else { (-1.0, 1.0) };
        for row in 0..size {
            let parts: Vec<(f64, f64)> = (0..size)
                .map(|bin| {
                    let (cosine, sine) = angle(row * bin, size);
                    (factor * cosine, factor * sign * sine)
                })
                .collect();
            matrix.extend(parts.iter().flat_map(|&(re, im)| [re as f32, im as f32]));
            matrix.extend(parts.iter().flat_map(|&(re, im)| [-im as f32, re as f32]));
        }
        Transform { matrix, columns: 2 * size }
    }
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let size = |given: &Given<'_>| -> Result<usize, EvaluateError> {
        Ok(usize::try_from(given.integer(1)?).unwrap_or(0))
    };
    Ok(vec![match given.node.op.as_str() {
        "RFFT" => fft::rfft(x, size(given)?)?,
        "IRFFT" => {
            let size = size(given)?;
            // Bins beyond those of the length do not count.
            let bins = size / 2 + 1;
            let own = x.dims().iter().rev().nth(1).copied().unwrap_or(0);
            let x: Array = if own > bins { shape::narrow(x, -2, 0, bins)? } else { x.clone() };
            fft::irfft(&x, size)?
        }
        "IFFT" => fft::fft(x, true)?,
        _ => fft::fft(x, false)?,
    }])
}
