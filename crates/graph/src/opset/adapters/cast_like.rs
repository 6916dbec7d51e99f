//! CastLike came with 15.

use super::{Adapter, adapter, code};
use crate::Node;
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("CastLike", 15, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let (input, like) = (site.required(0)?, site.required(1)?);
    let element_type = site.element_type(&like)?;
    site.replace(Node::new("Cast", &[&input], &[]).with("to", code(element_type)));
    Ok(())
}
