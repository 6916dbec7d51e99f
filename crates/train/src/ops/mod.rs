//! The operators: one file each, holding its doc, forward, backward and tests.
//!
//! `unary` and `binary` are the frames of operators that work element by element; an operator
//! that fits one is a function and its slope. Adding an operator: a file here, a line in
//! [`OPERATORS`], a check against finite differences in the file, and a case in
//! `tests/fixtures/operators.py`, which asks PyTorch.

mod add;
mod average_pool;
mod binary;
mod conv;
mod conv_transpose;
mod convolution;
mod gemm;
mod global_pool;
mod identity;
mod matmul;
mod max_pool;
mod relu;
mod reshape;
mod resize;
mod resize_axis;
mod softmax;
mod unary;
mod window;

use modelyard_graph::Node;

use crate::error::OpError;
use crate::operator::Operator;
use crate::site::Site;

/// Makes the operator of a node, or says what about the node is not covered.
pub(crate) type Build = fn(&Site<'_>) -> Result<Box<dyn Operator>, OpError>;

/// Operators by domain and name.
const OPERATORS: &[(&str, &str, Build)] = &[
    ("", "Add", add::build),
    ("", "AveragePool", average_pool::build),
    ("", "Conv", conv::build),
    ("", "ConvTranspose", conv_transpose::build),
    ("", "Gemm", gemm::build),
    ("", "GlobalAveragePool", global_pool::build_average),
    ("", "GlobalMaxPool", global_pool::build_max),
    ("", "Identity", identity::build),
    ("", "LogSoftmax", softmax::build_log),
    ("", "MatMul", matmul::build),
    ("", "MaxPool", max_pool::build),
    ("", "Relu", relu::build),
    ("", "Reshape", reshape::build),
    ("", "Resize", resize::build),
    ("", "Softmax", softmax::build),
    ("", "Upsample", resize::build_upsample),
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
