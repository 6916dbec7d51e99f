//! Reshape: zero may mean zero since 14.

use super::{Adapter, adapter};
use crate::AttributeValue;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Reshape", 14, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.take("allowzero").unwrap_or(AttributeValue::Int(0)) == AttributeValue::Int(0) {
        return Ok(());
    }
    // A shape that is computed has a zero only where the tensor is empty.
    match site.node.input(1).and_then(|shape| site.knowledge.integers(shape)) {
        Some(shape) if shape.contains(&0) => refuse("allowzero=1 with a zero in the shape"),
        _ => Ok(()),
    }
}
