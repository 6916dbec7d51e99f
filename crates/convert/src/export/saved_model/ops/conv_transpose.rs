//! Transposed convolutions: the gradient of a convolution by its input.

use modelyard_graph::{Constant, ElementType};

use super::conv::biased;
use super::image::Image;
use super::window::Window;
use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::constant;
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::Size;
use crate::export::saved_model::value::{Refusal, Tensor, Value};
use crate::export::saved_model::writer::Writer;

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let image = Image::of(writer, call)?;
    let filter = call.value(1)?;
    let sizes = filter.sizes().filter(|sizes| sizes.len() == image.rank);
    let sizes = sizes.ok_or_else(|| {
        Refusal::new("a filter whose shape is not known", "make the filter a constant")
    })?;
    let window = Window::of(call, &sizes[2..])?;
    if call.int("group", 1) != 1 || window.is_dilated() {
        let reason = "a transposed convolution of groups or with gaps";
        return Err(Refusal::new(reason, "use one group and dilations of 1"));
    }
    let extra = call.node.ints("output_padding").unwrap_or_default();
    let mut output = vec![batch(writer, &image)?];
    for axis in 0..window.kernel.len() {
        let extra = extra.get(axis).copied().unwrap_or(0);
        output.push(reached(writer, &image, &window, (axis, extra))?);
    }
    output.push(Size::Fixed(sizes[1] as i64));
    let output = output_sizes(writer, &output)?;
    let filter = filter_tensor(writer, filter, image.rank)?;
    let is_flat = window.kernel.len() == 2;
    let name = if is_flat { "Conv2DBackpropInput" } else { "Conv3DBackpropInputV2" };
    let kind = image.tensor.element_type;
    let op = Op::new(name).input(&output).input(&filter).input(&image.tensor).kind("T", kind);
    let op = op.ints("strides", &window.all_strides()).text("padding", window.padding);
    let op = op.text("data_format", if is_flat { "NHWC" } else { "NDHWC" });
    let op = if is_flat { op } else { op.kind("Tshape", ElementType::Int32) };
    let mut found = writer.add(op, kind);
    if let Some(bias) = call.optional_tensor(writer, 2)? {
        found = biased(writer, &found, &bias);
    }
    Ok(vec![found])
}

fn batch(writer: &mut Writer, image: &Image) -> Result<Size, Refusal> {
    match image.sizes.first().copied().flatten() {
        Some(size) => Ok(Size::Fixed(size as i64)),
        None => writer.axis_size(&image.tensor, 0),
    }
}

/// How far the kernel reaches along an axis.
fn reached(
    writer: &mut Writer,
    image: &Image,
    window: &Window,
    (axis, extra): (usize, i64),
) -> Result<Size, Refusal> {
    let (stride, kernel) = (window.strides[axis], window.kernel[axis] as i64);
    if !(0..stride.max(1)).contains(&extra) {
        let reason = format!("output_padding {extra} with a stride of {stride}");
        return Err(Refusal::new(reason, "use less than the stride"));
    }
    // `size * stride + more`.
    let more = if window.padding == "SAME" { 0 } else { kernel - stride + extra };
    match image.sizes.get(axis + 1).copied().flatten() {
        Some(size) => {
            let whole = i64::try_from(size).ok().and_then(|size| size.checked_mul(stride));
            let whole = whole.and_then(|whole| whole.checked_add(more));
            let reason = || Refusal::new(format!("{size} elements over {stride}"), "use less");
            whole.map(Size::Fixed).ok_or_else(reason)
        }
        None => {
            let Size::Computed(size) = writer.axis_size(&image.tensor, axis + 1)? else {
                return Err(Refusal::new("an image of unknown size", ""));
            };
            let spread = writer.with_number("Mul", &size, stride as f64)?;
            Ok(Size::Computed(writer.with_number("AddV2", &spread, more as f64)?))
        }
    }
}

/// Sizes in 32 bits, which is all that the operator takes.
fn output_sizes(writer: &mut Writer, sizes: &[Size]) -> Result<Tensor, Refusal> {
    let known: Option<Vec<i64>> = sizes
        .iter()
        .map(|size| match size {
            Size::Fixed(size) => Some(*size),
            Size::Computed(_) => None,
        })
        .collect();
    match known {
        Some(sizes) => writer.ints("input_sizes", &sizes),
        None => {
            let list = writer.list("input_sizes", sizes)?;
            Ok(writer.cast(&list, ElementType::Int32))
        }
    }
}

/// `[space..., outputs, inputs]` of `[inputs, outputs, space...]`.
fn filter_tensor(writer: &mut Writer, value: &Value, rank: usize) -> Result<Tensor, Refusal> {
    let order: Vec<usize> = (2..rank).chain([1, 0]).collect();
    match value.constant() {
        Some(filter) => {
            let moved = constant::transposed(filter, &order)?;
            writer.constant(&Constant { name: "filter".into(), ..moved })
        }
        None => {
            let filter = writer.tensor(value)?;
            writer.transpose(&filter, &order)
        }
    }
}
