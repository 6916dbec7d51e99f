//! `Conv2DBackpropInput` and `Conv3DBackpropInputV2`, which layers use as transposed convolutions.
//!
//! The first input is the shape of the result, the second the filter `[spatial..., outputs,
//! inputs]`, the third what is convolved. The padding is that of the convolution whose input has
//! the result's shape.

use modelyard_tensor::Dim;

use super::layout::Layout;
use super::window::Window;
use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::convolution::{Convolution, convolve_transposed};
use crate::reference::{Array, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val, fixed};
use crate::tensorflow::writing::constant_of;

const WAY_OUT: &str = "give the input a fixed size when it is exported";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (filter, value) = (call.input(1)?, call.input(2)?);
    let layout = Layout::of(&call.node.attrs);
    let filter_dims = filter
        .fixed_dims()
        .filter(|dims| dims.len() > 2)
        .ok_or_else(|| Refusal::new("a filter of unknown shape", WAY_OUT))?;
    let (kernel, [outputs, _]) = filter_dims
        .split_last_chunk::<2>()
        .map_or((&[][..], [0, 0]), |(kernel, channels)| (kernel, *channels));
    let refused = |reason: String| Refusal::new(reason, "");
    let window = Window::of(&call.node.attrs, layout, kernel.to_vec()).map_err(refused)?;
    let (x, dims) = layout.channels_first(context, value)?;
    let rank = dims.len();
    if rank != kernel.len() + 2 {
        return Err(Refusal::new(format!("a filter of rank {}", filter_dims.len()), WAY_OUT));
    }
    let wanted = result_sizes(context, call, rank)?;
    let spatial = layout.spatial(&wanted);
    let input = dims.get(2..).unwrap_or_default();
    let plan = match spatial.iter().map(fixed).collect::<Option<Vec<usize>>>() {
        Some(sizes) => Plan::of(&window, input, &sizes)?,
        None => Plan::of_any(&window, &call.node.attrs)?,
    };
    let weight = onnx_filter(context, filter)?;
    let list = |values: &[usize]| values.iter().map(|&value| value as i64).collect::<Vec<i64>>();
    let pads = [list(&plan.before), list(&plan.after)].concat();
    let written = node("ConvTranspose", &[x, weight])
        .with("kernel_shape", list(&window.kernel).as_slice())
        .with("strides", list(&window.strides).as_slice())
        .with("dilations", list(&window.dilations).as_slice())
        .with("pads", pads.as_slice())
        .with("output_padding", list(&plan.extra).as_slice());
    let found = context.add_node(written);
    let mut out = vec![dims[0].clone(), Dim::Fixed(outputs)];
    out.extend(spatial);
    Ok(vec![layout.back(context, found, value.element_type, out)])
}

/// The sizes of the result, one an axis, as far as they are known.
fn result_sizes(context: &Context<'_>, call: &Call<'_>, rank: usize) -> Result<Vec<Dim>, Refusal> {
    let shape = call.input(0)?;
    let sizes = match (context.integers(shape, "the shape of the result"), &shape.sizes) {
        (Ok(sizes), _) => {
            sizes.iter().map(|&size| usize::try_from(size).map_or(Dim::Free, Dim::Fixed)).collect()
        }
        (Err(_), Some(sizes)) => sizes.clone(),
        (Err(refusal), None) => return Err(refusal),
    };
    // TensorFlow 1 also takes the spatial sizes alone.
    match sizes.len() {
        found if found == rank => Ok(sizes),
        found => Err(Refusal::new(format!("a shape of {found} sizes for rank {rank}"), WAY_OUT)),
    }
}

/// What is cut off before and after each axis, and what is added behind.
struct Plan {
    before: Vec<usize>,
    after: Vec<usize>,
    extra: Vec<usize>,
}

