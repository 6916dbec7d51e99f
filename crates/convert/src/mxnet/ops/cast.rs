//! `Cast`, also as mixed precision writes it.

use super::{Info, Operator, Problem, at, info, kind_of};
use crate::reference::elementwise;

pub(super) const OPERATOR: Operator = Operator {
    names: &["Cast", "cast", "amp_cast"],
    infer: |op, inputs| {
        let wanted = kind_of(op.attributes, "dtype")?;
        let kind = wanted.ok_or_else(|| Problem::shape("no attribute 'dtype'"))?;
        Ok(vec![Info { kind, ..info(inputs, 0)?.clone() }])
    },
    convert: |site| {
        let to = site.output(0)?.kind;
        let x = site.input(0)?;
        Ok(vec![site.cast(&x, to)])
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let kind = kind_of(op.attributes, "dtype")?.unwrap_or(x.element_type());
        Ok(vec![elementwise::cast(x, kind)?])
    },
};
