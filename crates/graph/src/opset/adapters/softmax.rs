//! Softmax, LogSoftmax, Hardmax: until 12 over all dimensions from `axis` (1) on together, since 13
//! along `axis` (-1) alone.

use super::{Adapter, adapter, front};
use crate::Node;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Softmax", 13, Some(up), Some(down)),
    adapter("LogSoftmax", 13, Some(up), Some(down)),
    adapter("Hardmax", 13, Some(up), Some(down)),
];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    let axis = site.node.int("axis").unwrap_or(1);
    let input = site.required(0)?;
    site.set("axis", axis);
    if is_alone(site, &input, axis) {
        return Ok(());
    }
    let shape = site.add("Shape", &[&input]);
    let flat = site.add_node(Node::new("Flatten", &[&input], &[]).with("axis", axis));
    site.set_input(0, flat);
    site.set("axis", 1);
    site.pass_output(0, Node::new("Reshape", &[&shape], &[]));
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let axis = site.node.int("axis").unwrap_or(-1);
    let input = site.required(0)?;
    site.set("axis", axis);
    if is_alone(site, &input, axis) {
        return Ok(());
    }
    let rank = site.rank(&input)?;
    let Some(along) = front(axis, rank) else { return refuse(format!("axis {axis} of {rank}")) };
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(along, rank - 1);
    let transpose = |inputs: &[&str]| Node::new("Transpose", inputs, &[]).with("perm", &order[..]);
    let turned = site.add_node(transpose(&[&input]));
    site.set_input(0, turned);
    site.set("axis", -1);
    site.pass_output(0, transpose(&[]));
    Ok(())
}

/// Whether the dimensions from `axis` on are that one and nothing else.
fn is_alone(site: &Site<'_>, input: &str, axis: i64) -> bool {
    if axis == -1 {
        return true;
    }
    let Ok(rank) = site.rank(input) else { return false };
    let Some(axis) = front(axis, rank) else { return false };
    (axis + 1..rank).all(|after| site.fixed_dim(input, after) == Some(1))
}
