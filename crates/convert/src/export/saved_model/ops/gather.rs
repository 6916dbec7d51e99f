//! Elements picked by their places.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::shapes::swapped;
use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::{Cut, Size};
use crate::export::saved_model::value::{Refusal, Tensor, Value, counted};
use crate::export::saved_model::writer::Writer;

/// Input `index` of a node as places along an axis: those that count from the end are counted from
/// the front, as TensorFlow wants them.
pub(super) fn places(
    writer: &mut Writer,
    call: &Call<'_>,
    index: usize,
    axis: usize,
) -> Result<Tensor, Refusal> {
    let places = call.tensor(writer, index)?;
    if call.is_never_negative(index) {
        return Ok(places);
    }
    let size = writer.size(call.value(0)?, axis)?;
    let size = writer.scalar_size(&size, places.element_type)?;
    from_front(writer, &places, &size)
}

/// `places + size` where they are below 0.
pub(super) fn from_front(
    writer: &mut Writer,
    places: &Tensor,
    size: &Tensor,
) -> Result<Tensor, Refusal> {
    let zero = writer.number("zero", 0.0, places.element_type)?;
    let is_negative = writer.compare("Less", places, &zero);
    let counted = writer.binary("AddV2", places, size);
    Ok(writer.select(&is_negative, &counted, places))
}

pub(super) fn gather(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let axis = call.axis("axis", 0)?;
    let places = places(writer, call, 1, axis)?;
    Ok(vec![writer.gather(&x, &places, (axis, 0))?])
}

pub(super) fn elements(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (from, indices) = (call.value(0)?, call.value(1)?);
    let rank = from.rank()?;
    let axis = call.axis("axis", 0)?;
    let mut x = call.tensor(writer, 0)?;
    let mut places = places(writer, call, 1, axis)?;
    x = fitted(writer, (from, x), (indices, &places), axis)?;
    // Along the last axis, all others are a batch.
    let order = swapped(rank, axis);
    x = writer.transpose(&x, &order)?;
    places = writer.transpose(&places, &order)?;
    let found = writer.gather(&x, &places, (rank - 1, rank - 1))?;
    Ok(vec![writer.transpose(&found, &order)?])
}

/// The value cut to the sizes of the indices along all axes but one.
fn fitted(
    writer: &mut Writer,
    (from, x): (&Value, Tensor),
    (indices, places): (&Value, &Tensor),
    axis: usize,
) -> Result<Tensor, Refusal> {
    let (own, wanted) = (from.known_dims()?.to_vec(), indices.known_dims()?.to_vec());
    let is_same = |one: &Dim, two: &Dim| one == two && *one != Dim::Free;
    let mut cuts = Vec::new();
    for (each, (one, two)) in own.iter().zip(&wanted).enumerate() {
        if each != axis && !is_same(one, two) {
            let end = match two {
                Dim::Fixed(size) => Size::Fixed(*size as i64),
                _ => writer.axis_size(places, each)?,
            };
            cuts.push(Cut { axis: each, begin: None, end: Some(end), step: 1 });
        }
    }
    writer.cut(&x, &cuts)
}

/// Places of several axes at once, with their negative ones counted from the front.
fn tuples(writer: &mut Writer, call: &Call<'_>, depth: usize) -> Result<Tensor, Refusal> {
    let places = call.tensor(writer, 1)?;
    if call.is_never_negative(1) {
        return Ok(places);
    }
    let x = call.tensor(writer, 0)?;
    let shape = writer.shape(&x);
    let sizes = writer.part(&shape, 0, depth as i64)?;
    let sizes = writer.cast(&sizes, places.element_type);
    from_front(writer, &places, &sizes)
}

/// How many axes the tuples of places go through.
fn depth(call: &Call<'_>) -> Result<usize, Refusal> {
    let indices = call.value(1)?;
    let last = indices.rank()?.checked_sub(1);
    let last = last.ok_or_else(|| Refusal::new("places without axes", "it is damaged"))?;
    indices.known_size(last, "tuples of places")
}

pub(super) fn nd(writer: &mut Writer, call: &Call<'_>) -> Written {
    if call.int("batch_dims", 0) != 0 {
        return Err(Refusal::new("batch_dims", "gather along one axis, or without a batch"));
    }
    let x = call.tensor(writer, 0)?;
    let places = tuples(writer, call, depth(call)?)?;
    let op = Op::new("GatherNd").input(&x).input(&places).kind("Tparams", x.element_type);
    Ok(vec![writer.add(op.kind("Tindices", places.element_type), x.element_type)])
}

