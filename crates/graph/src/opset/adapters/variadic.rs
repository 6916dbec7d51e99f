//! Max, Min, Sum, Mean stretch their inputs to one shape since 8.

use super::{Adapter, adapter};
use crate::ElementType;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Max", 8, None, Some(down)),
    adapter("Min", 8, None, Some(down)),
    adapter("Sum", 8, None, Some(down)),
    adapter("Mean", 8, None, Some(down)),
    adapter("Max", 12, None, Some(floats_only)),
    adapter("Min", 12, None, Some(floats_only)),
];

/// Max and Min take integers since 12.
fn floats_only(site: &mut Site<'_>) -> Result<(), Refusal> {
    let inputs = site.node.inputs.clone();
    let Some((first, rest)) = inputs.split_first() else { return refuse("it has no inputs") };
    let floats = [ElementType::Float16, ElementType::Float32, ElementType::Float64];
    if floats.contains(&site.element_type(first)?) {
        return Ok(());
    }
    let compare = if site.node.op_type == "Max" { "Greater" } else { "Less" };
    let mut best = first.clone();
    for input in rest {
        let better = site.add(compare, &[&best, input]);
        best = site.add("Where", &[&better, &best, input]);
    }
    site.replace_by("Identity", &[&best]);
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let inputs = site.node.inputs.clone();
    let dims: Vec<_> = inputs.iter().map(|name| site.knowledge.dims(name)).collect();
    let same = dims.windows(2).all(|two| two[0] == two[1]);
    if same && dims.iter().flatten().flatten().all(|dim| *dim != modelyard_tensor::Dim::Free) {
        return Ok(());
    }
    if !matches!(site.node.op_type.as_str(), "Sum" | "Mean") {
        return refuse("inputs of different shapes");
    }
    let (Some(first), rest) = (inputs.first(), inputs.get(1..).unwrap_or_default()) else {
        return refuse("it has no inputs");
    };
    let mut sum = first.clone();
    for input in rest {
        sum = site.add("Add", &[&sum, input]);
    }
    if site.node.op_type == "Sum" {
        site.replace_by("Identity", &[&sum]);
    } else {
        let element_type = site.element_type(first)?;
        let count = site.scalar("count", element_type, inputs.len() as f64)?;
        site.replace_by("Div", &[&sum, &count]);
    }
    Ok(())
}
