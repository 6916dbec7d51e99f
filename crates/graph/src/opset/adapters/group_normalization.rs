//! GroupNormalization came with 18; scale and bias are those of channels, not groups, since 21.

use super::layer_normalization::{cast, stash_type};
use super::{Adapter, adapter};
use crate::Node;
use crate::opset::site::{Refusal, Site, number, refuse};
use crate::{Constant, ElementType};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("GroupNormalization", 18, None, Some(by_instance)),
    adapter("GroupNormalization", 21, Some(by_channel), Some(by_group)),
];

fn groups(site: &Site<'_>) -> Result<i64, Refusal> {
    match site.node.int("num_groups") {
        Some(groups) if groups > 0 => Ok(groups),
        other => refuse(format!("num_groups {other:?}")),
    }
}

/// A group is an instance of one channel.
fn by_instance(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let (scale, bias) = (site.required(1)?, site.required(2)?);
    let normal = normalized(site, &input, &scale, &bias)?;
    site.replace_by("Identity", &[&normal]);
    Ok(())
}

/// `input` with each group normalized, and given the group's scale and bias.
fn normalized(
    site: &mut Site<'_>,
    input: &str,
    scale: &str,
    bias: &str,
) -> Result<String, Refusal> {
    let groups = groups(site)?;
    let epsilon = site.node.float("epsilon").unwrap_or(1e-5);
    let shape = site.add("Shape", &[input]);
    let grouped = site.ints("groups", &[0, groups, -1]);
    let grouped = site.add("Reshape", &[input, &grouped]);
    let node = Node::new("InstanceNormalization", &[&grouped, scale, bias], &[]);
    let normal = site.add_node(node.with("epsilon", epsilon));
    Ok(site.add("Reshape", &[&normal, &shape]))
}

/// Each group's scale and bias for each of its channels.
fn by_channel(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let groups = groups(site)?;
    let repeats = match site.fixed_dim(&input, 1) {
        Some(channels) => site.ints("repeats", &[1, channels as i64 / groups]),
        None => {
            let shape = Node::new("Shape", &[&input], &[]).with("start", 1).with("end", 2);
            let channels = site.add_node(shape);
            let count = site.ints("groups", &[groups]);
            let each = site.add("Div", &[&channels, &count]);
            let one = site.ints("one", &[1]);
            site.add_node(Node::new("Concat", &[&one, &each], &[]).with("axis", 0))
        }
    };
    let column = site.ints("column", &[-1, 1]);
    let flat = site.ints("flat", &[-1]);
    for index in [1, 2] {
        let value = site.required(index)?;
        let value = site.add("Reshape", &[&value, &column]);
        let value = site.add("Tile", &[&value, &repeats]);
        let value = site.add("Reshape", &[&value, &flat]);
        site.set_input(index, value);
    }
    Ok(())
}

/// Normalizes alone; scale and bias follow. Not by the operator of 18 to 20, which ONNX gave up.
fn by_group(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let (scale, bias) = (site.required(1)?, site.required(2)?);
    let element_type = site.element_type(&input)?;
    let inner = stash_type(site, element_type)?;
    let rank = site.rank(&input)?;
    let groups = groups(site)?;
    let wide = cast(site, &input, element_type, inner);
    let (one, zero) =
        (filled(site, "scale", inner, groups, 1.0)?, filled(site, "bias", inner, groups, 0.0)?);
    let normal = normalized(site, &wide, &one, &zero)?;
    let normal = cast(site, &normal, inner, element_type);
    let mut dims = vec![-1];
    dims.resize(rank.saturating_sub(1), 1);
    let dims = site.ints("channels", &dims);
    let scale = site.add("Reshape", &[&scale, &dims]);
    let bias = site.add("Reshape", &[&bias, &dims]);
    let scaled = site.add("Mul", &[&normal, &scale]);
    site.replace_by("Add", &[&scaled, &bias]);
    Ok(())
}

/// As many equal numbers as there are groups.
fn filled(
    site: &mut Site<'_>,
    what: &str,
    element_type: ElementType,
    count: i64,
    value: f64,
) -> Result<String, Refusal> {
    let count = usize::try_from(count).unwrap_or(0);
    let Some(bytes) = number(element_type, value).filter(|_| count <= 1 << 16) else {
        return refuse(format!("{count} groups of type {element_type}"));
    };
    Ok(site.constant(Constant::raw(what, element_type, &[count], bytes.repeat(count))))
}
