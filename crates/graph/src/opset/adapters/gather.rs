//! Gather: axis and indices may be negative since 11.

use super::{Adapter, adapter, front, negative_axis};
use crate::Constant;
use crate::ElementType;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Gather", 11, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    negative_axis::down(site)?;
    let (data, indices) = (site.required(0)?, site.required(1)?);
    // Indices that are computed are as large or small as they always were.
    let Some(values) = site.knowledge.integers(&indices) else { return Ok(()) };
    if values.iter().all(|index| *index >= 0) {
        return Ok(());
    }
    let axis = site.node.int("axis").unwrap_or(0);
    let rank = site.rank(&data)?;
    let Some(size) = front(axis, rank).and_then(|axis| site.fixed_dim(&data, axis)) else {
        return refuse("an index counts from the end of a dimension whose size is not fixed");
    };
    let Some(dims) = site.fixed(&indices) else {
        return refuse(format!("the shape of '{indices}' is not known"));
    };
    let from_front = |index: i64| if index < 0 { index + size as i64 } else { index };
    let bytes: Vec<u8> = values.iter().flat_map(|&index| from_front(index).to_le_bytes()).collect();
    let indices = site.constant(Constant::raw("indices", ElementType::Int64, &dims, bytes));
    site.set_input(1, indices);
    Ok(())
}
