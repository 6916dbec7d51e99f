//! Rules for operators that changed in more than their types: a file an operator or family.
//!
//! An [`Adapter`] is about one version of one operator: `up` writes a node of the version before as
//! that version has it, `down` the other way. A rule that is absent means that ONNX's description
//! says all. To add one: a file, and its line in [`FAMILIES`].

mod activation;
mod attention;
mod batch_normalization;
mod cast;
mod cast_like;
mod clip;
mod comparison;
mod constant;
mod depth_to_space;
mod dft;
mod dropout;
mod einsum;
mod gather;
mod gemm;
mod grid_sample;
mod group_normalization;
mod layer_normalization;
mod negative_axis;
mod pad;
mod pow;
mod quantize;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod rms_normalization;
mod roi_align;
mod rotary_embedding;
mod scan;
mod scatter;
mod shape;
mod slice;
mod softmax;
mod split;
mod squeeze;
mod top_k;
mod trilu;
mod variadic;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::site::{Refusal, Site};
use crate::ElementType;

/// Writes the node of a site otherwise.
pub(super) type Rule = fn(&mut Site<'_>) -> Result<(), Refusal>;

/// What changed with one version of an operator.
pub(super) struct Adapter {
    operator: &'static str,
    version: i64,
    up: Option<Rule>,
    down: Option<Rule>,
}

const fn adapter(
    operator: &'static str,
    version: i64,
    up: Option<Rule>,
    down: Option<Rule>,
) -> Adapter {
    Adapter { operator, version, up, down }
}

/// All rules.
const FAMILIES: &[&[Adapter]] = &[
    activation::ADAPTERS,
    attention::ADAPTERS,
    batch_normalization::ADAPTERS,
    cast::ADAPTERS,
    cast_like::ADAPTERS,
    clip::ADAPTERS,
    comparison::ADAPTERS,
    constant::ADAPTERS,
    depth_to_space::ADAPTERS,
    dft::ADAPTERS,
    dropout::ADAPTERS,
    einsum::ADAPTERS,
    gather::ADAPTERS,
    gemm::ADAPTERS,
    grid_sample::ADAPTERS,
    group_normalization::ADAPTERS,
    layer_normalization::ADAPTERS,
    negative_axis::ADAPTERS,
    pad::ADAPTERS,
    pow::ADAPTERS,
    quantize::ADAPTERS,
    recurrent::ADAPTERS,
    reduce::ADAPTERS,
    reshape::ADAPTERS,
    resize::ADAPTERS,
    rms_normalization::ADAPTERS,
    roi_align::ADAPTERS,
    rotary_embedding::ADAPTERS,
    scan::ADAPTERS,
    scatter::ADAPTERS,
    shape::ADAPTERS,
    slice::ADAPTERS,
    softmax::ADAPTERS,
    split::ADAPTERS,
    squeeze::ADAPTERS,
    top_k::ADAPTERS,
    trilu::ADAPTERS,
    variadic::ADAPTERS,
];

/// The rule for what changed with `version` of an operator, named as [`crate::Node::operator`] does.
pub(super) fn find(operator: &str, version: i64, up: bool) -> Option<Rule> {
    static RULES: LazyLock<HashMap<(&str, i64), &Adapter>> = LazyLock::new(|| {
        let all = FAMILIES.iter().copied().flatten();
        all.map(|adapter| ((adapter.operator, adapter.version), adapter)).collect()
    });
    let adapter = RULES.get(&(operator, version))?;
    if up { adapter.up } else { adapter.down }
}

/// An axis counted from the front.
fn front(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    if (0..rank).contains(&axis) { usize::try_from(axis).ok() } else { None }
}

/// Number of an element type, as attributes have it.
fn code(element_type: ElementType) -> i64 {
    element_type.code().into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::opset::schema;

    #[test]
    fn rules_are_about_versions_that_there_are() {
        let mut seen = HashSet::new();
        for adapter in FAMILIES.iter().copied().flatten() {
            let (operator, version) = (adapter.operator, adapter.version);
            assert!(seen.insert((operator, version)), "{operator} {version} is there twice");
            let exists = schema::versions(operator).iter().any(|schema| schema.since == version);
            assert!(exists, "{operator} has no version {version}");
        }
    }
}