impl Plan {
    fn of(window: &Window, input: &[Dim], sizes: &[usize]) -> Result<Plan, Refusal> {
        let pads = window.pads_of(sizes)?;
        let mut plan = Plan { before: Vec::new(), after: Vec::new(), extra: Vec::new() };
        for (axis, &(before, after)) in pads.iter().enumerate() {
            let reach = window.reach(axis);
            let stride = window.strides[axis];
            let extra = match input.get(axis).and_then(fixed) {
                // What the input makes must be what is asked for.
                Some(input) => {
                    let made = input.saturating_sub(1).saturating_mul(stride).saturating_add(reach);
                    sizes[axis].saturating_add(before).saturating_add(after).checked_sub(made)
                }
                // The convolution of the result has its size, cut off.
                None => {
                    let whole = sizes[axis].saturating_add(before).saturating_add(after);
                    Some(whole.saturating_sub(reach) % stride)
                }
            };
            let extra = extra.filter(|&extra| extra < stride.max(window.dilations[axis]));
            let Some(extra) = extra else {
                let message = format!("a result of {} elements", sizes[axis]);
                return Err(Refusal::new(message, WAY_OUT));
            };
            plan.before.push(before);
            plan.after.push(after);
            plan.extra.push(extra);
        }
        Ok(plan)
    }

    /// For results of any size: what `SAME` and `VALID` come to when each element of the input makes
    /// as many of the result as the stride says.
    fn of_any(window: &Window, attrs: &crate::tensorflow::attrs::Attrs) -> Result<Plan, Refusal> {
        let axes = 0..window.kernel.len();
        let reach = |axis: usize| window.reach(axis);
        let zeros = vec![0; window.kernel.len()];
        match attrs.text("padding", "VALID") {
            "SAME" => {
                let total = |axis: usize| reach(axis).saturating_sub(window.strides[axis]);
                let before: Vec<usize> = axes.clone().map(|axis| total(axis) / 2).collect();
                let after = axes.clone().map(|axis| total(axis) - total(axis) / 2).collect();
                let extra = axes.map(|axis| window.strides[axis].saturating_sub(reach(axis)));
                Ok(Plan { before, after, extra: extra.collect() })
            }
            "VALID" => {
                // Layers ask for all that the last element reaches, and no less than its stride.
                let extra = axes.map(|axis| window.strides[axis].saturating_sub(reach(axis)));
                Ok(Plan { before: zeros.clone(), after: zeros, extra: extra.collect() })
            }
            _ => Err(Refusal::new("explicit padding of images of any size", WAY_OUT)),
        }
    }
}

/// The filter as ONNX has it: `[inputs, outputs, spatial...]`.
fn onnx_filter(context: &mut Context<'_>, filter: &Val) -> Result<String, Refusal> {
    if let Some(array) = context.array(filter)? {
        let constant = constant_of("weights", &filter_first(&array)?)?;
        return Ok(context.emitter.constant(constant));
    }
    let rank = filter.rank()?;
    let name = context.name(filter)?;
    let order: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..rank - 2).collect();
    Ok(context.transpose(&name, &order))
}

fn filter_first(filter: &Array) -> Result<Array, EvaluateError> {
    let rank = filter.rank();
    let outer = rank.checked_sub(2).ok_or_else(|| EvaluateError::new("the filter is no filter"))?;
    let order: Vec<usize> = [rank - 1, rank - 2].into_iter().chain(0..outer).collect();
    shape::transpose(filter, &order)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (filter, x) = (given.input(1)?, given.input(2)?);
    let layout = Layout::of(given.attrs());
    let Some((kernel, _)) = filter.dims().split_last_chunk::<2>() else {
        return Err(EvaluateError::new("the filter is no filter"));
    };
    let window = Window::of(given.attrs(), layout, kernel.to_vec()).map_err(EvaluateError::new)?;
    let sizes = layout.spatial(&super::sizes(&given.integers(0)?)?);
    let x = layout.array_first(x)?;
    let pads = window.pads_of(&sizes)?;
    let mut extra = Vec::new();
    for (axis, &(before, after)) in pads.iter().enumerate() {
        let reach = window.reach(axis);
        let input = x.dims().get(axis + 2).copied().unwrap_or(1);
        let made = input.saturating_sub(1).saturating_mul(window.strides[axis]);
        let made = made.saturating_add(reach);
        let whole = sizes[axis].saturating_add(before).saturating_add(after);
        extra.push(whole.checked_sub(made).ok_or_else(|| {
            EvaluateError::new(format!("{input} elements make more than {}", sizes[axis]))
        })?);
    }
    let how = Convolution {
        strides: window.strides,
        dilations: window.dilations,
        pads_begin: pads.iter().map(|pad| pad.0).collect(),
        pads_end: pads.iter().map(|pad| pad.1).collect(),
        groups: 1,
    };
    let found = convolve_transposed(&x, &filter_first(filter)?, None, (&how, &extra))?;
    Ok(vec![layout.array_back(found)?])
}
