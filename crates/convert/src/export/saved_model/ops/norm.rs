//! Normalizations.

use super::image::Image;
use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::value::Refusal;
use crate::export::saved_model::writer::Writer;

/// By the squares of neighbouring channels.
pub(super) fn local_response(writer: &mut Writer, call: &Call<'_>) -> Written {
    let image = Image::of(writer, call)?;
    let size = call.int("size", 1);
    if size % 2 == 0 || size < 1 {
        let reason = format!("{size} channels, which have no middle");
        return Err(Refusal::new(reason, "use an odd number of channels"));
    }
    let mut x = image.tensor.clone();
    // TensorFlow has it for images of two dimensions of space alone; those do not matter here.
    let shape = writer.shape(&x);
    if image.rank != 4 {
        let channels = image.channels("neighbouring channels")? as i64;
        x = writer.reshape(&x, &[-1, 1, 1, channels])?;
    }
    let op = Op::new("LRN").input(&x).kind("T", x.element_type);
    let op = op.int("depth_radius", (size - 1) / 2).float("bias", call.float("bias", 1.0) as f32);
    // ONNX takes the mean of the squares, TensorFlow their sum.
    let op = op.float("alpha", (call.float("alpha", 1e-4) / size as f64) as f32);
    let op = op.float("beta", call.float("beta", 0.75) as f32);
    let mut found = writer.add(op, x.element_type);
    if image.rank != 4 {
        found = writer.reshape_to(&found, &shape);
    }
    Ok(vec![found])
}
