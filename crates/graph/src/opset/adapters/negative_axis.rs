//! Operators whose axis may be negative since 11.

use super::{Adapter, adapter, front};
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("ArgMax", 11, None, Some(down)),
    adapter("ArgMin", 11, None, Some(down)),
    adapter("Compress", 11, None, Some(down)),
    adapter("Concat", 11, None, Some(down)),
    adapter("Flatten", 11, None, Some(down)),
    adapter("Hardmax", 11, None, Some(down)),
    adapter("LogSoftmax", 11, None, Some(down)),
    adapter("Softmax", 11, None, Some(down)),
    adapter("Split", 11, None, Some(down)),
];

/// Counts the axis from the front.
pub(super) fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(axis) = site.node.int("axis").filter(|axis| *axis < 0) else { return Ok(()) };
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    match front(axis, rank) {
        Some(axis) => {
            site.set("axis", axis as i64);
            Ok(())
        }
        None => refuse(format!("axis {axis} of {rank} dimensions")),
    }
}
