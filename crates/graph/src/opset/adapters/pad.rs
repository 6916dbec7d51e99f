//! Pad: what to add became inputs with 11; axes of its own with 18; mode `wrap` with 19.

use super::{Adapter, adapter, front};
use crate::opset::site::{Refusal, Site, refuse};
use crate::{AttributeValue, Node};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Pad", 11, Some(to_inputs), Some(to_attributes)),
    adapter("Pad", 18, None, Some(without_axes)),
    adapter("Pad", 19, None, Some(without_wrap)),
];

fn to_inputs(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(pads) = site.take_ints("pads") else { return refuse("attribute 'pads' is missing") };
    let pads = site.ints("pads", &pads);
    site.set_input(1, pads);
    if let Some(AttributeValue::Float(value)) = site.take("value")
        && value != 0.0
    {
        let input = site.required(0)?;
        let element_type = site.element_type(&input)?;
        let value = site.scalar("value", element_type, value.into())?;
        site.set_input(2, value);
    }
    Ok(())
}

fn to_attributes(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(pads) = site.integers(1)? else { return refuse("the pads are left out") };
    site.set("pads", &pads[..]);
    if let Some(&value) = site.numbers(2)?.as_deref().and_then(<[f64]>::first) {
        site.set("value", value as f32);
    }
    site.keep_inputs(1);
    Ok(())
}

/// Pads of all axes, two for each, from those of the given ones.
fn spread(pads: &[i64], axes: &[i64], rank: usize) -> Option<Vec<i64>> {
    let (begins, ends) = pads.split_at_checked(axes.len())?;
    let mut all = vec![0; 2 * rank];
    for (index, &axis) in axes.iter().enumerate() {
        let axis = front(axis, rank)?;
        all[axis] = *begins.get(index)?;
        all[rank + axis] = *ends.get(index)?;
    }
    Some(all)
}

fn without_axes(site: &mut Site<'_>) -> Result<(), Refusal> {
    let Some(axes) = site.integers(3)? else {
        site.keep_inputs(3);
        return Ok(());
    };
    let Some(pads) = site.integers(1)? else { return refuse("the pads are left out") };
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    let Some(all) = spread(&pads, &axes, rank) else {
        return refuse(format!("pads {pads:?} do not fit axes {axes:?} of {rank} dimensions"));
    };
    let all = site.ints("pads", &all);
    site.set_input(1, all);
    site.keep_inputs(3);
    Ok(())
}

/// Writes what is wrapped around as slices of the other end.
fn without_wrap(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.string("mode") != Some("wrap") {
        return Ok(());
    }
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    let pads = site.integers(1)?.unwrap_or_default();
    let axes = site.integers(3)?.unwrap_or_else(|| (0..rank as i64).collect());
    let Some(pads) = spread(&pads, &axes, rank) else {
        return refuse(format!("pads {pads:?} do not fit {rank} dimensions"));
    };
    let mut value = input.clone();
    for axis in 0..rank {
        let (begin, end) = (pads[axis], pads[rank + axis]);
        if (begin, end) == (0, 0) {
            continue;
        }
        let fits =
            |size: usize| (0..=size as i64).contains(&begin) && (0..=size as i64).contains(&end);
        if !site.fixed_dim(&input, axis).is_some_and(fits) {
            return refuse(format!(
                "mode 'wrap' along axis {axis}, which is shorter than what is wrapped, or not fixed"
            ));
        }
        let mut parts = Vec::new();
        if begin > 0 {
            parts.push(slice(site, &value, axis, (-begin, i64::MAX)));
        }
        parts.push(value.clone());
        if end > 0 {
            parts.push(slice(site, &value, axis, (0, end)));
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        value = site.add_node(Node::new("Concat", &parts, &[]).with("axis", axis as i64));
    }
    site.replace_by("Identity", &[&value]);
    Ok(())
}

fn slice(site: &mut Site<'_>, value: &str, axis: usize, (start, end): (i64, i64)) -> String {
    let start = site.ints("start", &[start]);
    let end = site.ints("end", &[end]);
    let axis = site.ints("axis", &[axis as i64]);
    site.add("Slice", &[value, &start, &end, &axis])
}
