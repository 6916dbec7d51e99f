//! Constant: numbers and strings without a tensor around them since 12.

use super::{Adapter, adapter};
use crate::opset::knowledge::value_of;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] =
    &[adapter("Constant", 12, None, Some(down)), adapter("Constant", 11, None, Some(dense))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.tensor("value").is_none()
        && let Some(value) = value_of(&site.node)
    {
        site.node.attributes.clear();
        site.set("value", value);
    }
    Ok(())
}

fn dense(site: &mut Site<'_>) -> Result<(), Refusal> {
    match site.node.tensor("value") {
        Some(_) => Ok(()),
        None => refuse("it is sparse"),
    }
}
