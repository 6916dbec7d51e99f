//! Pooling with windows of a fixed size.

use super::convolution::sizes;
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Scalar, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome};
use crate::pytorch::graph::Size;
use crate::reference::pool::{Pool, average_pool, max_pool, max_pool_with_indices};
use crate::reference::{Array, elementwise, shape};

const MAX: &str = "self kernel_size stride padding dilation ceil_mode";
const AVERAGE: &str =
    "self kernel_size stride padding ceil_mode count_include_pad divisor_override";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.max_pool1d.default", MAX, convert_max, evaluate_max),
    operator("aten.max_pool2d.default", MAX, convert_max, evaluate_max),
    operator("aten.max_pool3d.default", MAX, convert_max, evaluate_max),
    operator("aten.max_pool1d_with_indices.default", MAX, convert_max, evaluate_max),
    operator("aten.max_pool2d_with_indices.default", MAX, convert_max, evaluate_max),
    operator("aten.max_pool3d_with_indices.default", MAX, convert_max, evaluate_max),
    operator("aten.avg_pool1d.default", AVERAGE, convert_average, evaluate_average),
    operator("aten.avg_pool2d.default", AVERAGE, convert_average, evaluate_average),
    operator("aten.avg_pool3d.default", AVERAGE, convert_average, evaluate_average),
];

/// Number of spatial axes: the digit in the operator's name.
pub(super) fn spatial_rank(operator: &str) -> usize {
    let digit = operator.chars().find(char::is_ascii_digit);
    digit.and_then(|digit| digit.to_digit(10)).unwrap_or(2) as usize
}

/// The window of a call.
struct Window {
    kernel: Vec<i64>,
    strides: Vec<i64>,
    pads: Vec<i64>,
    dilations: Vec<i64>,
    ceil: bool,
}

fn window(call: &mut Call<'_, '_>) -> Result<Window, Refusal> {
    let rank = spatial_rank(call.operator());
    let kernel = call.spatial("kernel_size", rank, 1)?;
    let strides = match call.ints_or("stride", &[])?.is_empty() {
        true => kernel.clone(),
        false => call.spatial("stride", rank, 1)?,
    };
    Ok(Window {
        kernel,
        strides,
        pads: call.spatial("padding", rank, 0)?,
        dilations: call.spatial("dilation", rank, 1)?,
        ceil: call.bool_or("ceil_mode", false)?,
    })
}

impl Window {
    /// Positions more than there are when the size is rounded down, for inputs of this size: those
    /// that a size that is rounded up adds. PyTorch leaves one out that would begin in the padding
    /// behind the input.
    fn output(&self, axis: usize, input: i64) -> Option<i64> {
        let (pad, stride) = (*self.pads.get(axis)?, *self.strides.get(axis)?);
        let extent =
            self.dilations.get(axis)?.checked_mul(self.kernel.get(axis)?.checked_sub(1)?)?;
        let room = input.checked_add(pad.checked_mul(2)?)?.checked_sub(extent)?.checked_sub(1)?;
        if stride <= 0 {
            return None;
        }
        let mut output = room.div_euclid(stride) + 1;
        if self.ceil && room.rem_euclid(stride) != 0 {
            output += 1;
            if (output - 1).checked_mul(stride)? >= input.checked_add(pad)? {
                output -= 1;
            }
        }
        Some(output)
    }

    /// Elements from the start of the first window to the end of the last one.
    fn covered(&self, axis: usize, input: i64) -> Option<i64> {
        let others = self.kernel.get(axis)?.checked_sub(1)?;
        let reach = self.dilations.get(axis)?.checked_mul(others)?.checked_add(1)?;
        let last = self.output(axis, input)?.checked_sub(1)?;
        last.checked_mul(*self.strides.get(axis)?)?.checked_add(reach)
    }

    /// Pads behind that give as many positions as PyTorch has, when the size is rounded down.
    fn pads_behind(&self, spatial: &[Size]) -> Option<Vec<i64>> {
        let each = spatial.iter().enumerate().map(|(axis, size)| {
            let input = size.known()?;
            let covered = self.covered(axis, input)?;
            Some(covered.checked_sub(input)?.checked_sub(*self.pads.get(axis)?)?.max(0))
        });
        each.collect()
    }
}

/// The input with a batch, and whether it had one.
fn batched(call: &mut Call<'_, '_>, rank: usize) -> Result<(Tensor, bool), Refusal> {
    let own = call.tensor("self")?;
    if own.rank() != rank + 1 {
        return Ok((own, true));
    }
    let name = call.to.unsqueeze(&own.name, &[0]);
    let mut all = vec![Size::Known(1)];
    all.extend(own.sizes.iter().cloned());
    Ok((Tensor { name, sizes: all, ..own }, false))
}

