//! BatchNormalization: statistics for each position until 8 (`spatial`); how it says that it trains
//! changed with 14.

use super::{Adapter, adapter};
use crate::AttributeValue;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("BatchNormalization", 9, Some(always_spatial), None),
    adapter("BatchNormalization", 14, Some(up), Some(down)),
];

/// With `spatial=0` scale, bias and statistics have the shape of one example: plain arithmetic.
fn always_spatial(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.take("spatial") != Some(AttributeValue::Int(0)) {
        return Ok(());
    }
    if site.node.outputs.iter().skip(1).any(|name| !name.is_empty()) {
        return refuse("it trains, with spatial=0");
    }
    let input = site.required(0)?;
    let [scale, bias, mean, variance] =
        [site.required(1)?, site.required(2)?, site.required(3)?, site.required(4)?];
    let epsilon = site.node.float("epsilon").unwrap_or(1e-5);
    let element_type = site.element_type(&input)?;
    let epsilon = site.scalar("epsilon", element_type, epsilon.into())?;
    let centred = site.add("Sub", &[&input, &mean]);
    let safe = site.add("Add", &[&variance, &epsilon]);
    let deviation = site.add("Sqrt", &[&safe]);
    let normal = site.add("Div", &[&centred, &deviation]);
    let scaled = site.add("Mul", &[&normal, &scale]);
    site.node.outputs.truncate(1);
    site.replace_by("Add", &[&scaled, &bias]);
    Ok(())
}

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.outputs.iter().skip(1).any(|name| !name.is_empty()) {
        return refuse("it trains: it has more than one output");
    }
    site.node.outputs.truncate(1);
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.int("training_mode").unwrap_or(0) != 0 {
        return refuse("training_mode is on");
    }
    site.take("training_mode");
    site.node.outputs.truncate(1);
    Ok(())
}
