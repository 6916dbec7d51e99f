//! TopK: how many became an input with 10; the smallest can be asked for since 11.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site, refuse};
use crate::{AttributeValue, Node};

pub(super) const ADAPTERS: &[Adapter] =
    &[adapter("TopK", 10, Some(up), Some(down)), adapter("TopK", 11, None, Some(largest_only))];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(AttributeValue::Int(count)) = site.take("k") else {
        return refuse("attribute 'k' is missing");
    };
    let count = site.ints("k", &[count]);
    site.set_input(1, count);
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(&count) = site.integers(1)?.as_deref().and_then(<[i64]>::first) else {
        return refuse("how many is left out");
    };
    site.keep_inputs(1);
    site.set("k", count);
    Ok(())
}

/// The smallest are the largest of the negatives. Elements that are always sorted are sorted also
/// where nobody asked for it.
fn largest_only(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.take("sorted");
    if site.take("largest") != Some(AttributeValue::Int(0)) {
        return Ok(());
    }
    let input = site.required(0)?;
    let negative = site.add("Neg", &[&input]);
    site.set_input(0, negative);
    site.pass_output(0, Node::new("Neg", &[], &[]));
    Ok(())
}
