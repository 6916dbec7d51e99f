//! DepthToSpace: another order of columns and rows since 11.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site, refuse};
use crate::{AttributeValue, Node};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("DepthToSpace", 11, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let mode = site.take("mode").unwrap_or_else(|| "DCR".into());
    if mode == AttributeValue::from("DCR") {
        return Ok(());
    }
    let input = site.required(0)?;
    let dim = |axis| site.fixed_dim(&input, axis).and_then(|size| i64::try_from(size).ok());
    let (Some(channels), Some(height), Some(width)) = (dim(1), dim(2), dim(3)) else {
        return refuse("mode 'CRD' of an image whose size is not fixed");
    };
    let block = site.node.int("blocksize").unwrap_or(1).max(1);
    let channels = channels / block.saturating_mul(block).max(1);
    let parts = site.ints("parts", &[-1, channels, block, block, height, width]);
    let parts = site.add("Reshape", &[&input, &parts]);
    let order = Node::new("Transpose", &[&parts], &[]).with("perm", [0, 1, 4, 2, 5, 3]);
    let ordered = site.add_node(order);
    let size = |size: i64| size.saturating_mul(block);
    let shape = site.ints("shape", &[-1, channels, size(height), size(width)]);
    site.replace_by("Reshape", &[&ordered, &shape]);
    Ok(())
}
