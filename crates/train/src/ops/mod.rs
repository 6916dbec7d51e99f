//! The operators: one file each, holding its doc, forward, backward and tests.
//!
//! `unary` and `binary` are the frames of operators that work element by element; an operator
//! that fits one is a function and its slope. Adding an operator: a file here, a line in
//! [`OPERATORS`], a check against finite differences in the file, and a case in
//! `tests/fixtures/operators.py`, which asks PyTorch.

mod add;
mod batch_normalization;
mod binary;
mod clip;
mod conv;
mod conv_transpose;
mod convolution;
mod div;
mod dropout;
mod elu;
mod erf;
mod exponential;
mod extrema;
mod gelu;
mod gemm;
mod group_normalization;
mod hard;
mod identity;
mod layer_normalization;
mod leaky;
mod lp_normalization;
mod lrn;
mod matmul;
mod mish;
mod modulo;
mod mul;
mod pow;
mod prelu;
mod recurrent;
mod relu;
mod reshape;
mod root;
mod rounding;
mod row_norm;
mod sigmoid;
mod sign;
mod skip_layer_normalization;
mod soft;
mod softmax;
mod sub;
mod swish;
mod tanh;
mod total;
mod trigonometric;
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
    ("", "Abs", sign::build_abs),
    ("", "Add", add::build),
    ("", "Ceil", rounding::build_ceil),
    ("", "Celu", elu::build_celu),
    ("", "Clip", clip::build),
    ("", "Cos", trigonometric::build_cos),
    ("", "Div", div::build),
    ("", "Elu", elu::build),
    ("", "Erf", erf::build),
    ("", "Exp", exponential::build_exp),
    ("", "Floor", rounding::build_floor),
    ("", "Gelu", gelu::build),
    ("", "Conv", conv::build),
    ("", "ConvTranspose", conv_transpose::build),
    ("", "Gemm", gemm::build),
    ("", "HardSigmoid", hard::build_sigmoid),
    ("", "HardSwish", hard::build_swish),
    ("", "Identity", identity::build),
    ("", "LeakyRelu", leaky::build),
    ("", "Log", exponential::build_log),
    ("", "BatchNormalization", batch_normalization::build),
    ("", "Dropout", dropout::build),
    ("", "GRU", recurrent::build_gru),
    ("", "GroupNormalization", group_normalization::build),
    ("", "InstanceNormalization", group_normalization::build_instance),
    ("", "LRN", lrn::build),
    ("", "LSTM", recurrent::build_lstm),
    ("", "LayerNormalization", layer_normalization::build),
    ("", "LogSoftmax", softmax::build_log),
    ("", "LpNormalization", lp_normalization::build),
    ("", "MatMul", matmul::build),
    ("", "Max", extrema::build_max),
    ("", "Mean", total::build_mean),
    ("", "Min", extrema::build_min),
    ("", "Mish", mish::build),
    ("", "Mod", modulo::build),
    ("", "Mul", mul::build),
    ("", "Neg", sign::build_neg),
    ("", "PRelu", prelu::build),
    ("", "Pow", pow::build),
    ("", "Reciprocal", root::build_reciprocal),
    ("", "Relu", relu::build),
    ("", "Reshape", reshape::build),
    ("", "Round", rounding::build_round),
    ("", "Selu", elu::build_selu),
    ("", "Sigmoid", sigmoid::build),
    ("", "Sign", sign::build_sign),
    ("", "Sin", trigonometric::build_sin),
    ("", "Softmax", softmax::build),
    ("", "Softplus", soft::build_softplus),
    ("", "Softsign", soft::build_softsign),
    ("", "Sqrt", root::build_sqrt),
    ("", "Sub", sub::build),
    ("", "Sum", total::build_sum),
    ("", "Swish", swish::build),
    ("", "Tanh", tanh::build),
    ("", "ThresholdedRelu", leaky::build_thresholded),
    ("com.microsoft", "BiasGelu", gelu::build_biased),
    ("com.microsoft", "FastGelu", gelu::build_fast),
    ("com.microsoft", "Gelu", gelu::build),
    ("com.microsoft", "QuickGelu", swish::build_quick_gelu),
    ("", "RMSNormalization", layer_normalization::build_rms),
    ("", "RNN", recurrent::build_rnn),
    ("", "SimplifiedLayerNormalization", layer_normalization::build_simplified),
    ("com.microsoft", "SkipLayerNormalization", skip_layer_normalization::build),
    (
        "com.microsoft",
        "SkipSimplifiedLayerNormalization",
        skip_layer_normalization::build_simplified,
    ),
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
