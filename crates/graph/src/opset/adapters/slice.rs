//! Slice: where to cut became inputs with 10; axes may be negative since 11.

use super::{Adapter, adapter, front};
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Slice", 10, Some(up), Some(down)),
    adapter("Slice", 11, None, Some(count_from_front)),
];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    for (index, name) in [(1, "starts"), (2, "ends"), (3, "axes")] {
        if let Some(values) = site.take_ints(name) {
            let values = site.ints(name, &values);
            site.set_input(index, values);
        }
    }
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.integers(4)?.is_some_and(|steps| steps.iter().any(|step| *step != 1)) {
        return refuse("steps other than 1");
    }
    for (index, name) in [(1, "starts"), (2, "ends"), (3, "axes")] {
        if let Some(values) = site.integers(index)? {
            site.set(name, &values[..]);
        }
    }
    site.keep_inputs(1);
    Ok(())
}

fn count_from_front(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(name) = site.node.input(3) else { return Ok(()) };
    let Some(axes) = site.knowledge.integers(name) else { return Ok(()) };
    if axes.iter().all(|axis| *axis >= 0) {
        return Ok(());
    }
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    let axes: Option<Vec<i64>> =
        axes.iter().map(|&axis| front(axis, rank).map(|axis| axis as i64)).collect();
    let Some(axes) = axes else { return refuse(format!("axes beyond {rank} dimensions")) };
    // All of the indices have one type.
    for (index, name) in [(1, "starts"), (2, "ends"), (4, "steps")] {
        if site.node.input(index).is_some() {
            let Some(values) = site.integers(index)? else { continue };
            let values = site.ints(name, &values);
            site.set_input(index, values);
        }
    }
    let axes = site.ints("axes", &axes);
    site.set_input(3, axes);
    Ok(())
}
