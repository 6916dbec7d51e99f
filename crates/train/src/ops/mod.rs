//! The operators: one file each, holding its doc, forward, backward and tests.
//!
//! `unary` and `binary` are the frames of operators that work element by element; an operator
//! that fits one is a function and its slope. Adding an operator: a file here, a line in
//! [`OPERATORS`], a check against finite differences in the file, and a case in
//! `tests/fixtures/operators.py`, which asks PyTorch.

mod add;
mod attention;
mod batch_normalization;
mod binary;
mod dropout;
mod einsum;
mod fused_matmul;
mod gemm;
mod group_normalization;
mod identity;
mod layer_normalization;
mod lp_normalization;
mod lrn;
mod matmul;
mod recurrent;
mod relu;
mod reshape;
mod rotary_embedding;
mod row_norm;
mod skip_layer_normalization;
mod softmax;
mod unary;

use modelyard_graph::Node;

use crate::error::OpError;
use crate::operator::Operator;
use crate::site::Site;

/// Makes the operator of a node, or says what about the node is not covered.
pub(crate) type Build = fn(&Site<'_>) -> Result<Box<dyn Operator>, OpError>;

/// Operators by domain and name.
const OPERATORS: &[(&str, &str, Build)] = &[
    ("", "Add", add::build),
    ("", "Attention", attention::build_onnx),
    ("", "BatchNormalization", batch_normalization::build),
    ("", "Dropout", dropout::build),
    ("", "Einsum", einsum::build),
    ("", "GRU", recurrent::build_gru),
    ("", "Gemm", gemm::build),
    ("", "GroupNormalization", group_normalization::build),
    ("", "Identity", identity::build),
    ("", "InstanceNormalization", group_normalization::build_instance),
    ("", "LRN", lrn::build),
    ("", "LSTM", recurrent::build_lstm),
    ("", "LayerNormalization", layer_normalization::build),
    ("", "LogSoftmax", softmax::build_log),
    ("", "LpNormalization", lp_normalization::build),
    ("", "MatMul", matmul::build),
    ("", "RMSNormalization", layer_normalization::build_rms),
    ("", "RNN", recurrent::build_rnn),
    ("", "Relu", relu::build),
    ("", "Reshape", reshape::build),
    ("", "RotaryEmbedding", rotary_embedding::build),
    ("", "SimplifiedLayerNormalization", layer_normalization::build_simplified),
    ("", "Softmax", softmax::build),
    ("com.microsoft", "Attention", attention::build_packed),
    ("com.microsoft", "FusedMatMul", fused_matmul::build),
    ("com.microsoft", "MultiHeadAttention", attention::build_multi_head),
    ("com.microsoft", "SkipLayerNormalization", skip_layer_normalization::build),
    (
        "com.microsoft",
        "SkipSimplifiedLayerNormalization",
        skip_layer_normalization::build_simplified,
    ),
    ("com.microsoft", "TransposeMatMul", fused_matmul::build),
];

/// How to build the operator of this node; `None` where training does not know it.
pub(crate) fn find(node: &Node) -> Option<Build> {
    let named =
        |(domain, name, _): &&(&str, &str, Build)| node.domain == *domain && node.op_type == *name;
    OPERATORS.iter().find(named).map(|(_, _, build)| *build)
}

/// An axis, which may count from the end, of an array of this rank.
fn axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let rank = i64::try_from(rank).unwrap_or(i64::MAX);
    let from_start = if axis < 0 { axis + rank } else { axis };
    if (0..rank).contains(&from_start) {
        return Ok(from_start as usize);
    }
    Err(OpError::new(format!("axis {axis} is not one of an array of {rank} dimensions")))
}
