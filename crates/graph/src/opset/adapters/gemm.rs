//! Gemm: what is added may be left out since 11.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Gemm", 11, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    if site.node.input(2).is_none() {
        let input = site.required(0)?;
        let element_type = site.element_type(&input)?;
        let zero = site.scalar("zero", element_type, 0.0)?;
        site.set_input(2, zero);
    }
    Ok(())
}
