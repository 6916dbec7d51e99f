//! Pow: base and exponent may be of different types since 12.

use super::{Adapter, adapter, code};
use crate::Node;
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Pow", 12, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let (base, exponent) = (site.required(0)?, site.required(1)?);
    let element_type = site.element_type(&base)?;
    if site.element_type(&exponent)? != element_type {
        let cast = Node::new("Cast", &[&exponent], &[]).with("to", code(element_type));
        let exponent = site.add_node(cast);
        site.set_input(1, exponent);
    }
    Ok(())
}
