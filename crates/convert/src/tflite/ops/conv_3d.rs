//! `CONV_3D`: filters `[depth, height, width, in, out]`; `CONV_3D_TRANSPOSE`: filters
//! `[depth, height, width, out, in]`, the first input says the shape of the output.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::schema::Padding;
use super::super::stop::{Stop, mismatch, refused};
use super::conv::filters;
use crate::emitter::node;
use crate::reference::convolution::{Convolution, convolve, convolve_transposed};
use crate::reference::elementwise::map;
use crate::reference::shape::transpose;

const TO_FIRST: [usize; 5] = [0, 4, 1, 2, 3];
const TO_LAST: [usize; 5] = [0, 2, 3, 4, 1];
/// Both kinds of filters as ONNX has them: `[out, in, ...]`, and `[in, out, ...]` of the transposed.
const FILTER: [usize; 5] = [4, 3, 0, 1, 2];

/// How the window moves, by depth, height and width.
struct Window {
    strides: [usize; 3],
    dilations: [usize; 3],
    padding: Padding,
}

fn window(op: &Operator) -> Result<Window, Stop> {
    let size = |field| op.options.size(field, 1);
    Ok(Window {
        strides: [size(1)?, size(3)?, size(2)?],
        dilations: [size(5)?, size(7)?, size(6)?],
        padding: op.options.padding(0)?,
    })
}

impl Window {
    /// What is padded in front of and behind each axis of the larger side, of these sizes.
    fn pads(&self, sizes: &[usize], kernel: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let total = |axis: usize| {
            if self.padding == Padding::Valid {
                return 0;
            }
            let reach = kernel[axis].saturating_sub(1) * self.dilations[axis] + 1;
            let outputs = sizes[axis].div_ceil(self.strides[axis]);
            (outputs.saturating_sub(1) * self.strides[axis] + reach).saturating_sub(sizes[axis])
        };
        let before: Vec<usize> = (0..3).map(|axis| total(axis) / 2).collect();
        let after = (0..3).map(|axis| total(axis) - before[axis]).collect();
        (before, after)
    }
}

/// Three sizes between the first and the last.
fn spatial(dims: &[Option<usize>]) -> Result<Vec<usize>, Stop> {
    let sizes: Option<Vec<usize>> = dims.get(1..4).and_then(|dims| dims.iter().copied().collect());
    sizes
        .filter(|_| dims.len() == 5)
        .ok_or_else(|| refused("a volume of unknown size", "export the model with a fixed size"))
}

fn is_transposed(op: &Operator) -> bool {
    op.kind == "CONV_3D_TRANSPOSE"
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (window, activation) = (window(op)?, cx.activation(op, 4)?);
    let is_transposed = is_transposed(op);
    let (data, bias) = if is_transposed { (2, 3) } else { (0, 2) };
    let (input, filter, output) = (op.input(data)?, op.input(1)?, op.output(0)?);
    let sizes = spatial(cx.dims(input))?;
    let kernel: Vec<usize> = cx.tensor(filter).shape.iter().take(3).copied().collect();
    if kernel.len() != 3 {
        return Err(mismatch("expected filters of 5 dimensions"));
    }
    let larger = if is_transposed { spatial(cx.dims(output))? } else { sizes.clone() };
    let (before, after) = window.pads(&larger, &kernel);
    let x = cx.real(input)?;
    let mut inputs = vec![cx.transpose(&x, &TO_FIRST), filters(cx, filter, &FILTER)?];
    if let Some(bias) = op.optional(bias) {
        inputs.push(cx.real(bias)?);
    }
    let ints = |values: &[usize]| -> Vec<i64> { values.iter().map(|&v| v as i64).collect() };
    let name = if is_transposed { "ConvTranspose" } else { "Conv" };
    let mut conv = node(name, &inputs)
        .with("kernel_shape", ints(&kernel).as_slice())
        .with("strides", ints(&window.strides).as_slice())
        .with("dilations", ints(&window.dilations).as_slice())
        .with("pads", [ints(&before), ints(&after)].concat().as_slice());
    if is_transposed {
        let extra = extra(&window, &sizes, &larger, &kernel);
        conv = conv.with("output_padding", ints(&extra).as_slice());
    }
    let y = cx.emitter.add(conv);
    let y = cx.activated(&y, activation);
    let y = cx.transpose(&y, &TO_LAST);
    cx.give(output, y)
}

/// Elements of the output that the window does not reach.
fn extra(window: &Window, input: &[usize], output: &[usize], kernel: &[usize]) -> Vec<usize> {
    let (before, after) = window.pads(output, kernel);
    let missing = |axis: usize| {
        let reach = kernel[axis].saturating_sub(1) * window.dilations[axis] + 1;
        let full = window.strides[axis] * input[axis].saturating_sub(1) + reach;
        (output[axis] + before[axis] + after[axis]).saturating_sub(full)
    };
    (0..3).map(missing).collect()
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (window, activation) = (window(op)?, op.activation(4)?);
    let is_transposed = is_transposed(op);
    let (data, bias) = if is_transposed { (2, 3) } else { (0, 2) };
    let x = cx.real(op.input(data)?)?;
    let filter = transpose(&*cx.real(op.input(1)?)?, &FILTER)?;
    let bias = match op.optional(bias) {
        Some(bias) => Some(cx.real(bias)?),
        None => None,
    };
    let sizes = x.dims().get(1..4).unwrap_or_default().to_vec();
    let kernel = filter.dims().get(2..).unwrap_or_default().to_vec();
    if sizes.len() != 3 || x.rank() != 5 || kernel.len() != 3 {
        return Err(mismatch("expected a volume and filters of 5 dimensions"));
    }
    let larger = match is_transposed {
        true => super::fill::shape(cx.ints(op.input(0)?)?.get(1..4).unwrap_or_default())?,
        false => sizes.clone(),
    };
    if larger.len() != 3 {
        return Err(mismatch("expected the shape of a volume"));
    }
    let (pads_begin, pads_end) = window.pads(&larger, &kernel);
    let how = Convolution {
        strides: window.strides.to_vec(),
        dilations: window.dilations.to_vec(),
        pads_begin,
        pads_end,
        groups: 1,
    };
    let x = transpose(&x, &TO_FIRST)?;
    let y = match is_transposed {
        true => {
            let extra = extra(&window, &sizes, &larger, &kernel);
            convolve_transposed(&x, &filter, bias.as_deref(), (&how, &extra))?
        }
        false => convolve(&x, &filter, bias.as_deref(), &how)?,
    };
    let y = map(&transpose(&y, &TO_LAST)?, |value| f64::from(activation.apply(value as f32)))?;
    cx.give_real(op.output(0)?, y)
}
