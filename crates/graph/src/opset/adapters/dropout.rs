//! Dropout: its mask became boolean with 10, its ratio an input with 12.

use super::{Adapter, adapter, code};
use crate::opset::site::{Refusal, Site, refuse};
use crate::{AttributeValue, Constant, ElementType, Node};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Dropout", 10, Some(mask_as_numbers), Some(mask_as_booleans)),
    adapter("Dropout", 12, Some(up), Some(down)),
];

fn mask_as_numbers(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.output(1).is_some() {
        let input = site.required(0)?;
        let element_type = site.element_type(&input)?;
        site.pass_output(1, Node::new("Cast", &[], &[]).with("to", code(element_type)));
    }
    Ok(())
}

fn mask_as_booleans(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.pass_output(1, Node::new("Cast", &[], &[]).with("to", code(ElementType::Bool)));
    Ok(())
}

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    if let Some(AttributeValue::Float(ratio)) = site.take("ratio") {
        let ratio = site.scalar("ratio", ElementType::Float32, ratio.into())?;
        site.set_input(1, ratio);
    }
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.numbers(2)?.is_some_and(|training| training.iter().any(|item| *item != 0.0)) {
        return refuse("training_mode is on");
    }
    site.take("seed");
    if site.node.output(1).is_some() {
        // Nothing is dropped, which earlier versions do not say of their mask.
        let input = site.required(0)?;
        let shape = site.add("Shape", &[&input]);
        let kept = Constant::raw("kept", ElementType::Bool, &[1], vec![1]);
        let mask = Node::new("ConstantOfShape", &[&shape], &[]).with("value", kept);
        let mask = site.add_node(mask);
        site.also(1, &mask);
    }
    if let Some(&ratio) = site.numbers(1)?.as_deref().and_then(<[f64]>::first) {
        site.set("ratio", ratio as f32);
    }
    site.keep_inputs(1);
    Ok(())
}
