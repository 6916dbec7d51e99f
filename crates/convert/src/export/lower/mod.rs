//! Operators that no target has, as those that they have. What is written keeps its channels first:
//! `layout` comes later.
//!
//! | module | operators |
//! |---|---|
//! | `batch_norm` | BatchNormalization, as a factor and a summand by channel |
//! | `normalize` | Instance-, Group-, LayerNormalization and the like |
//! | `global_pool` | Global*Pool, as reductions |
//! | `line` | images of one dimension of space, as images of two |
//! | `blocks` | DepthToSpace of mode CRD |
//! | `groups` | transposed convolutions in groups |
//! | `reshape` | Flatten and Reshape, as Reshape with sizes that other frameworks understand |

mod batch_norm;
mod blocks;
mod global_pool;
mod groups;
mod line;
mod normalize;
mod reshape;

use modelyard_graph::Model;

use super::graph::{Rule, rewrite};
use crate::Missing;

/// Rules by operator.
const RULES: &[(&str, Rule)] = &[
    ("BatchNormalization", batch_norm::rewrite),
    ("InstanceNormalization", normalize::instance),
    ("GroupNormalization", normalize::group),
    ("LayerNormalization", normalize::layer),
    ("MeanVarianceNormalization", normalize::mean_variance),
    ("LpNormalization", normalize::lp),
    ("GlobalAveragePool", global_pool::average),
    ("GlobalMaxPool", global_pool::max),
    ("DepthToSpace", blocks::rewrite),
    ("ConvTranspose", groups::rewrite),
    ("Flatten", reshape::flatten),
    ("Reshape", reshape::reshape),
];

/// Operators that came after version 21: changing the version takes them apart.
const LATER: &[&str] = &["Attention", "RMSNormalization", "RotaryEmbedding", "Swish"];

/// The names of operators that a target writes, with those that become such; sorted.
pub(super) fn with_lowered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let lowered = RULES.iter().map(|(operator, _)| *operator).chain(LATER.iter().copied());
    let mut names: Vec<String> = names.chain(lowered).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Takes composite operators apart.
pub(super) fn lower(model: Model, missing: &mut Vec<Missing>) -> Model {
    let model = rewrite(model, missing, |graph, node| {
        let rule = RULES.iter().find(|(operator, _)| node.is(operator));
        match rule {
            Some((_, rule)) => rule(graph, node),
            None => Some(node),
        }
    });
    rewrite(model, missing, line::rewrite)
}
