//! `where`: one or the other, by a condition that is not 0.

use modelyard_graph::ElementType;

use super::{Operator, Problem, at, info};
use crate::reference::{elementwise, shape};

pub(super) const OPERATOR: Operator = Operator {
    names: &["where", "_npi_where"],
    infer: |_, inputs| {
        let (condition, one, two) = (info(inputs, 0)?, info(inputs, 1)?, info(inputs, 2)?);
        // A list of conditions chooses rows.
        let rows = condition.rank() == 1 && condition.dims.first() == one.dims.first();
        if one != two || !(condition.dims == one.dims || rows) {
            let (condition, one, two) = (&condition.dims, &one.dims, &two.dims);
            let message = format!("shapes {condition:?}, {one:?} and {two:?}");
            return Err(Problem::shape(message));
        }
        Ok(vec![one.clone()])
    },
    convert: |site| {
        let (kind, rank, other) = (site.kind()?, site.rank()?, site.known(1)?.rank());
        let (mut condition, one, two) = (site.input(0)?, site.input(1)?, site.input(2)?);
        condition = site.cast_from(&condition, kind, ElementType::Bool);
        if rank < other {
            let axes: Vec<i64> = (1..other as i64).collect();
            condition = site.unsqueeze(&condition, &axes);
        }
        Ok(vec![site.op("Where", &[&condition, &one, &two])])
    },
    evaluate: |_, inputs| {
        let (condition, one, two) = (at(inputs, 0)?, at(inputs, 1)?, at(inputs, 2)?);
        let mut truth = elementwise::test(condition, |value| value != 0.0)?;
        if truth.rank() < one.rank() {
            let axes: Vec<i64> = (1..one.rank() as i64).collect();
            truth = shape::expand_dims(&truth, &axes)?;
        }
        Ok(vec![elementwise::select(&truth, one, two)?])
    },
};
