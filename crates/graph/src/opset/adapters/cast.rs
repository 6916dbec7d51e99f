//! Cast and CastLike: what is too large for 8-bit floats is their largest since 19, or not.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site};

pub(super) const ADAPTERS: &[Adapter] = &[
    adapter("Cast", 19, None, Some(without_saturation)),
    adapter("CastLike", 19, None, Some(without_saturation)),
];

/// About 8-bit floats only, which no earlier version has.
fn without_saturation(site: &mut Site<'_>) -> Result<(), Refusal> {
    site.take("saturate");
    Ok(())
}
