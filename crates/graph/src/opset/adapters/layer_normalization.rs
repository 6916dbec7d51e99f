//! LayerNormalization came with 17.

use super::{Adapter, adapter, code};
use crate::opset::site::{Refusal, Site, refuse};
use crate::{ElementType, Node};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("LayerNormalization", 17, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let (input, scale) = (site.required(0)?, site.required(1)?);
    let axes = axes(site, &input)?;
    let element_type = site.element_type(&input)?;
    let inner = stash_type(site, element_type)?;
    let epsilon = site.node.float("epsilon").unwrap_or(1e-5);
    let wide = cast(site, &input, element_type, inner);
    let mean_of = |value: &str| Node::new("ReduceMean", &[value], &[]).with("axes", &axes[..]);
    let mean = site.add_node(mean_of(&wide));
    let centred = site.add("Sub", &[&wide, &mean]);
    let squared = site.add("Mul", &[&centred, &centred]);
    let variance = site.add_node(mean_of(&squared));
    let epsilon = site.scalar("epsilon", inner, epsilon.into())?;
    let safe = site.add("Add", &[&variance, &epsilon]);
    let deviation = site.add("Sqrt", &[&safe]);
    let normal = site.add("Div", &[&centred, &deviation]);
    let normal = cast(site, &normal, inner, element_type);
    let inverse = match site.node.output(2) {
        Some(_) => site.add("Reciprocal", &[&deviation]),
        None => String::new(),
    };
    site.also(1, &mean);
    site.also(2, &inverse);
    match site.node.input(2).map(str::to_owned) {
        Some(bias) => {
            let scaled = site.add("Mul", &[&normal, &scale]);
            site.replace_by("Add", &[&scaled, &bias]);
        }
        None => site.replace_by("Mul", &[&normal, &scale]),
    }
    Ok(())
}

/// All axes from the node's on.
pub(super) fn axes(site: &Site<'_>, input: &str) -> Result<Vec<i64>, Refusal> {
    match site.node.int("axis").unwrap_or(-1) {
        axis @ -64..=-1 => Ok((axis..0).collect()),
        axis => {
            let rank = site.rank(input)? as i64;
            if (0..rank).contains(&axis) {
                Ok((axis..rank).collect())
            } else {
                refuse(format!("axis {axis} of {rank}"))
            }
        }
    }
}

/// The type that is computed in.
pub(super) fn stash_type(
    site: &Site<'_>,
    element_type: ElementType,
) -> Result<ElementType, Refusal> {
    let code = site.node.int("stash_type").unwrap_or(1);
    match i32::try_from(code).ok().and_then(ElementType::from_code) {
        // Nobody computes doubles in floats.
        Some(ElementType::Float32) if element_type == ElementType::Float64 => Ok(element_type),
        Some(stash) => Ok(stash),
        None => refuse(format!("stash_type {code}")),
    }
}

/// `value`, cast where the types are different.
pub(super) fn cast(site: &mut Site<'_>, value: &str, from: ElementType, to: ElementType) -> String {
    match from == to {
        true => value.to_owned(),
        false => site.add_node(Node::new("Cast", &[value], &[]).with("to", code(to))),
    }
}
