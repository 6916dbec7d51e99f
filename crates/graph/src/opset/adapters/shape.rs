//! Shape: a part of the shape since 15.

use super::{Adapter, adapter};
use crate::AttributeValue;
use crate::Node;
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Shape", 15, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let start = site.take("start").unwrap_or(AttributeValue::Int(0));
    let end = site.take("end");
    if start == AttributeValue::Int(0) && end.is_none() {
        return Ok(());
    }
    let int =
        |value: AttributeValue| if let AttributeValue::Int(value) = value { value } else { 0 };
    let start = site.ints("start", &[int(start)]);
    let end = site.ints("end", &[end.map_or(i64::MAX, int)]);
    site.pass_output(0, Node::new("Slice", &[&start, &end], &[]));
    Ok(())
}
