//! RMSNormalization came with 23.

use super::layer_normalization::{axes, cast, stash_type};
use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("RMSNormalization", 23, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let (input, scale) = (site.required(0)?, site.required(1)?);
    let axes = axes(site, &input)?;
    let element_type = site.element_type(&input)?;
    let inner = stash_type(site, element_type)?;
    let epsilon = site.node.float("epsilon").unwrap_or(1e-5);
    let wide = cast(site, &input, element_type, inner);
    let squared = site.add("Mul", &[&wide, &wide]);
    let axes = site.ints("axes", &axes);
    let mean = site.add("ReduceMean", &[&squared, &axes]);
    let epsilon = site.scalar("epsilon", inner, epsilon.into())?;
    let safe = site.add("Add", &[&mean, &epsilon]);
    let root = site.add("Sqrt", &[&safe]);
    let normal = site.add("Div", &[&wide, &root]);
    let normal = cast(site, &normal, inner, element_type);
    site.replace_by("Mul", &[&normal, &scale]);
    Ok(())
}
