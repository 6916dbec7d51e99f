//! Reductions: axes became an input with 18 (ReduceSum: 13), and may be negative since 11.

use super::{Adapter, adapter, front};
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("ReduceSum", 13, Some(up), Some(down)),
    adapter("ReduceL1", 18, Some(up), Some(down)),
    adapter("ReduceL2", 18, Some(up), Some(down)),
    adapter("ReduceLogSum", 18, Some(up), Some(down)),
    adapter("ReduceLogSumExp", 18, Some(up), Some(down)),
    adapter("ReduceMax", 18, Some(up), Some(down)),
    adapter("ReduceMean", 18, Some(up), Some(down)),
    adapter("ReduceMin", 18, Some(up), Some(down)),
    adapter("ReduceProd", 18, Some(up), Some(down)),
    adapter("ReduceSumSquare", 18, Some(up), Some(down)),
    adapter("ReduceSum", 11, None, Some(count_from_front)),
    adapter("ReduceL1", 11, None, Some(count_from_front)),
    adapter("ReduceL2", 11, None, Some(count_from_front)),
    adapter("ReduceLogSum", 11, None, Some(count_from_front)),
    adapter("ReduceLogSumExp", 11, None, Some(count_from_front)),
    adapter("ReduceMax", 11, None, Some(count_from_front)),
    adapter("ReduceMean", 11, None, Some(count_from_front)),
    adapter("ReduceMin", 11, None, Some(count_from_front)),
    adapter("ReduceProd", 11, None, Some(count_from_front)),
    adapter("ReduceSumSquare", 11, None, Some(count_from_front)),
];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    if let Some(axes) = site.take_ints("axes").filter(|axes| !axes.is_empty()) {
        let axes = site.ints("axes", &axes);
        site.set_input(1, axes);
    }
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let axes = site.integers(1)?.unwrap_or_default();
    site.keep_inputs(1);
    let nothing_to_do = site.node.int("noop_with_empty_axes").unwrap_or(0) != 0;
    site.take("noop_with_empty_axes");
    if !axes.is_empty() {
        site.set("axes", &axes[..]);
    } else if nothing_to_do {
        single_elements(site)?;
    }
    Ok(())
}

/// What a reduction does to elements that are alone.
fn single_elements(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    match site.node.op_type.as_str() {
        "ReduceL1" | "ReduceL2" => site.replace_by("Abs", &[&input]),
        "ReduceLogSum" => site.replace_by("Log", &[&input]),
        "ReduceSumSquare" => site.replace_by("Mul", &[&input, &input]),
        _ => site.replace_by("Identity", &[&input]),
    }
    Ok(())
}

fn count_from_front(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(axes) = site.node.ints("axes").map(<[i64]>::to_vec) else { return Ok(()) };
    if axes.iter().all(|axis| *axis >= 0) {
        return Ok(());
    }
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    let axes: Option<Vec<i64>> =
        axes.iter().map(|&axis| front(axis, rank).map(|axis| axis as i64)).collect();
    let Some(axes) = axes else { return refuse(format!("axes beyond {rank} dimensions")) };
    site.set("axes", &axes[..]);
    Ok(())
}