fn unbatched(call: &mut Call<'_, '_>, name: &str, is_batched: bool) -> String {
    if is_batched { name.to_owned() } else { call.to.squeeze(name, &[0]) }
}

fn convert_max(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let window = window(call)?;
    let rank = spatial_rank(call.operator());
    let (own, is_batched) = batched(call, rank)?;
    let spatial = own.sizes.get(2..).unwrap_or_default().to_vec();
    let behind = match window.ceil {
        true => window.pads_behind(&spatial),
        false => Some(window.pads.clone()),
    };
    let mut pool = node("MaxPool", &[&own.name])
        .with("kernel_shape", window.kernel.as_slice())
        .with("strides", window.strides.as_slice());
    let pads = [window.pads.clone(), behind.clone().unwrap_or(window.pads.clone())].concat();
    pool = pool.with("pads", pads.as_slice());
    if window.dilations.iter().any(|&dilation| dilation != 1) {
        pool = pool.with("dilations", window.dilations.as_slice());
    }
    if behind.is_none() {
        pool = pool.with("ceil_mode", 1i64);
    }
    let wants_indices = call.operator().ends_with("_indices") && call.wants(1);
    if !wants_indices {
        let result = call.to.emit_node(pool);
        let result = unbatched(call, &result, is_batched);
        call.give(0, result);
        return Ok(());
    }
    let results = call.to.emitter.add_many(pool, 2);
    let values = unbatched(call, &results[0], is_batched);
    call.give(0, values);
    // ONNX counts through the whole tensor, PyTorch within each image.
    let extents: Vec<Extent> = (2..own.rank()).map(|axis| call.to.size(&own, axis)).collect();
    let image = call.to.product(&extents);
    let image = call.to.extent_scalar(&image);
    let indices = call.to.emit("Mod", &[&results[1], &image]);
    let indices = unbatched(call, &indices, is_batched);
    call.give(1, indices);
    Ok(())
}

fn evaluated_window(eval: &mut Eval<'_, '_>, own: &Array) -> Result<Pool, EvaluateError> {
    let rank = spatial_rank(eval.operator());
    let kernel = eval.spatial("kernel_size", rank, 1)?;
    let strides = match eval.ints_or("stride", &[])?.is_empty() {
        true => kernel.clone(),
        false => eval.spatial("stride", rank, 1)?,
    };
    let pads = eval.spatial("padding", rank, 0)?;
    let dilations = eval.spatial("dilation", rank, 1)?;
    let window =
        Window { kernel, strides, pads, dilations, ceil: eval.bool_or("ceil_mode", false)? };
    let spatial = &own.dims()[own.rank().saturating_sub(rank)..];
    // How far the last window reaches beyond the input and its padding.
    let mut beyond = Vec::new();
    for (axis, &size) in spatial.iter().enumerate() {
        let size = size as i64;
        let covered = window.covered(axis, size);
        let padded = window.pads.get(axis).and_then(|pad| pad.checked_mul(2)?.checked_add(size));
        let (Some(covered), Some(padded)) = (covered, padded) else {
            return Err(EvaluateError::new("a window without a stride, or beyond all bounds"));
        };
        beyond.push((covered - padded).max(0));
    }
    Ok(Pool {
        size: sizes(&window.kernel)?,
        strides: sizes(&window.strides)?,
        dilations: sizes(&window.dilations)?,
        pads_begin: sizes(&window.pads)?,
        pads_end: sizes(&window.pads)?,
        beyond: sizes(&beyond)?,
    })
}

/// The input of an evaluation with a batch, and whether it had one.
pub(super) fn evaluated_batched(eval: &mut Eval<'_, '_>) -> Result<(Array, bool), EvaluateError> {
    let own = eval.tensor("self")?;
    if own.rank() == spatial_rank(eval.operator()) + 1 {
        return Ok((shape::expand_dims(&own, &[0])?, false));
    }
    Ok((own.as_ref().clone(), true))
}

pub(super) fn evaluated_unbatched(array: Array, is_batched: bool) -> Result<Array, EvaluateError> {
    if is_batched { Ok(array) } else { shape::squeeze(&array, Some(&[0])) }
}

