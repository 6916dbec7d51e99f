//! RoiAlign: regions are moved by half a pixel since 16, unless it says otherwise.

use super::{Adapter, adapter};
use crate::AttributeValue;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("RoiAlign", 16, Some(up), Some(down))];

const MODE: &str = "coordinate_transformation_mode";

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.set(MODE, "output_half_pixel");
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    match site.take(MODE) {
        Some(mode) if mode == AttributeValue::from("output_half_pixel") => Ok(()),
        _ => refuse(format!("{MODE} 'half_pixel'")),
    }
}
