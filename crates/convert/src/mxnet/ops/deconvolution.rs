//! `Deconvolution`: the transposed convolution.

use super::super::site::Site;
use super::convolution::Window;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, convolution};

pub(super) const OPERATOR: Operator =
    Operator { names: &["Deconvolution"], infer, convert, evaluate };

/// The window for an input of this plane: `target_shape` decides about the pads where it is given.
fn window(op: &Op<'_>, plane: &[usize]) -> Result<(Window, Vec<usize>), Problem> {
    let mut window = Window::of(op)?;
    if window.channels_last {
        return Err(Problem::refused("layout NHWC", "export as NCHW"));
    }
    let rank = window.kernel.len();
    let mut extra = op.attributes.sizes("adj", rank, 0)?;
    let target = op.attributes.sizes("target_shape", rank, 0)?;
    if target.iter().any(|&size| size > 0) {
        for (axis, &target) in target.iter().enumerate() {
            let full = plane[axis].saturating_sub(1).saturating_mul(window.strides[axis]);
            let full = full.saturating_add(window.reach(axis));
            let more = full.checked_sub(target).ok_or_else(|| {
                Problem::shape(format!("a target of {target} above the {full} there are"))
            })?;
            window.pads[axis] = more.div_ceil(2);
            extra[axis] = more % 2;
        }
    }
    Ok((window, extra))
}

/// Whether there is a bias: `no_bias` is true unless said.
fn has_bias(op: &Op<'_>) -> Result<bool, Problem> {
    Ok(!op.attributes.flag_or("no_bias", true)?)
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let (input, weight) = (info(inputs, 0)?, info(inputs, 1)?);
    let rank = Window::of(op)?.kernel.len();
    if input.rank() != rank + 2 || weight.rank() != rank + 2 {
        return Err(Problem::shape(format!("an input of shape {:?}", input.dims)));
    }
    let (window, extra) = window(op, &input.dims[2..])?;
    if weight.dims[0] != input.dims[1]
        || weight.dims[1].checked_mul(window.groups) != Some(window.filters)
    {
        let (weight, found) = (&weight.dims, input.dims[1]);
        return Err(Problem::shape(format!("weights {weight:?} and {found} channels")));
    }
    let mut dims = vec![input.dims[0], window.filters];
    for (axis, extra) in extra.iter().enumerate() {
        let full = input.dims[axis + 2].saturating_sub(1).saturating_mul(window.strides[axis])
            + window.reach(axis)
            + extra;
        let cut = full.checked_sub(2 * window.pads[axis]).filter(|&size| size > 0);
        dims.push(cut.ok_or_else(|| Problem::shape("pads larger than the output"))?);
    }
    Ok(vec![Info { dims, kind: input.kind }])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = Window::of(&site.op)?.kernel.len();
    let has_target = site.op.attributes.sizes("target_shape", rank, 0)?.iter().any(|&it| it > 0);
    let plane = match has_target {
        true => (0..rank).map(|axis| site.size(0, axis + 2)).collect::<Result<Vec<_>, _>>()?,
        false => vec![1; rank],
    };
    let (window, extra) = window(&site.op, &plane)?;
    let mut inputs = vec![site.input(0)?, site.input(1)?];
    if has_bias(&site.op)? {
        inputs.push(site.input(2)?);
    }
    let mut found = node("ConvTranspose", &inputs)
        .with("kernel_shape", Window::ints(&window.kernel).as_slice())
        .with("strides", Window::ints(&window.strides).as_slice())
        .with("dilations", Window::ints(&window.dilations).as_slice())
        .with("pads", window.both_pads().as_slice())
        .with("group", window.groups as i64);
    if extra.iter().any(|&extra| extra > 0) {
        found = found.with("output_padding", Window::ints(&extra).as_slice());
    }
    Ok(vec![site.add(found)])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let (input, weight) = (at(inputs, 0)?, at(inputs, 1)?);
    let plane = input.dims().get(2..).unwrap_or_default();
    if plane.len() != Window::of(op)?.kernel.len() {
        return Err(EvaluateError::new("an input of another rank than the kernel"));
    }
    let (window, extra) = window(op, plane)?;
    let bias = if has_bias(op)? { Some(at(inputs, 2)?) } else { None };
    let how = window.walk();
    Ok(vec![convolution::convolve_transposed(input, weight, bias, (&how, &extra))?])
}
