//! Reductions along axes.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::writer::Writer;

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let rank = call.value(0)?.rank()?;
    let axes = match call.axes(1)? {
        Some(axes) if !axes.is_empty() => axes,
        _ if call.flag("noop_with_empty_axes") => Vec::new(),
        _ => (0..rank).collect(),
    };
    let along = (axes.as_slice(), call.int("keepdims", 1) != 0);
    let is_bool = x.element_type == ElementType::Bool;
    let found = match call.node.op_type.as_str() {
        "ReduceSum" => writer.reduce("Sum", &x, along)?,
        "ReduceMean" => writer.reduce("Mean", &x, along)?,
        "ReduceMax" => writer.reduce(if is_bool { "Any" } else { "Max" }, &x, along)?,
        "ReduceMin" => writer.reduce(if is_bool { "All" } else { "Min" }, &x, along)?,
        "ReduceProd" => writer.reduce("Prod", &x, along)?,
        "ReduceL1" => {
            let sizes = writer.unary("Abs", &x);
            writer.reduce("Sum", &sizes, along)?
        }
        "ReduceSumSquare" => {
            let squares = writer.unary("Square", &x);
            writer.reduce("Sum", &squares, along)?
        }
        "ReduceL2" => {
            let squares = writer.unary("Square", &x);
            let sum = writer.reduce("Sum", &squares, along)?;
            writer.unary("Sqrt", &sum)
        }
        "ReduceLogSum" => {
            let sum = writer.reduce("Sum", &x, along)?;
            writer.unary("Log", &sum)
        }
        // `ReduceLogSumExp`, without powers that are too large.
        _ => {
            let most = writer.reduce("Max", &x, (&axes, true))?;
            let shifted = writer.binary("Sub", &x, &most);
            let powers = writer.unary("Exp", &shifted);
            let sum = writer.reduce("Sum", &powers, along)?;
            let logarithm = writer.unary("Log", &sum);
            let most = if along.1 { most } else { writer.squeeze(&most, &axes) };
            writer.binary("AddV2", &logarithm, &most)
        }
    };
    Ok(vec![found])
}
