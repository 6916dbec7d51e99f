//! Trilu came with 14.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Trilu", 14, None, Some(down))];

/// Keeps what is where `column - row` is not below (upper) or not above (lower) `k`.
fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let upper = site.node.int("upper").unwrap_or(1) != 0;
    let element_type = site.element_type(&input)?;
    let diagonal = match site.node.input(1) {
        Some(name) => name.to_owned(),
        None => site.int("k", 0),
    };
    let columns = positions(site, &input, -1);
    let rows = positions(site, &input, -2);
    let last = site.ints("last", &[-1]);
    let rows = site.add("Unsqueeze", &[&rows, &last]);
    let distance = site.add("Sub", &[&columns, &rows]);
    let beyond = site.add(if upper { "Less" } else { "Greater" }, &[&distance, &diagonal]);
    let zero = site.scalar("zero", element_type, 0.0)?;
    site.replace_by("Where", &[&beyond, &zero, &input]);
    Ok(())
}

/// 0, 1, 2, ... along an axis.
fn positions(site: &mut Site<'_>, input: &str, axis: i64) -> String {
    let shape = site.add("Shape", &[input]);
    let axis = site.int("axis", axis);
    let size = site.add("Gather", &[&shape, &axis]);
    let (zero, one) = (site.int("start", 0), site.int("step", 1));
    site.add("Range", &[&zero, &size, &one])
}
