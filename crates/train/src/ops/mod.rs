//! The operators: one file each, holding its doc, forward, backward and tests.
//!
//! `unary` and `binary` are the frames of operators that work element by element; an operator
//! that fits one is a function and its slope. Adding an operator: a file here, a line in
//! [`OPERATORS`], a check against finite differences in the file, and a case in
//! `tests/fixtures/cases`, which asks PyTorch.

mod add;
mod arg_extremum;
mod attention;
mod average_pool;
mod batch_normalization;
mod binary;
mod cast;
mod clip;
mod compare;
mod concat;
mod constant;
mod conv;
mod conv_transpose;
mod convolution;
mod cum_sum;
mod depth_to_space;
mod div;
mod dropout;
mod einsum;
mod elu;
mod erf;
mod expand;
mod exponential;
mod extrema;
mod flatten;
mod fused_matmul;
mod gather;
mod gather_elements;
mod gather_nd;
mod gelu;
mod gemm;
mod global_pool;
mod group_normalization;
mod hard;
mod identity;
mod layer_normalization;
mod leaky;
mod logic;
mod lp_normalization;
mod lrn;
mod matmul;
mod max_pool;
mod mish;
mod modulo;
mod movement;
mod mul;
mod non_zero;
mod one_hot;
mod pad;
mod pow;
mod prelu;
mod quantize;
mod range;
mod recurrent;
mod reduce;
mod relu;
mod reshape;
mod resize;
mod resize_axis;
mod root;
mod rotary_embedding;
mod rounding;
mod row_norm;
mod scatter;
mod select;
mod shape;
mod sigmoid;
mod sign;
mod skip_layer_normalization;
mod slice;
mod soft;
mod softmax;
mod special;
mod split;
mod squeeze;
mod sub;
mod swish;
mod tanh;
mod tile;
mod top_k;
mod total;
mod transpose;
mod trigonometric;
mod trilu;
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
    ("", "And", logic::build),
    ("", "ArgMax", arg_extremum::build_max),
    ("", "ArgMin", arg_extremum::build_min),
    ("", "Cast", cast::build),
    ("", "CastLike", cast::build_like),
    ("", "Ceil", rounding::build_ceil),
    ("", "Celu", elu::build_celu),
    ("", "Clip", clip::build),
    ("", "Concat", concat::build),
    ("", "Constant", constant::build),
    ("", "ConstantOfShape", constant::build_of_shape),
    ("", "Cos", trigonometric::build_cos),
    ("", "CumSum", cum_sum::build),
    ("", "DepthToSpace", depth_to_space::build),
    ("", "DequantizeLinear", quantize::build_dequantize),
    ("", "Div", div::build),
    ("", "Elu", elu::build),
    ("", "Equal", compare::build),
    ("", "Erf", erf::build),
    ("", "Exp", exponential::build_exp),
    ("", "Expand", expand::build),
    ("", "Flatten", flatten::build),
    ("", "Floor", rounding::build_floor),
    ("", "Gather", gather::build),
    ("", "GatherElements", gather_elements::build),
    ("", "GatherND", gather_nd::build),
    ("", "Gelu", gelu::build),
    ("", "Conv", conv::build),
    ("", "ConvTranspose", conv_transpose::build),
    ("", "Gemm", gemm::build),
    ("", "Greater", compare::build),
    ("", "GreaterOrEqual", compare::build),
    ("", "HardSigmoid", hard::build_sigmoid),
    ("", "HardSwish", hard::build_swish),
    ("", "AveragePool", average_pool::build),
    ("", "GlobalAveragePool", global_pool::build_average),
    ("", "GlobalMaxPool", global_pool::build_max),
    ("", "Identity", identity::build),
    ("", "IsInf", special::build_infinite),
    ("", "IsNaN", special::build_nan),
    ("", "LeakyRelu", leaky::build),
    ("", "Less", compare::build),
    ("", "LessOrEqual", compare::build),
    ("", "Log", exponential::build_log),
    ("", "Attention", attention::build_onnx),
    ("", "BatchNormalization", batch_normalization::build),
    ("", "Dropout", dropout::build),
    ("", "Einsum", einsum::build),
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
    ("", "NonZero", non_zero::build),
    ("", "Not", logic::build),
    ("", "OneHot", one_hot::build),
    ("", "Or", logic::build),
    ("", "PRelu", prelu::build),
    ("", "Pad", pad::build),
    ("", "Pow", pow::build),
    ("", "QuantizeLinear", quantize::build),
    ("", "Range", range::build),
    ("", "Reciprocal", root::build_reciprocal),
    ("", "ReduceL1", reduce::build),
    ("", "ReduceL2", reduce::build),
    ("", "ReduceLogSum", reduce::build),
    ("", "ReduceLogSumExp", reduce::build),
    ("", "ReduceMax", reduce::build),
    ("", "ReduceMean", reduce::build),
    ("", "ReduceMin", reduce::build),
    ("", "ReduceProd", reduce::build),
    ("", "ReduceSum", reduce::build),
    ("", "ReduceSumSquare", reduce::build),
    ("", "Relu", relu::build),
    ("", "Reshape", reshape::build),
    ("", "Round", rounding::build_round),
    ("", "Scatter", scatter::build_elements),
    ("", "ScatterElements", scatter::build_elements),
    ("", "ScatterND", scatter::build_nd),
    ("", "Selu", elu::build_selu),
    ("", "Shape", shape::build),
    ("", "Sigmoid", sigmoid::build),
    ("", "Sign", sign::build_sign),
    ("", "Sin", trigonometric::build_sin),
    ("", "Size", shape::build_size),
    ("", "Slice", slice::build),
    ("", "Softmax", softmax::build),
    ("", "Softplus", soft::build_softplus),
    ("", "Softsign", soft::build_softsign),
    ("", "SpaceToDepth", depth_to_space::build_space_to_depth),
    ("", "Split", split::build),
    ("", "Sqrt", root::build_sqrt),
    ("", "Squeeze", squeeze::build),
    ("", "Sub", sub::build),
    ("", "Sum", total::build_sum),
    ("", "Swish", swish::build),
    ("", "Tanh", tanh::build),
    ("", "ThresholdedRelu", leaky::build_thresholded),
    ("", "Tile", tile::build),
    ("", "TopK", top_k::build),
    ("", "Transpose", transpose::build),
    ("", "Trilu", trilu::build),
    ("", "Unsqueeze", squeeze::build_unsqueeze),
    ("", "Where", select::build),
    ("", "Xor", logic::build),
    ("com.microsoft", "BiasGelu", gelu::build_biased),
    ("com.microsoft", "FastGelu", gelu::build_fast),
    ("com.microsoft", "Gelu", gelu::build),
    ("com.microsoft", "QuickGelu", swish::build_quick_gelu),
    ("", "RMSNormalization", layer_normalization::build_rms),
    ("", "RNN", recurrent::build_rnn),
    ("", "SimplifiedLayerNormalization", layer_normalization::build_simplified),
    ("", "RotaryEmbedding", rotary_embedding::build),
    ("com.microsoft", "Attention", attention::build_packed),
    ("com.microsoft", "FusedMatMul", fused_matmul::build),
    ("com.microsoft", "MultiHeadAttention", attention::build_multi_head),
    ("com.microsoft", "SkipLayerNormalization", skip_layer_normalization::build),
    (
        "com.microsoft",
        "SkipSimplifiedLayerNormalization",
        skip_layer_normalization::build_simplified,
    ),
    ("", "MaxPool", max_pool::build),
    ("", "Resize", resize::build),
    ("", "Upsample", resize::build_upsample),
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
