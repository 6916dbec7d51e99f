//! Operators that no target has, as those that they have. What is written keeps its channels first:
//! `layout` comes later.
//!
//! | module | operators |
//! |---|---|
//! | `batch_norm` | BatchNormalization, as a factor and a summand by channel |
//! | `normalize` | Instance-, Group-, Layer-, RMSNormalization and the like |
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
