//! What each operator ties together: one table, one file a family.
//!
//! A rule says which indices of what a node takes and gives can only be removed together, which not at
//! all, and which numbers in the node count them. What no rule knows is frozen.

mod convolution;
mod elementwise;
mod linear;
mod movement;
mod normalization;
mod pooling;
mod products;
mod reduction;
mod reshape;
mod slices;

use super::site::{Ruled, Site};

/// What an operator ties.
pub(super) type Rule = fn(&mut Site<'_, '_>) -> Ruled;

/// The rule for an operator, named as `Node::operator` does.
pub(super) fn find(operator: &str) -> Option<Rule> {
    if elementwise::OPERATORS.contains(&operator) {
        return Some(elementwise::tie);
    }
    if reduction::REDUCTIONS.contains(&operator) {
        return Some(reduction::reduce);
    }
    Some(match operator {
        "Conv" => convolution::conv,
        "ConvTranspose" => convolution::conv_transpose,
        "DepthToSpace" => convolution::depth_to_space,
        "SpaceToDepth" => convolution::space_to_depth,
        "Gemm" => linear::gemm,
        "MatMul" => linear::matmul,
        "LSTM" | "GRU" | "RNN" => linear::recurrent,
        "Gather" => linear::gather,
        "Einsum" => products::einsum,
        "BatchNormalization" => normalization::batch,
        "InstanceNormalization" => normalization::instance,
        "GroupNormalization" => normalization::group,
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => {
            normalization::layer
        }
        "com.microsoft.SkipLayerNormalization"
        | "com.microsoft.SkipSimplifiedLayerNormalization" => normalization::skip_layer,
        "LRN" => normalization::over_channels,
        "MaxPool" | "AveragePool" | "LpPool" | "GlobalMaxPool" | "GlobalAveragePool"
        | "GlobalLpPool" => pooling::pool,
        "Resize" | "Upsample" => pooling::resize,
        "Softmax" | "LogSoftmax" | "Hardmax" => reduction::softmax,
        "LpNormalization" | "CumSum" => reduction::along,
        "ArgMax" | "ArgMin" => reduction::arg_extremum,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => reshape::reshape,
        "Transpose" => movement::transpose,
        "Concat" => movement::concat,
        "Expand" => movement::expand,
        "Pad" => movement::pad,
        "Tile" => movement::tile,
        "Shape" => movement::shape,
        "Split" => slices::split,
        "Slice" => slices::slice,
        _ => return None,
    })
}
