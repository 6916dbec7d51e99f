//! `Conv2D`, `Conv3D` and `DepthwiseConv2dNative`.
//!
//! Filters are `[spatial..., inputs / groups, outputs]`; of depthwise ones `[spatial..., channels,
//! multiplier]`, where output `c * multiplier + m` sees channel `c` alone.

use modelyard_tensor::Dim;

use super::layout::Layout;
use super::window::Window;
use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::convolution::{Convolution, convolve};
use crate::reference::{Array, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val, fixed};
use crate::tensorflow::writing::constant_of;

const NO_FILTER: &str = "give the filter a fixed shape";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (value, filter) = (call.input(0)?, call.input(1)?);
    let layout = Layout::of(&call.node.attrs);
    let filter_dims = filter
        .fixed_dims()
        .filter(|dims| dims.len() > 2)
        .ok_or_else(|| Refusal::new("a filter of unknown shape", NO_FILTER))?;
    let (kernel, [inputs, outputs]) = filter_dims
        .split_last_chunk::<2>()
        .map_or((&[][..], [0, 0]), |(kernel, channels)| (kernel, *channels));
    let refused = |reason: String| Refusal::new(reason, "");
    let window = Window::of(&call.node.attrs, layout, kernel.to_vec()).map_err(refused)?;
    let (x, dims) = layout.channels_first(context, value)?;
    let depthwise = call.node.op == "DepthwiseConv2dNative";
    let channels = match (depthwise, fixed(dims.get(1).unwrap_or(&Dim::Free))) {
        (true, _) => inputs,
        (false, Some(channels)) => channels,
        (false, None) => inputs,
    };
    if inputs == 0 || channels % inputs != 0 {
        return Err(Refusal::new(format!("{inputs} of {channels} channels"), NO_FILTER));
    }
    let (groups, outputs) = if depthwise {
        (inputs, inputs.saturating_mul(outputs))
    } else {
        (channels / inputs, outputs)
    };
    let weight = onnx_filter(context, filter, depthwise)?;
    let spatial = dims.get(2..).unwrap_or_default();
    if spatial.len() != kernel.len() {
        return Err(Refusal::new(format!("a filter of rank {}", filter_dims.len()), NO_FILTER));
    }
    let written = node("Conv", &[x, weight]).with("group", groups as i64);
    let found = context.add_node(window.put(written, spatial)?);
    let mut out = vec![dims[0].clone(), Dim::Fixed(outputs)];
    out.extend(spatial.iter().enumerate().map(|(axis, dim)| window.output(axis, dim)));
    Ok(vec![layout.back(context, found, value.element_type, out)])
}

/// The filter as ONNX has it: `[outputs, inputs / groups, spatial...]`.
fn onnx_filter(
    context: &mut Context<'_>,
    filter: &Val,
    depthwise: bool,
) -> Result<String, Refusal> {
    if let Some(array) = context.array(filter)? {
        let moved = if depthwise { depthwise_filter(&array)? } else { filter_first(&array)? };
        let constant = constant_of("weights", &moved)?;
        return Ok(context.emitter.constant(constant));
    }
    let rank = filter.rank()?;
    let mut name = context.name(filter)?;
    if depthwise {
        let dims = filter.fixed_dims().unwrap_or_default();
        let mut sizes: Vec<i64> = dims.iter().take(rank - 2).map(|&size| size as i64).collect();
        sizes.extend([1, -1]);
        name = context.reshape(&name, &sizes);
    }
    let order: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect();
    Ok(context.transpose(&name, &order))
}

fn filter_first(filter: &Array) -> Result<Array, EvaluateError> {
    let rank = filter.rank();
    let outer = rank.checked_sub(2).ok_or_else(|| EvaluateError::new("the filter is no filter"))?;
    let order: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..outer).collect();
    shape::transpose(filter, &order)
}

/// A depthwise filter as one of as many groups as channels.
fn depthwise_filter(filter: &Array) -> Result<Array, EvaluateError> {
    let Some((kernel, [channels, multiplier])) = filter.dims().split_last_chunk::<2>() else {
        return Err(EvaluateError::new("the filter is no filter"));
    };
    let dims = [kernel, &[1, channels * multiplier]].concat();
    filter_first(&filter.clone().reshaped(&dims)?)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, filter) = (given.input(0)?, given.input(1)?);
    let layout = Layout::of(given.attrs());
    let Some((kernel, &[inputs, _])) = filter.dims().split_last_chunk::<2>() else {
        return Err(EvaluateError::new("the filter is no filter"));
    };
    let window = Window::of(given.attrs(), layout, kernel.to_vec()).map_err(EvaluateError::new)?;
    let x = layout.array_first(x)?;
    let channels = x.dims().get(1).copied().unwrap_or(0);
    let depthwise = given.node.op == "DepthwiseConv2dNative";
    let weights = if depthwise { depthwise_filter(filter)? } else { filter_first(filter)? };
    let pads = window.pads_of(x.dims().get(2..).unwrap_or_default())?;
    let how = Convolution {
        strides: window.strides,
        dilations: window.dilations,
        pads_begin: pads.iter().map(|pad| pad.0).collect(),
        pads_end: pads.iter().map(|pad| pad.1).collect(),
        groups: if depthwise { inputs } else { channels / inputs.max(1) },
    };
    Ok(vec![layout.array_back(convolve(&x, &weights, None, &how)?)?])
}
