//! GreaterOrEqual and LessOrEqual came with 12.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("GreaterOrEqual", 12, None, Some(down)),
    adapter("LessOrEqual", 12, None, Some(down)),
];

/// NaN is neither, so "not less" would be wrong.
fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let (one, two) = (site.required(0)?, site.required(1)?);
    let strict = if site.node.op_type == "LessOrEqual" { "Less" } else { "Greater" };
    let strict = site.add(strict, &[&one, &two]);
    let equal = site.add("Equal", &[&one, &two]);
    site.replace_by("Or", &[&strict, &equal]);
    Ok(())
}
