//! `Pad`: more elements around an image.

use super::{Op, Operator, Problem, at, info};
use crate::emitter::node;
use crate::reference::shape::{self, Padding};

pub(super) const OPERATOR: Operator = Operator {
    names: &["Pad", "pad"],
    infer: |op, inputs| {
        let mut found = info(inputs, 0)?.clone();
        let (before, after) = widths(op, found.rank())?;
        padding(op)?;
        let reflects = op.attributes.text("mode") == Some("reflect");
        for (axis, size) in found.dims.iter_mut().enumerate() {
            let (one, two) = (before[axis] as usize, after[axis] as usize);
            if reflects && (one >= *size || two >= *size) && one + two > 0 {
                return Err(Problem::shape(format!("{one} and {two} reflected of {size}")));
            }
            *size = size.saturating_add(one).saturating_add(two);
        }
        found.len()?;
        Ok(vec![found])
    },
    convert: |site| {
        let (before, after) = widths(&site.op, site.rank()?)?;
        let (padding, kind) = (padding(&site.op)?, site.kind()?);
        let (x, pads) = (site.input(0)?, site.ints("pads", &[before, after].concat()));
        let found = match padding {
            Padding::Constant(value) => {
                let value = site.number("value", kind, value);
                node("Pad", &[x, pads, value])
            }
            Padding::Edge => node("Pad", &[x, pads]).with("mode", "edge"),
            _ => node("Pad", &[x, pads]).with("mode", "reflect"),
        };
        Ok(vec![site.add(found)])
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let (before, after) = widths(op, x.rank())?;
        Ok(vec![shape::pad(x, &before, &after, padding(op)?)?])
    },
};

/// Before and after each axis.
fn widths(op: &Op<'_>, rank: usize) -> Result<(Vec<i64>, Vec<i64>), Problem> {
    let widths = op.attributes.sizes("pad_width", 2 * rank, 0)?;
    let widths: Vec<i64> = widths.iter().map(|&width| width as i64).collect();
    let pairs = widths.as_chunks::<2>().0;
    Ok(pairs.iter().map(|[before, after]| (*before, *after)).unzip())
}

fn padding(op: &Op<'_>) -> Result<Padding, Problem> {
    Ok(match op.attributes.text("mode").unwrap_or("constant") {
        "constant" => Padding::Constant(op.attributes.float_or("constant_value", 0.0)?),
        "edge" => Padding::Edge,
        "reflect" => Padding::Reflect,
        other => return Err(Problem::shape(format!("there is no mode '{other}'"))),
    })
}
