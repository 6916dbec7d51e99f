//! Split: the sizes became an input with 13; parts may be of uneven size since 18.

use super::{Adapter, adapter, front};
use crate::Node;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Split", 13, Some(up), Some(down)),
    adapter("Split", 18, Some(state_count), Some(state_sizes)),
];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    if let Some(sizes) = site.take_ints("split") {
        let sizes = site.ints("split", &sizes);
        site.set_input(1, sizes);
    }
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if let Some(sizes) = site.node.input(1).map(str::to_owned) {
        match site.knowledge.integers(&sizes) {
            Some(sizes) => site.set("split", &sizes[..]),
            None => return slices(site, &sizes),
        }
    }
    site.keep_inputs(1);
    Ok(())
}

/// Parts whose sizes are computed at run time: each is a slice from where the last one ends.
fn slices(site: &mut Site<'_>, sizes: &str) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let axis = site.ints("axis", &[site.node.int("axis").unwrap_or(0)]);
    let mut start = site.ints("start", &[0]);
    for index in 0..site.node.outputs.len() {
        let at = site.ints("index", &[index as i64]);
        let size = site.add("Gather", &[sizes, &at]);
        let end = site.add("Add", &[&start, &size]);
        let inputs = [input.as_str(), &start, &end, &axis];
        if index + 1 == site.node.outputs.len() {
            site.node.outputs.drain(..index);
            site.replace_by("Slice", &inputs);
            break;
        }
        if let Some(name) = site.node.output(index).map(str::to_owned) {
            let part = site.add("Slice", &inputs);
            site.before.push(Node::new("Identity", &[&part], &[&name]));
        }
        start = end;
    }
    Ok(())
}

fn state_count(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.input(1).is_none() {
        site.keep_inputs(1);
        let count = site.node.outputs.len() as i64;
        site.set("num_outputs", count);
    }
    Ok(())
}

/// Without sizes, parts are even until 17; since 18 the last one may be smaller.
fn state_sizes(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(_) = site.take("num_outputs") else { return Ok(()) };
    let count = site.node.outputs.len();
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    let axis = site.node.int("axis").unwrap_or(0);
    let Some(axis) = front(axis, rank) else {
        return refuse(format!("axis {axis} of {rank} dimensions"));
    };
    let sizes = match site.fixed_dim(&input, axis) {
        Some(size) if count > 0 && size % count == 0 => return Ok(()),
        Some(size) => {
            let each = size.div_ceil(count.max(1));
            let part = |index: usize| each.min(size.saturating_sub(index * each)) as i64;
            let sizes: Vec<i64> = (0..count).map(part).collect();
            site.ints("split", &sizes)
        }
        None => sizes_at_run_time(site, &input, axis, count),
    };
    site.set_input(1, sizes);
    Ok(())
}

/// `ceil(size / count)` for each part but the last, which gets what is left.
fn sizes_at_run_time(site: &mut Site<'_>, input: &str, axis: usize, count: usize) -> String {
    let count = count as i64;
    let shape = site.add("Shape", &[input]);
    let axis = site.ints("axis", &[axis as i64]);
    let size = site.add("Gather", &[&shape, &axis]);
    let more = site.ints("round_up", &[count - 1]);
    let divisor = site.ints("count", &[count]);
    let sum = site.add("Add", &[&size, &more]);
    let each = site.add("Div", &[&sum, &divisor]);
    let repeats = site.ints("repeats", &[count - 1]);
    let firsts = site.add("Tile", &[&each, &repeats]);
    let taken = site.add("Mul", &[&each, &repeats]);
    let last = site.add("Sub", &[&size, &taken]);
    site.add_node(Node::new("Concat", &[&firsts, &last], &[]).with("axis", 0))
}
