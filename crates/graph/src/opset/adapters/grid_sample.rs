//! GridSample: other names for its modes since 20.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("GridSample", 20, Some(up), Some(down))];

fn up(site: &mut Site<'_>) -> Result<(), Refusal> {
    let mode = match site.node.string("mode") {
        Some("nearest") => "nearest",
        Some("bicubic") => "cubic",
        _ => "linear",
    };
    site.set("mode", mode);
    Ok(())
}

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    if rank != 4 {
        return refuse(format!("{rank} dimensions instead of 4"));
    }
    let mode = match site.node.string("mode") {
        Some("nearest") => "nearest",
        Some("cubic") => "bicubic",
        _ => "bilinear",
    };
    site.set("mode", mode);
    Ok(())
}
