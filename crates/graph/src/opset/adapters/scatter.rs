//! Scatter is called ScatterElements since 11.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] =
    &[adapter("Scatter", 11, Some(up), None), adapter("ScatterElements", 11, None, Some(down))];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.node.op_type = "ScatterElements".into();
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    super::negative_axis::down(site)?;
    if let Some(indices) = site.node.input(1)
        && site.knowledge.integers(indices).is_some_and(|list| list.iter().any(|index| *index < 0))
    {
        return refuse("indices count from the end");
    }
    site.node.op_type = "Scatter".into();
    Ok(())
}
