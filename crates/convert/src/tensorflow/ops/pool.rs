//! Pooling: the largest or the mean element of windows. Padding is never counted.

use super::layout::Layout;
use super::window::Window;
use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::pool::{Pool, average_pool, max_pool};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let attrs = &call.node.attrs;
    let layout = Layout::of(attrs);
    let (size, strides) = match call.node.op.as_str() {
        "MaxPoolV2" => (
            context.integers(call.input(1)?, "the size of a window")?,
            context.integers(call.input(2)?, "the strides of a window")?,
        ),
        _ => (attrs.ints("ksize"), attrs.ints("strides")),
    };
    let window = window(attrs, layout, (&size, &strides));
    let window = window.map_err(|reason| Refusal::new(reason, "pool over images alone"))?;
    let (x, dims) = layout.channels_first(context, value)?;
    let spatial = dims.get(2..).unwrap_or_default();
    if spatial.len() != window.kernel.len() || spatial.is_empty() {
        return Err(Refusal::new(format!("a window {size:?}"), "the file may be damaged"));
    }
    let is_max = call.node.op.starts_with("Max");
    let op_type = if is_max { "MaxPool" } else { "AveragePool" };
    let found = context.add_node(window.put(node(op_type, &[x]), spatial)?);
    let mut out = dims[..2].to_vec();
    out.extend(spatial.iter().enumerate().map(|(axis, dim)| window.output(axis, dim)));
    Ok(vec![layout.back(context, found, value.element_type, out)])
}

fn window(
    attrs: &Attrs,
    layout: Layout,
    (size, strides): (&[i64], &[i64]),
) -> Result<Window, String> {
    if layout.others(size).iter().any(|&size| size != 1) {
        return Err(format!("a window {size:?} over batches or channels"));
    }
    let kernel: Option<Vec<usize>> = layout
        .spatial(size)
        .iter()
        .map(|&size| usize::try_from(size).ok().filter(|&size| size > 0))
        .collect();
    let kernel = kernel.ok_or_else(|| format!("a window {size:?}"))?;
    Window::with_strides(attrs, layout, kernel, strides)
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let attrs = given.attrs();
    let layout = Layout::of(attrs);
    let (size, strides) = match given.node.op.as_str() {
        "MaxPoolV2" => (given.integers(1)?, given.integers(2)?),
        _ => (attrs.ints("ksize"), attrs.ints("strides")),
    };
    let window = window(attrs, layout, (&size, &strides)).map_err(EvaluateError::new)?;
    let x = layout.array_first(given.input(0)?)?;
    let pads = window.pads_of(x.dims().get(2..).unwrap_or_default())?;
    let pool = Pool {
        size: window.kernel,
        strides: window.strides,
        pads_begin: pads.iter().map(|pad| pad.0).collect(),
        pads_end: pads.iter().map(|pad| pad.1).collect(),
        ..Pool::default()
    };
    let found = match given.node.op.starts_with("Max") {
        true => max_pool(&x, &pool)?,
        false => average_pool(&x, &pool, false)?,
    };
    Ok(vec![layout.array_back(found)?])
}
