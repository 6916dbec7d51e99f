//! Values made of few: repeated, filled, counted, cut to a triangle.

use modelyard_graph::{Constant, ElementType};

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::fixed_sizes;
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

pub(super) fn tiled(writer: &mut Writer, x: &Tensor, multiples: &Tensor) -> Tensor {
    let op = Op::new("Tile").input(x).input(multiples).kind("T", x.element_type);
    writer.add(op.kind("Tmultiples", multiples.element_type), x.element_type)
}

pub(super) fn tile(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, repeats) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    Ok(vec![tiled(writer, &x, &repeats)])
}

pub(super) fn expand(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    if let Some(sizes) = call.output_dims().and_then(fixed_sizes) {
        let shape = writer.longs("shape", &sizes)?;
        return Ok(vec![writer.broadcast_to(&x, &shape)]);
    }
    // Either side may be the larger one along an axis.
    let (own, wanted) = (writer.shape(&x), call.tensor(writer, 1)?);
    let op = Op::new("BroadcastArgs").input(&own).input(&wanted).kind("T", ElementType::Int64);
    let shape = writer.add(op, ElementType::Int64);
    Ok(vec![writer.broadcast_to(&x, &shape)])
}

pub(super) fn constant_of_shape(writer: &mut Writer, call: &Call<'_>) -> Written {
    let zero = Constant::floats("value", &[], &[0.0]);
    let number = call.node.tensor("value").unwrap_or(&zero);
    let number = Constant { name: "value".into(), dims: Vec::new(), ..number.clone() };
    let (shape, number) = (call.tensor(writer, 0)?, writer.constant(&number)?);
    Ok(vec![writer.fill(&shape, &number)])
}

pub(super) fn range(writer: &mut Writer, call: &Call<'_>) -> Written {
    let mut bounds = Vec::with_capacity(3);
    for index in 0..3 {
        let bound = call.tensor(writer, index)?;
        // Some exporters give lists of one.
        let is_list = call.value(index)?.dims.as_ref().is_some_and(|dims| !dims.is_empty());
        bounds.push(if is_list { writer.reshape(&bound, &[])? } else { bound });
    }
    match bounds.as_slice() {
        [start, limit, delta] => Ok(vec![writer.range(start, limit, delta)]),
        _ => Err(Refusal::new("a range without bounds", "the model may be damaged")),
    }
}

/// The upper or lower triangle of matrices.
pub(super) fn triangle(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (value, x) = (call.value(0)?, call.tensor(writer, 0)?);
    let rank = value.rank()?;
    if rank < 2 {
        return Err(Refusal::new("a triangle of a list", "the model may be damaged"));
    }
    let (rows, columns) = (writer.size(value, rank - 2)?, writer.size(value, rank - 1)?);
    let (rows, columns) = (writer.count(&rows)?, writer.count(&columns)?);
    let rows = writer.expand_dims(&rows, 1)?;
    let mut difference = writer.binary("Sub", &columns, &rows);
    if let Some(diagonal) = call.optional_tensor(writer, 1)? {
        let diagonal = writer.reshape(&diagonal, &[])?;
        difference = writer.binary("Sub", &difference, &diagonal);
    }
    let zero = writer.number("zero", 0.0, ElementType::Int64)?;
    let op = if call.int("upper", 1) != 0 { "GreaterEqual" } else { "LessEqual" };
    let is_kept = writer.compare(op, &difference, &zero);
    let zeros = writer.unary("ZerosLike", &x);
    Ok(vec![writer.select(&is_kept, &x, &zeros)])
}

/// Ones on a diagonal of a matrix like the input.
pub(super) fn eye_like(writer: &mut Writer, call: &Call<'_>) -> Written {
    let value = call.value(0)?;
    let kind = call.node.int("dtype").and_then(|code| i32::try_from(code).ok());
    let kind = kind.and_then(ElementType::from_code).unwrap_or(value.element_type);
    let (rows, columns) = (writer.size(value, 0)?, writer.size(value, 1)?);
    let (rows, columns) = (writer.count(&rows)?, writer.count(&columns)?);
    let rows = writer.expand_dims(&rows, 1)?;
    let difference = writer.binary("Sub", &columns, &rows);
    let diagonal = writer.number("k", call.int("k", 0) as f64, ElementType::Int64)?;
    let is_one = writer.compare("Equal", &difference, &diagonal);
    Ok(vec![writer.cast(&is_one, kind)])
}

/// Sums of what comes before, along an axis.
pub(super) fn cumulative_sum(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (value, x) = (call.value(0)?, call.tensor(writer, 0)?);
    let axis = match call.value(1)?.integers().as_deref() {
        Some([axis]) => writer.int("axis", value.axis(*axis)? as i64)?,
        _ => {
            let axis = call.tensor(writer, 1)?;
            writer.reshape(&axis, &[])?
        }
    };
    let op = Op::new("Cumsum").input(&x).input(&axis).kind("T", x.element_type);
    let op = op.kind("Tidx", axis.element_type).bool("exclusive", call.flag("exclusive"));
    Ok(vec![writer.add(op.bool("reverse", call.flag("reverse")), x.element_type)])
}

pub(super) fn reverse_sequence(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, lengths) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let op = Op::new("ReverseSequence").input(&x).input(&lengths).kind("T", x.element_type);
    let op = op.kind("Tlen", lengths.element_type).int("seq_dim", call.int("time_axis", 0));
    Ok(vec![writer.add(op.int("batch_dim", call.int("batch_axis", 1)), x.element_type)])
}
