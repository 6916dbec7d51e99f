//! Clip: the bounds became inputs with 11.

use super::{Adapter, adapter};
use crate::AttributeValue;
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Clip", 11, Some(up), Some(down))];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    for (index, name) in [(1, "min"), (2, "max")] {
        if let Some(AttributeValue::Float(bound)) = site.take(name) {
            let input = site.required(0)?;
            let element_type = site.element_type(&input)?;
            let bound = site.scalar(name, element_type, bound.into())?;
            site.set_input(index, bound);
        }
    }
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let bounds = [site.node.input(1), site.node.input(2)].map(|name| name.map(str::to_owned));
    let constant = |name: &Option<String>| {
        name.as_ref().is_none_or(|name| site.knowledge.numbers(name).is_some())
    };
    if bounds.iter().all(constant) {
        for (index, name) in [(1, "min"), (2, "max")] {
            if let Some(&bound) = site.numbers(index)?.as_deref().and_then(<[f64]>::first) {
                site.set(name, bound as f32);
            }
        }
        site.keep_inputs(1);
        return Ok(());
    }
    // Where the bounds cross, the upper one wins.
    let input = site.required(0)?;
    match bounds {
        [Some(low), Some(high)] => {
            let raised = site.add("Max", &[&input, &low]);
            site.replace_by("Min", &[&raised, &high]);
        }
        [Some(low), None] => site.replace_by("Max", &[&input, &low]),
        [None, Some(high)] => site.replace_by("Min", &[&input, &high]),
        [None, None] => site.replace_by("Identity", &[&input]),
    }
    Ok(())
}
