//! Scan: over a batch of sequences until 8, over one since 9.

use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Scan", 9, Some(other), Some(other))];

fn other(_: &mut Site<'_>) -> Result<(), Refusal> {
    refuse("it goes over a batch of sequences until 8, and over one sequence since 9")
}
