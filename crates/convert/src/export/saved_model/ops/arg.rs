//! Places of the largest and smallest: `ArgMax`, `ArgMin`, `TopK`.

use modelyard_graph::ElementType;

use super::shapes::swapped;
use crate::export::saved_model::call::{Call, Written, is_float};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::Size;
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

/// The places of the first of the largest or smallest along an axis.
pub(super) fn place_of(
    writer: &mut Writer,
    op: &str,
    x: &Tensor,
    axis: usize,
) -> Result<Tensor, Refusal> {
    let axis = writer.int("dimension", axis as i64)?;
    let op = Op::new(op).input(x).input(&axis).kind("T", x.element_type);
    let op = op.kind("Tidx", ElementType::Int32).kind("output_type", ElementType::Int64);
    Ok(writer.add(op, ElementType::Int64))
}

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let mut x = call.tensor(writer, 0)?;
    let axis = call.axis("axis", 0)?;
    let is_last = call.flag("select_last_index");
    if is_last {
        x = reversed(writer, &x, axis)?;
    }
    let mut found = place_of(writer, &call.node.op_type, &x, axis)?;
    if is_last {
        // Counted from the other end.
        let size = writer.size(call.value(0)?, axis)?;
        let size = writer.scalar_size(&size, ElementType::Int64)?;
        let last = writer.with_number("Sub", &size, 1.0)?;
        found = writer.binary("Sub", &last, &found);
    }
    if call.int("keepdims", 1) != 0 {
        found = writer.expand_dims(&found, axis)?;
    }
    Ok(vec![found])
}

fn reversed(writer: &mut Writer, x: &Tensor, axis: usize) -> Result<Tensor, Refusal> {
    let axes = writer.ints("axis", &[axis as i64])?;
    let op = Op::new("ReverseV2").input(x).input(&axes).kind("T", x.element_type);
    Ok(writer.add(op.kind("Tidx", ElementType::Int32), x.element_type))
}

pub(super) fn top_k(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (value, x) = (call.value(0)?, call.tensor(writer, 0)?);
    let axis = call.axis("axis", -1)?;
    let order = swapped(value.rank()?, axis);
    let is_largest = call.int("largest", 1) != 0;
    let mut sorted = writer.transpose(&x, &order)?;
    if !is_largest {
        sorted = turned(writer, &sorted)?;
    }
    let size = match call.value(1)?.integers().as_deref() {
        Some([size]) => Size::Fixed(*size),
        _ => Size::Computed(call.tensor(writer, 1)?),
    };
    let count = writer.scalar_size(&size, ElementType::Int32)?;
    let op = Op::new("TopKV2").input(&sorted).input(&count).kind("T", x.element_type);
    let op = op.bool("sorted", true);
    let mut found = writer.add_many(op, &[x.element_type, ElementType::Int32]).into_iter();
    let (Some(mut most), Some(places)) = (found.next(), found.next()) else {
        return Err(Refusal::new("TopK", ""));
    };
    if !is_largest {
        most = turned(writer, &most)?;
    }
    let places = writer.cast(&places, ElementType::Int64);
    Ok(vec![writer.transpose(&most, &order)?, writer.transpose(&places, &order)?])
}

/// The same in the other order: the largest becomes the smallest. Twice is nothing.
fn turned(writer: &mut Writer, x: &Tensor) -> Result<Tensor, Refusal> {
    if is_float(x.element_type) {
        return Ok(writer.unary("Neg", x));
    }
    // Of integers, all bits turned: the smallest has no negative.
    let most = if is_unsigned(x.element_type) { unsigned_most(x.element_type) } else { -1.0 };
    let most = writer.number("most", most, x.element_type)?;
    Ok(writer.binary("Sub", &most, x))
}

fn is_unsigned(kind: ElementType) -> bool {
    use ElementType::{Uint8, Uint16, Uint32, Uint64};
    matches!(kind, Uint8 | Uint16 | Uint32 | Uint64)
}

fn unsigned_most(kind: ElementType) -> f64 {
    match kind {
        ElementType::Uint8 => u8::MAX.into(),
        ElementType::Uint16 => u16::MAX.into(),
        ElementType::Uint32 => u32::MAX.into(),
        _ => u64::MAX as f64,
    }
}
