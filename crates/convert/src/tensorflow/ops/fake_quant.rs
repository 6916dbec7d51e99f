//! Quantization as training sees it: numbers are rounded to what integers can say, and back.
//! `FakeQuantWithMinMax...` and `QuantizeAndDequantize...`.

use modelyard_graph::{Constant, ElementType};

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, elementwise};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

/// How one channel is quantized: the real number `scale * (integer - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Grid {
    scale: f32,
    zero: i32,
    low: i32,
    high: i32,
    /// Whether halves are rounded up, instead of to the even integer.
    half_up: bool,
}

impl Grid {
    /// The grid of `FakeQuant`: the range is moved so that 0 is on it.
    fn nudged(min: f32, max: f32, attrs: &Attrs) -> Result<Grid, EvaluateError> {
        let bits = attrs.int("num_bits", 8);
        if !(2..=16).contains(&bits) || min.partial_cmp(&max).is_none_or(|order| order.is_ge()) {
            let message = format!("the range {min} to {max} of {bits} bits is no range");
            return Err(EvaluateError::new(message));
        }
        let low = i32::from(attrs.bool("narrow_range", false));
        let high = (1 << bits) - 1;
        let scale = (max - min) / (high - low) as f32;
        let zero = low as f32 - min / scale;
        let zero = (zero.clamp(low as f32, high as f32) + 0.5).floor() as i32;
        Ok(Grid { scale, zero, low, high, half_up: true })
    }

    /// The grid of `QuantizeAndDequantize`: 0 is 0, and the larger side of the range decides.
    fn symmetric(min: f32, max: f32, attrs: &Attrs, bits: i64) -> Result<Grid, EvaluateError> {
        if !(2..=16).contains(&bits) {
            return Err(EvaluateError::new(format!("{bits} bits are not covered")));
        }
        let (low, high) = match attrs.bool("signed_input", true) {
            true => {
                let high = (1 << (bits - 1)) - 1;
                (-high - i32::from(!attrs.bool("narrow_range", false)), high)
            }
            false => (0, (1 << bits) - 1),
        };
        let side = |bound: i32, range: f32| {
            let factor = bound as f32 / range;
            if bound as f32 * range > 0.0 { factor } else { f32::MAX }
        };
        let factor = side(low, min).min(side(high, max));
        if factor == f32::MAX {
            return Err(EvaluateError::new(format!("the range {min} to {max} holds only 0")));
        }
        let half_up = attrs.text("round_mode", "HALF_TO_EVEN") == "HALF_UP";
        Ok(Grid { scale: factor.recip(), zero: 0, low, high, half_up })
    }

    fn rounded(&self, value: f32) -> f32 {
        let (low, high) = ((self.low - self.zero) as f32, (self.high - self.zero) as f32);
        let steps = (value / self.scale).clamp(low, high);
        let steps = if self.half_up { (steps + 0.5).floor() } else { steps.round_ties_even() };
        steps * self.scale
    }
}

/// The grids of a node: one, or one for each channel of the last axis.
fn grids(attrs: &Attrs, op: &str, ranges: &[Vec<f64>]) -> Result<Vec<Grid>, EvaluateError> {
    if op == "FakeQuantWithMinMaxArgs" {
        return Ok(vec![Grid::nudged(attrs.float("min", -6.0), attrs.float("max", 6.0), attrs)?]);
    }
    let [min, max, ..] = ranges else {
        return Err(EvaluateError::new("the range is missing"));
    };
    let bits = match ranges.get(2).and_then(|bits| bits.first()) {
        Some(&bits) => bits as i64,
        None => attrs.int("num_bits", 8),
    };
    let grid = |(&min, &max): (&f64, &f64)| match op.starts_with("Fake") {
        true => Grid::nudged(min as f32, max as f32, attrs),
        false => Grid::symmetric(min as f32, max as f32, attrs, bits),
    };
    min.iter().zip(max).map(grid).collect()
}