/// The operator that puts updates into places, by the attribute `reduction`.
fn scatter_op(call: &Call<'_>) -> Result<&'static str, Refusal> {
    Ok(match call.text("reduction", "none") {
        "none" => "TensorScatterUpdate",
        "add" => "TensorScatterAdd",
        "max" => "TensorScatterMax",
        "min" => "TensorScatterMin",
        other => {
            let reason = format!("updates by '{other}'");
            return Err(Refusal::new(reason, "use none, add, max or min"));
        }
    })
}

fn scattered(
    writer: &mut Writer,
    op: &str,
    x: &Tensor,
    (places, updates): (&Tensor, &Tensor),
) -> Tensor {
    let op = Op::new(op).input(x).input(places).input(updates).kind("T", x.element_type);
    writer.add(op.kind("Tindices", places.element_type), x.element_type)
}

pub(super) fn scatter_nd(writer: &mut Writer, call: &Call<'_>) -> Written {
    let op = scatter_op(call)?;
    let (x, updates) = (call.tensor(writer, 0)?, call.tensor(writer, 2)?);
    let places = tuples(writer, call, depth(call)?)?;
    Ok(vec![scattered(writer, op, &x, (&places, &updates))])
}

pub(super) fn scatter_elements(writer: &mut Writer, call: &Call<'_>) -> Written {
    let op = scatter_op(call)?;
    let (x, updates) = (call.tensor(writer, 0)?, call.tensor(writer, 2)?);
    let rank = call.value(0)?.rank()?;
    let axis = call.axis("axis", 0)?;
    let places = places(writer, call, 1, axis)?;
    let places = writer.cast(&places, ElementType::Int64);
    // Of each index the whole tuple of places: its own, and its places along the other axes.
    let shape = writer.shape(&places);
    let mut columns = Vec::with_capacity(rank);
    for each in 0..rank {
        let column = if each == axis {
            places.clone()
        } else {
            let size = writer.size(call.value(1)?, each)?;
            let count = writer.count(&size)?;
            let sizes: Vec<i64> = (0..rank).map(|one| if one == each { -1 } else { 1 }).collect();
            let count = writer.reshape(&count, &sizes)?;
            writer.broadcast_to(&count, &shape)
        };
        columns.push(writer.expand_dims(&column, rank)?);
    }
    let tuples = writer.concat(&columns, rank)?;
    Ok(vec![scattered(writer, op, &x, (&tuples, &updates))])
}

/// Where elements are not zero, an axis a row.
pub(super) fn non_zero(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let op = Op::new("Where").input(&x).kind("T", x.element_type);
    let found = writer.add(op, ElementType::Int64);
    Ok(vec![writer.transpose(&found, &[1, 0])?])
}

/// The slices whose condition holds; of all elements in a row where no axis is named.
pub(super) fn compress(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (mut x, condition) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let axis = match call.node.int("axis") {
        Some(axis) => call.value(0)?.axis(axis)?,
        None => {
            x = writer.reshape(&x, &[-1])?;
            0
        }
    };
    let op = Op::new("Where").input(&condition).kind("T", ElementType::Bool);
    let found = writer.add(op, ElementType::Int64);
    let found = writer.reshape(&found, &[-1])?;
    Ok(vec![writer.gather(&x, &found, (axis, 0))?])
}

pub(super) fn one_hot(writer: &mut Writer, call: &Call<'_>) -> Written {
    let indices = call.tensor(writer, 0)?;
    let indices = writer.cast(&indices, ElementType::Int64);
    let rank = call.value(0)?.rank()?;
    let axis = call.int("axis", -1);
    let axis = counted(axis, rank + 1)
        .ok_or_else(|| Refusal::new(format!("axis {axis} of {}", rank + 1), "it is damaged"))?;
    let depth = call.tensor(writer, 1)?;
    let depth = writer.cast(&depth, ElementType::Int64);
    let depth = writer.reshape(&depth, &[])?;
    let indices = match call.is_never_negative(0) {
        true => indices,
        false => from_front(writer, &indices, &depth)?,
    };
    let values = call.tensor(writer, 2)?;
    let (off, on) = (writer.part(&values, 0, 1)?, writer.part(&values, 1, 2)?);
    let (off, on) = (writer.reshape(&off, &[])?, writer.reshape(&on, &[])?);
    let depth = writer.cast(&depth, ElementType::Int32);
    let op = Op::new("OneHot").input(&indices).input(&depth).input(&on).input(&off);
    let op = op.kind("T", values.element_type).kind("TI", ElementType::Int64);
    Ok(vec![writer.add(op.int("axis", axis as i64), values.element_type)])
}
