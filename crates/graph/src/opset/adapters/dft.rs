//! DFT: the axis became an input with 20, and is another one where none is given.

use super::{Adapter, adapter};
use crate::AttributeValue;
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("DFT", 20, Some(up), Some(down))];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    let axis = match site.take("axis") {
        Some(AttributeValue::Int(axis)) => axis,
        _ => 1,
    };
    let axis = site.int("axis", axis);
    site.set_input(2, axis);
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let axis = site.integers(2)?.and_then(|axis| axis.first().copied()).unwrap_or(-2);
    site.keep_inputs(2);
    site.set("axis", axis);
    Ok(())
}