/// Along which axis there is a grid for each element; `None` for one grid.
fn axis(attrs: &Attrs, op: &str, rank: usize) -> Option<usize> {
    match (op, attrs.int("axis", -1)) {
        ("FakeQuantWithMinMaxVarsPerChannel", _) => rank.checked_sub(1),
        (op, axis @ 0..) if op.starts_with("Quantize") => usize::try_from(axis).ok(),
        _ => None,
    }
}

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let (attrs, op) = (&call.node.attrs, call.node.op.as_str());
    if op.starts_with("Quantize") && !attrs.bool("range_given", false) {
        let way_out = "train with a fixed range (FakeQuant)";
        return Err(Refusal::new("quantization by the range of each input", way_out));
    }
    let mut ranges = Vec::new();
    for input in call.inputs.get(1..).unwrap_or_default() {
        let array = context.array(input)?;
        let array = array.ok_or_else(|| Refusal::new("a range that is computed", ""))?;
        ranges.push(array.to_f64s()?);
    }
    let grids = grids(attrs, op, &ranges)?;
    let Some(first) = grids.first().copied() else {
        return Err(Refusal::new("no range", "the file may be damaged"));
    };
    let axis = axis(attrs, op, value.rank()?);
    let x = context.name(value)?;
    let storage = match (first.low, first.high) {
        (0.., ..=255) => Some(ElementType::Uint8),
        (-128.., ..=127) => Some(ElementType::Int8),
        _ => None,
    };
    let found = match storage {
        Some(storage) => quantized(context, &x, &grids, axis, storage)?,
        None if axis.is_none() => computed(context, &x, first)?,
        None => {
            let message = "more than 8 bits for each channel";
            return Err(Refusal::new(message, "quantize with 8 bits"));
        }
    };
    Ok(vec![context.value(found, value.element_type, value.dims.clone())])
}

/// As a pair of `QuantizeLinear` and `DequantizeLinear`.
fn quantized(
    context: &mut Context<'_>,
    x: &str,
    grids: &[Grid],
    axis: Option<usize>,
    storage: ElementType,
) -> Result<String, Refusal> {
    let dims = axis.map(|_| grids.len());
    let dims = dims.as_slice();
    let scales: Vec<f32> = grids.iter().map(|grid| grid.scale).collect();
    let scale = context.emitter.floats("scale", dims, &scales);
    let zeros: Vec<u8> = grids.iter().map(|grid| grid.zero as u8).collect();
    let zero = context.emitter.constant(Constant::raw("zero_point", storage, dims, zeros));
    let mut x = x.to_owned();
    // Integers that are left out (a narrow range) are not what saturation ends at.
    let least = if storage == ElementType::Uint8 { 0 } else { -128 };
    let most = if storage == ElementType::Uint8 { 255 } else { 127 };
    if grids.iter().any(|grid| grid.low != least || grid.high != most) {
        let bound = |f: fn(&Grid) -> i32| -> Vec<f32> {
            grids.iter().map(|grid| (f(grid) - grid.zero) as f32 * grid.scale).collect()
        };
        let low = context.emitter.floats("low", dims, &bound(|grid| grid.low));
        let high = context.emitter.floats("high", dims, &bound(|grid| grid.high));
        x = context.add("Max", &[x, low]);
        x = context.add("Min", &[x, high]);
    }
    let with_axis = |node: modelyard_graph::Node| match axis {
        Some(axis) => node.with("axis", axis as i64),
        None => node,
    };
    let integers = node("QuantizeLinear", &[x.as_str(), &scale, &zero]);
    let integers = context.add_node(with_axis(integers));
    let numbers = node("DequantizeLinear", &[integers, scale, zero]);
    Ok(context.add_node(with_axis(numbers)))
}

/// In floats, where no usual integer has that many bits.
fn computed(context: &mut Context<'_>, x: &str, grid: Grid) -> Result<String, Refusal> {
    let scale = context.emitter.scalar("scale", grid.scale);
    let low = context.emitter.scalar("low", (grid.low - grid.zero) as f32);
    let high = context.emitter.scalar("high", (grid.high - grid.zero) as f32);
    let steps = context.add("Div", &[x, &scale]);
    let steps = context.add("Clip", &[steps, low, high]);
    let steps = context.add("Round", &[steps]);
    Ok(context.add("Mul", &[steps, scale]))
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (attrs, op) = (given.attrs(), given.node.op.as_str());
    if op.starts_with("Quantize") && !attrs.bool("range_given", false) {
        return Err(EvaluateError::new("quantization by the range of each input is not covered"));
    }
    let x = given.input(0)?;
    let ranges: Result<Vec<Vec<f64>>, EvaluateError> =
        given.inputs.iter().skip(1).map(|array| array.to_f64s()).collect();
    let grids = grids(attrs, op, &ranges?)?;
    match axis(attrs, op, x.rank()) {
        None => {
            let grid = *grids.first().ok_or_else(|| EvaluateError::new("no range"))?;
            Ok(vec![elementwise::map_floats(x, |value| grid.rounded(value))?])
        }
        Some(axis) => {
            let size = x.dims().get(axis).copied().unwrap_or(0);
            if size != grids.len() {
                return Err(EvaluateError::new("there is not one range for each channel"));
            }
            let inner: usize = x.dims().iter().skip(axis + 1).product();
            let value =
                |(at, &value): (usize, &f32)| grids[at / inner.max(1) % size].rounded(value);
            let values = x.as_floats()?.iter().enumerate().map(value).collect();
            Ok(vec![Array::floats(x.dims(), values)?])
        }
    }
}
