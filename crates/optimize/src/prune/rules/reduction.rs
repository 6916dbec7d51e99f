//! What adds up, compares or normalizes along axes.

use super::super::site::{Ruled, Site};

/// What makes one number of many.
pub(super) const REDUCTIONS: &[&str] = &[
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
];

/// The axes that go are frozen, the others stay what they are.
pub(super) fn reduce(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let rank = site.rank(x)?;
    let axes = match site.list("axes", 1)? {
        Some(axes) if !axes.is_empty() => {
            axes.iter().map(|&axis| site.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?
        }
        _ if site.node.int("noop_with_empty_axes") == Some(1) => return site.tie_all(x, y),
        _ => (0..rank).collect(),
    };
    collapse(site, (x, y), &axes)
}

/// The position of the largest or smallest.
pub(super) fn arg_extremum(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let axis = site.axis(site.node.int("axis").unwrap_or(0), site.rank(x)?)?;
    collapse(site, (x, y), &[axis])
}

fn collapse(site: &mut Site<'_, '_>, (x, y): (&str, &str), axes: &[usize]) -> Ruled {
    let rank = site.rank(x)?;
    let keeps = site.node.int("keepdims").unwrap_or(1) != 0;
    let expected = if keeps { rank } else { rank - axes.len() };
    if site.rank(y)? != expected {
        return Err(format!("'{y}' has not {expected} dimensions"));
    }
    let reason = format!("{} puts all of it together", site.node);
    let mut given = 0;
    for axis in 0..rank {
        let goes = axes.contains(&axis);
        match goes {
            true => site.space.freeze((x, axis), &reason),
            false => site.space.tie((x, axis), (y, given)),
        }
        given += usize::from(keeps || !goes);
    }
    Ok(())
}

/// Along one axis, or before operator set 13 along all from it on.
pub(super) fn softmax(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let rank = site.rank(x)?;
    let old = site.opset < 13;
    let axis = site.axis(site.node.int("axis").unwrap_or(if old { 1 } else { -1 }), rank)?;
    let last = if old { rank } else { axis + 1 };
    look_along(site, (x, y), axis..last)
}

/// Along one axis.
pub(super) fn along(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let rank = site.rank(x)?;
    let stated = match site.node.op_type.as_str() {
        "CumSum" => site.list("axis", 1)?.and_then(|list| list.first().copied()).unwrap_or(0),
        _ => site.node.int("axis").unwrap_or(-1),
    };
    let axis = site.axis(stated, rank)?;
    look_along(site, (x, y), axis..axis + 1)
}

fn look_along(
    site: &mut Site<'_, '_>,
    (x, y): (&str, &str),
    axes: std::ops::Range<usize>,
) -> Ruled {
    site.tie_all(x, y)?;
    let reason = format!("{} sees all of it at once", site.node);
    axes.for_each(|axis| site.space.freeze((x, axis), &reason));
    Ok(())
}
