//! `clip`.

use super::{Op, Operator, Problem, at, same};
use crate::reference::elementwise;

pub(super) const OPERATOR: Operator = Operator {
    names: &["clip"],
    infer: |op, inputs| {
        bounds(op)?;
        same(op, inputs)
    },
    convert: |site| {
        let ((low, high), kind) = (bounds(&site.op)?, site.kind()?);
        let x = site.input(0)?;
        let (low, high) = (site.number("low", kind, low), site.number("high", kind, high));
        Ok(vec![site.op("Clip", &[&x, &low, &high])])
    },
    evaluate: |op, inputs| {
        let (low, high) = bounds(op)?;
        Ok(vec![elementwise::clamp(at(inputs, 0)?, low, high)?])
    },
};

fn bounds(op: &Op<'_>) -> Result<(f64, f64), Problem> {
    let bound = |key, default: f32| op.attributes.float_or(key, default.into());
    let (low, high) = (bound("a_min", f32::MIN)?, bound("a_max", f32::MAX)?);
    match low <= high {
        true => Ok((low, high)),
        false => Err(Problem::shape(format!("bounds {low} and {high}"))),
    }
}
