//! Pools: the largest or the mean of windows.

use super::image::Image;
use super::window::Window;
use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::value::Refusal;
use crate::export::saved_model::writer::Writer;

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let image = Image::of(writer, call)?;
    let kernel: Option<Vec<usize>> = call
        .node
        .ints("kernel_shape")
        .and_then(|sizes| sizes.iter().map(|&size| usize::try_from(size).ok()).collect());
    let kernel = kernel.filter(|kernel| kernel.len() + 2 == image.rank);
    let kernel = kernel.ok_or_else(|| Refusal::new("a window of other axes", "it is damaged"))?;
    let window = Window::of(call, &kernel)?;
    if window.is_dilated() {
        return Err(Refusal::new("a window with gaps", "use dilations of 1"));
    }
    let is_max = call.node.op_type == "MaxPool";
    let x = &image.tensor;
    let is_flat = kernel.len() == 2;
    let name = match (is_max, is_flat) {
        (true, true) => "MaxPool",
        (true, false) => "MaxPool3D",
        (false, true) => "AvgPool",
        (false, false) => "AvgPool3D",
    };
    let op = Op::new(name).input(x).kind("T", x.element_type);
    let op = op.ints("ksize", &window.all_sizes()).ints("strides", &window.all_strides());
    let op = op.text("padding", window.padding);
    let op = op.text("data_format", if is_flat { "NHWC" } else { "NDHWC" });
    let found = writer.add(op, x.element_type);
    Ok(vec![found])
}
