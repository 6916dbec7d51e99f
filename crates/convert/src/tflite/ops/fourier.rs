//! `RFFT2D`: Fourier transform of real images; `COMPLEX_ABS`, `REAL` and `IMAG` of what it gives.
//!
//! ONNX has no complex numbers: two values, for the real and the imaginary part, stand for one. The
//! transform is a product with a matrix of cosines and one of sines.

use std::f64::consts::TAU;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use crate::emitter::node;
use crate::reference::Array;

/// Points of a transform at most: the matrices have as many squared.
const POINTS_MAX: usize = 1 << 13;

/// Height and width of a transform.
fn sizes(lengths: &[i64]) -> Result<[usize; 2], Stop> {
    let sizes = super::fill::shape(lengths)?;
    match sizes.as_slice() {
        &[height, width]
            if (1..=POINTS_MAX).contains(&height.max(width)) && height.min(width) > 0 =>
        {
            Ok([height, width])
        }
        _ => Err(refused(
            format!("a transform of {lengths:?} points"),
            format!("transform at most {POINTS_MAX} points"),
        )),
    }
}

/// Cosines and sines of `-2π row column / points`.
fn waves(rows: usize, columns: usize, points: usize) -> [Vec<f32>; 2] {
    let angle = |index: usize| {
        // Exact for large products too.
        let turns = (index / columns) * (index % columns) % points;
        -TAU * turns as f64 / points as f64
    };
    let of =
        |wave: fn(f64) -> f64| (0..rows * columns).map(|index| wave(angle(index)) as f32).collect();
    [of(f64::cos), of(f64::sin)]
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let input = op.input(0)?;
    let [height, width] = sizes(&cx.required(op, 1, "a number of points")?)?;
    let dims = cx.dims(input).to_vec();
    let [.., Some(rows), Some(columns)] = dims.as_slice() else {
        let way_out = "export the model with a fixed height and width";
        return Err(refused("a transform of an image of unknown size", way_out));
    };
    let x = fitted(cx, input, [*rows, *columns], [height, width])?;
    let half = width / 2 + 1;
    let [cos, sin] = waves(width, half, width);
    let cos = cx.emitter.floats("cosines", &[width, half], &cos);
    let sin = cx.emitter.floats("sines", &[width, half], &sin);
    let mut real = cx.emitter.add(node("MatMul", &[&x, &cos]));
    let mut imaginary = cx.emitter.add(node("MatMul", &[&x, &sin]));
    if height > 1 {
        let [cos, sin] = waves(height, height, height);
        let cos = cx.emitter.floats("cosines", &[height, height], &cos);
        let sin = cx.emitter.floats("sines", &[height, height], &sin);
        let mut product = |a: &str, b: &str| cx.emitter.add(node("MatMul", &[a, b]));
        let (rr, ii) = (product(&cos, &real), product(&sin, &imaginary));
        let (ri, ir) = (product(&cos, &imaginary), product(&sin, &real));
        real = cx.emitter.add(node("Sub", &[rr, ii]));
        imaginary = cx.emitter.add(node("Add", &[ri, ir]));
    }
    cx.scope.complex.insert(op.output(0)?, [real, imaginary]);
    Ok(())
}

/// The image with zeros behind it, or cut off, to the size of the transform.
fn fitted(
    cx: &mut Converter<'_>,
    input: usize,
    from: [usize; 2],
    to: [usize; 2],
) -> Result<String, Stop> {
    let mut x = cx.real(input)?;
    let rank = cx.rank(input);
    for (offset, (&from, &to)) in from.iter().zip(&to).enumerate() {
        let axis = rank - 2 + offset;
        if from > to {
            let [start, end, axes] =
                [0, to as i64, axis as i64].map(|value| cx.emitter.integers("part", &[value]));
            x = cx.emitter.add(node("Slice", &[x, start, end, axes]));
        } else if from < to {
            let mut pads = vec![0i64; 2 * rank];
            pads[rank + axis] = (to - from) as i64;
            let pads = cx.emitter.integers("pads", &pads);
            x = cx.emitter.add(node("Pad", &[x, pads]).with("mode", "constant"));
        }
    }
    Ok(x)
}

pub(super) fn convert_part(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let parts = cx.scope.complex.get(&op.input(0)?).cloned();
    let [real, imaginary] = parts.ok_or_else(|| {
        refused("complex numbers that come from elsewhere", "compute with real numbers")
    })?;
    let y = match op.kind.as_str() {
        "REAL" => real,
        "IMAG" => imaginary,
        _ => {
            let squares =
                [real, imaginary].map(|part| cx.emitter.add(node("Mul", &[&part, &part])));
            let sum = cx.emitter.add(node("Add", &squares));
            cx.emitter.add(node("Sqrt", &[sum]))
        }
    };
    cx.give(op.output(0)?, y)
}

/// Complex numbers have a last axis of two in the evaluator.
pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let [height, width] = sizes(&cx.ints(op.input(1)?)?)?;
    let x = cx.real(op.input(0)?)?;
    let [outer @ .., rows, columns] = x.dims() else { return Err(mismatch("expected an image")) };
    let half = width / 2 + 1;
    let images: usize = outer.iter().product();
    cx.room(&[images, height, half, 2])?;
    cx.room(&[height, width, height.max(width)])?;
    let mut result = Vec::with_capacity(images * height * half * 2);
    for image in x.as_floats()?.chunks((rows * columns).max(1)) {
        let at = |y: usize, x: usize| match y < *rows && x < *columns {
            true => f64::from(image[y * columns + x]),
            false => 0.0,
        };
        // Rows first, then columns of what they give.
        let lines: Vec<Vec<[f64; 2]>> = (0..height)
            .map(|y| {
                let line: Vec<[f64; 2]> = (0..width).map(|x| [at(y, x), 0.0]).collect();
                transformed(&line, half)
            })
            .collect();
        let mut grid = vec![[0.0; 2]; height * half];
        for column in 0..half {
            let line: Vec<[f64; 2]> = lines.iter().map(|line| line[column]).collect();
            for (row, value) in transformed(&line, height).into_iter().enumerate() {
                grid[row * half + column] = value;
            }
        }
        result.extend(grid.into_iter().flatten().map(|value| value as f32));
    }
    let dims = [outer, &[height, half, 2]].concat();
    cx.give(op.output(0)?, Array::floats(&dims, result)?)
}

/// The first `count` frequencies of complex numbers.
fn transformed(line: &[[f64; 2]], count: usize) -> Vec<[f64; 2]> {
    if let [only] = line {
        return vec![*only; count];
    }
    let points = line.len();
    let frequency = |k: usize| {
        let mut sum = [0.0; 2];
        for (index, [re, im]) in line.iter().enumerate() {
            let (sin, cos) = (-TAU * (index * k % points) as f64 / points as f64).sin_cos();
            sum[0] += re * cos - im * sin;
            sum[1] += re * sin + im * cos;
        }
        sum
    };
    (0..count).map(frequency).collect()
}

pub(super) fn evaluate_part(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let x = cx.raw(op.input(0)?)?;
    let Some((&2, dims)) = x.dims().split_last() else {
        return Err(mismatch("expected complex numbers"));
    };
    let part = |&[re, im]: &[f32; 2]| match op.kind.as_str() {
        "REAL" => re,
        "IMAG" => im,
        _ => re.hypot(im),
    };
    let values = x.as_floats()?.as_chunks().0.iter().map(part).collect();
    let result = Array::floats(dims, values)?;
    cx.give_real(op.output(0)?, result)
}
