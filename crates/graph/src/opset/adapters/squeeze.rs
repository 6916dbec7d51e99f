//! Squeeze and Unsqueeze: axes became an input with 13, and may be negative since 11.

use super::{Adapter, adapter, front};
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Squeeze", 13, Some(up), Some(down)),
    adapter("Unsqueeze", 13, Some(up), Some(down)),
    adapter("Squeeze", 11, None, Some(count_from_front)),
    adapter("Unsqueeze", 11, None, Some(count_from_front)),
];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    if let Some(axes) = site.take_ints("axes") {
        let axes = site.ints("axes", &axes);
        site.set_input(1, axes);
    }
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if let Some(axes) = site.integers(1)? {
        site.set("axes", &axes[..]);
    }
    site.keep_inputs(1);
    Ok(())
}

fn count_from_front(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(axes) = site.node.ints("axes").map(<[i64]>::to_vec) else { return Ok(()) };
    if axes.iter().all(|axis| *axis >= 0) {
        return Ok(());
    }
    let input = site.required(0)?;
    let added = if site.node.op_type == "Unsqueeze" { axes.len() } else { 0 };
    let rank = site.rank(&input)? + added;
    let axes: Option<Vec<i64>> =
        axes.iter().map(|&axis| front(axis, rank).map(|axis| axis as i64)).collect();
    let Some(axes) = axes else { return refuse(format!("axes beyond {rank} dimensions")) };
    site.set("axes", &axes[..]);
    Ok(())
}
