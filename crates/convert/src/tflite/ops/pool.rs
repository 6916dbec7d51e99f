//! `AVERAGE_POOL_2D`, `MAX_POOL_2D`, `L2_POOL_2D`. Averages are over what lies inside of the image.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::layout::Window;
use super::super::model::Operator;
use super::super::stop::Stop;
use super::super::window::Grid;
use super::conv::window;
use crate::emitter::node;
use crate::reference::Array;

/// Height and width of the window, and how it moves.
fn parameters(op: &Operator) -> Result<([usize; 2], Window), Stop> {
    let kernel = [op.options.size(4, 1)?, op.options.size(3, 1)?];
    Ok((kernel, window(op, [1, 2], None)?))
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (kernel, window) = parameters(op)?;
    let input = op.input(0)?;
    let activation = cx.activation(op, 5)?;
    let sizes = cx.image_sizes(input)?;
    let x = cx.channels_first(input)?;
    let y = match op.kind.as_str() {
        "MAX_POOL_2D" => cx.emitter.add(window.attributes(node("MaxPool", &[x]), kernel, sizes)),
        "AVERAGE_POOL_2D" => {
            cx.emitter.add(window.attributes(node("AveragePool", &[x]), kernel, sizes))
        }
        // The root of the mean of squares.
        _ => {
            let squares = cx.emitter.add(node("Mul", &[&x, &x]));
            let pool = window.attributes(node("AveragePool", &[squares]), kernel, sizes);
            let means = cx.emitter.add(pool);
            cx.emitter.add(node("Sqrt", &[means]))
        }
    };
    let y = cx.activated(&y, activation);
    cx.give_image(op.output(0)?, &y)
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (kernel, window) = parameters(op)?;
    let (input, output) = (op.input(0)?, op.output(0)?);
    let activation = op.activation(5)?;
    let raw = cx.raw(input)?;
    let grid = Grid::new(raw.dims(), kernel, window)?;
    let dims = grid.dims(grid.channels);
    cx.room(&dims)?;
    let Some(quantization) = cx.quantized(output) else {
        let x = cx.real(input)?;
        let values: Vec<f64> = x.as_floats()?.iter().map(|&value| value.into()).collect();
        let values = pooled(&grid, &values, &op.kind);
        let values = values.iter().map(|&value| activation.apply(value as f32)).collect();
        return cx.give_real(output, Array::floats(&dims, values)?);
    };
    // Integers are averaged as they are: both sides have the same scale.
    let values: Vec<f64> = raw.as_ints()?.iter().map(|&value| value as f64).collect();
    let range = quantization.range(activation.range(), raw.element_type())?;
    let step = |&value: &f64| (value.round() as i64).clamp(range.0, range.1);
    let steps = pooled(&grid, &values, &op.kind).iter().map(step).collect();
    cx.give_steps(output, &dims, steps)
}

/// One number of each window and channel.
fn pooled(grid: &Grid, values: &[f64], kind: &str) -> Vec<f64> {
    let channels = grid.channels;
    let start = if kind == "MAX_POOL_2D" { f64::NEG_INFINITY } else { 0.0 };
    let mut result = vec![start; grid.positions() * channels];
    let mut counts = vec![0u32; grid.positions()];
    grid.each(|position, _, at| {
        counts[position] += 1;
        let target = &mut result[position * channels..(position + 1) * channels];
        for (target, &value) in target.iter_mut().zip(&values[at..at + channels]) {
            match kind {
                "MAX_POOL_2D" => *target = target.max(value),
                "L2_POOL_2D" => *target += value * value,
                _ => *target += value,
            }
        }
    });
    if kind != "MAX_POOL_2D" {
        for (position, count) in counts.into_iter().enumerate() {
            for value in &mut result[position * channels..(position + 1) * channels] {
                *value /= f64::from(count.max(1));
                if kind == "L2_POOL_2D" {
                    *value = value.sqrt();
                }
            }
        }
    }
    result
}
