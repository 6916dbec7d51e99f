//! Borders around values.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::sizes::{Cut, Size};
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::writer::Writer;

pub(super) fn write(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (value, x) = (call.value(0)?, call.tensor(writer, 0)?);
    let rank = value.rank()?;
    let mode = call.text("mode", "constant").to_owned();
    let axes = match call.optional(3) {
        Some(_) => call.axes(3)?.unwrap_or_default(),
        None => (0..rank).collect(),
    };
    let Some(list) = call.value(1)?.integers() else {
        return computed(writer, call, (&x, rank), &mode);
    };
    if list.len() != 2 * axes.len() {
        return Err(Refusal::new("pads of other axes", "the model may be damaged"));
    }
    let mut pads = vec![(0, 0); rank];
    for (index, &axis) in axes.iter().enumerate() {
        pads[axis] = (list[index], list[index + axes.len()]);
    }
    let x = cropped(writer, &x, &pads)?;
    let pads: Vec<(i64, i64)> =
        pads.iter().map(|&(before, after)| (before.max(0), after.max(0))).collect();
    Ok(vec![match mode.as_str() {
        "constant" => match (call.optional(2), call.number(2, 0.0)) {
            (_, Ok(0.0)) if call.is_only_for("Conv") => {
                let paddings = writer.paddings(&pads)?;
                writer.pad_zeros(&x, &paddings)
            }
            (_, Ok(number)) => writer.pad(&x, &pads, number)?,
            (_, Err(_)) => {
                let number = call.tensor(writer, 2)?;
                let number = writer.reshape(&number, &[])?;
                let paddings = writer.paddings(&pads)?;
                writer.pad_with(&x, &paddings, &number)
            }
        },
        "reflect" => {
            let paddings = writer.paddings(&pads)?;
            let op = Op::new("MirrorPad").input(&x).input(&paddings).kind("T", x.element_type);
            let op = op.kind("Tpaddings", ElementType::Int64).text("mode", "REFLECT");
            writer.add(op, x.element_type)
        }
        "edge" => edges(writer, x, &pads)?,
        other => {
            let reason = format!("borders of mode '{other}'");
            return Err(Refusal::new(reason, "use constant, reflect or edge"));
        }
    }])
}

/// Pads that are computed: of all axes, none below 0.
fn computed(
    writer: &mut Writer,
    call: &Call<'_>,
    (x, rank): (&Tensor, usize),
    mode: &str,
) -> Written {
    if call.optional(3).is_some() || mode != "constant" {
        let reason = "pads that are computed, of some axes or with mirrored borders";
        return Err(Refusal::new(reason, "make the pads constant"));
    }
    let list = call.tensor(writer, 1)?;
    let two = writer.reshape(&list, &[2, rank as i64])?;
    let table = writer.transpose(&two, &[1, 0])?;
    let number = match call.optional_tensor(writer, 2)? {
        Some(number) => writer.reshape(&number, &[])?,
        None => writer.number("constant_values", 0.0, x.element_type)?,
    };
    Ok(vec![writer.pad_with(x, &table, &number)])
}

/// Pads below 0 cut off.
fn cropped(writer: &mut Writer, x: &Tensor, pads: &[(i64, i64)]) -> Result<Tensor, Refusal> {
    let cut = |(axis, &(before, after)): (usize, &(i64, i64))| {
        let begin = (before < 0).then_some(Size::Fixed(before.saturating_neg()));
        let end = (after < 0).then_some(Size::Fixed(after));
        (begin.is_some() || end.is_some()).then_some(Cut { axis, begin, end, step: 1 })
    };
    let cuts: Vec<Cut> = pads.iter().enumerate().filter_map(cut).collect();
    writer.cut(x, &cuts)
}

/// The elements at the edges, repeated.
fn edges(writer: &mut Writer, mut x: Tensor, pads: &[(i64, i64)]) -> Result<Tensor, Refusal> {
    for (axis, &(before, after)) in pads.iter().enumerate() {
        let mut parts = Vec::new();
        if before > 0 {
            let first = Cut { axis, begin: None, end: Some(Size::Fixed(1)), step: 1 };
            let edge = writer.cut(&x, &[first])?;
            parts.push(repeated(writer, &edge, (axis, pads.len()), before)?);
        }
        parts.push(x.clone());
        if after > 0 {
            let last = Cut { axis, begin: Some(Size::Fixed(-1)), end: None, step: 1 };
            let edge = writer.cut(&x, &[last])?;
            parts.push(repeated(writer, &edge, (axis, pads.len()), after)?);
        }
        x = writer.concat(&parts, axis)?;
    }
    Ok(x)
}

fn repeated(
    writer: &mut Writer,
    x: &Tensor,
    (axis, rank): (usize, usize),
    times: i64,
) -> Result<Tensor, Refusal> {
    let multiples: Vec<i64> = (0..rank).map(|each| if each == axis { times } else { 1 }).collect();
    let multiples = writer.longs("multiples", &multiples)?;
    Ok(super::repeat::tiled(writer, x, &multiples))
}