fn evaluate_max(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, is_batched) = evaluated_batched(eval)?;
    let window = evaluated_window(eval, &own)?;
    if !eval.operator().ends_with("_indices") {
        let values = max_pool(&own, &window)?;
        return Ok(vec![evaluated_unbatched(values, is_batched)?.into()]);
    }
    let (values, indices) = max_pool_with_indices(&own, &window)?;
    Ok(vec![
        evaluated_unbatched(values, is_batched)?.into(),
        evaluated_unbatched(indices, is_batched)?.into(),
    ])
}

fn convert_average(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let window = window(call)?;
    let rank = spatial_rank(call.operator());
    let counts_pads = call.bool_or("count_include_pad", true)?;
    let divisor = call.scalar("divisor_override")?;
    let (own, is_batched) = batched(call, rank)?;
    let has_pads = window.pads.iter().any(|&pad| pad != 0);
    let spatial = own.sizes.get(2..).unwrap_or_default().to_vec();
    let behind = match window.ceil {
        true => window.pads_behind(&spatial),
        false => Some(window.pads.clone()),
    };
    let Some(behind) = behind else {
        let way_out = "use ceil_mode=False, or export with a fixed image size";
        return Err(Refusal::new("ceil_mode with averages of images of unknown size", way_out));
    };
    let is_plain = behind == window.pads;
    if let Some(divisor) = divisor {
        let count = window.kernel.iter().fold(1i64, |all, &size| all.saturating_mul(size));
        let result = average(call, &own.name, &window, &behind, true);
        let factor = count as f64 / divisor.as_f64();
        let factor = call.to.float(factor, own.element_type);
        let result = call.to.emit("Mul", &[&result, &factor]);
        let result = unbatched(call, &result, is_batched);
        call.give(0, result);
        return Ok(());
    }
    let result = if is_plain || !counts_pads || !has_pads {
        average(call, &own.name, &window, &behind, counts_pads && is_plain)
    } else {
        // Elements of the padding count, those that rounding up adds do not: the padding becomes
        // part of the image.
        let padded = padded(call, &own, &window, 0.0);
        let beyond: Vec<i64> =
            behind.iter().zip(&window.pads).map(|(behind, pad)| (behind - pad).max(0)).collect();
        let inner = Window { pads: vec![0; rank], ..window };
        average(call, &padded, &inner, &beyond, false)
    };
    let result = unbatched(call, &result, is_batched);
    call.give(0, result);
    Ok(())
}

/// The image with its padding as elements.
fn padded(call: &mut Call<'_, '_>, own: &Tensor, window: &Window, value: f64) -> String {
    let none = [0, 0];
    let pads = [&none[..], &window.pads, &none[..], &window.pads].concat();
    let pads = call.to.ints(&pads);
    let value = call.to.number(Scalar::Float(value), own.element_type);
    call.to.emit("Pad", &[&own.name, &pads, &value])
}

fn average(
    call: &mut Call<'_, '_>,
    name: &str,
    window: &Window,
    behind: &[i64],
    counts_pads: bool,
) -> String {
    let pads = [window.pads.as_slice(), behind].concat();
    let pool = node("AveragePool", &[name])
        .with("kernel_shape", window.kernel.as_slice())
        .with("strides", window.strides.as_slice())
        .with("pads", pads.as_slice());
    call.to.emit_node(pool.with("count_include_pad", i64::from(counts_pads)))
}

fn evaluate_average(eval: &mut Eval<'_, '_>) -> Outcome {
    let (own, is_batched) = evaluated_batched(eval)?;
    let window = evaluated_window(eval, &own)?;
    let counts_pads = eval.bool_or("count_include_pad", true)?;
    let result = if eval.has("divisor_override") {
        let divisor = eval.float_or("divisor_override", 1.0)?;
        let ones = elementwise::map(&own, |_| 1.0)?;
        // Mean times count is the sum.
        let means = average_pool(&own, &window, false)?;
        let counts = crate::reference::pool::lp_pool(&ones, &window, 1.0)?;
        elementwise::map(&elementwise::mul(&means, &counts)?, |sum| sum / divisor)?
    } else {
        average_pool(&own, &window, counts_pads)?
    };
    Ok(vec![evaluated_unbatched(result, is_batched)?.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_but_not_into_the_padding() {
        let window = |kernel: i64, stride: i64, pad: i64| Window {
            kernel: vec![kernel],
            strides: vec![stride],
            pads: vec![pad],
            dilations: vec![1],
            ceil: true,
        };
        assert_eq!(window(3, 2, 0).output(0, 6), Some(3));
        assert_eq!(window(2, 3, 1).output(0, 5), Some(2));
        assert_eq!(window(1, 2, 0).output(0, 4), Some(2));
        assert_eq!(window(3, 2, 0).pads_behind(&[6usize.into()]), Some(vec![1]));
    }
}
