//! The operators, a file for each or for a small family.
//!
//! Each has two functions: one writes what it is in ONNX, the other computes it by the definition
//! of TensorFlow Lite. [`OPERATORS`] names them all.

mod activation;
mod batch_matmul;
mod binary;
mod compare;
mod control;
mod conv;
mod conv_3d;
mod depthwise;
mod detection;
mod fill;
mod fourier;
mod fully_connected;
mod gather;
mod join;
mod lookup;
pub(super) mod lstm;
mod lstm_evaluate;
mod lstm_steps;
mod mediapipe;
mod norm;
mod order;
mod pad;
mod pool;
mod prelu;
mod quantize;
mod reduce;
mod reshape;
mod resize;
mod rnn;
mod segment;
mod select;
mod slice;
mod softmax;
mod space;
mod suppress;
mod svdf;
mod transpose;
mod transpose_conv;
mod unary;
mod variable;

use super::convert::Converter;
use super::evaluate::Evaluation;
use super::model::Operator;
use super::stop::{Stop, refused};

type Convert = fn(&mut Converter<'_>, &Operator) -> Result<(), Stop>;
type Evaluate = fn(&mut Evaluation<'_>, &Operator) -> Result<(), Stop>;

/// An operator that is known.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) convert: Convert,
    pub(crate) evaluate: Evaluate,
}

const fn entry(name: &'static str, convert: Convert, evaluate: Evaluate) -> Entry {
    Entry { name, convert, evaluate }
}

/// What is known of an operator; `None` when nothing is.
pub(crate) fn find(op: &Operator) -> Option<&'static Entry> {
    OPERATORS.iter().find(|entry| entry.name == op.kind)
}

/// The refusal of an operator that is not known.
pub(crate) fn unknown(op: &Operator) -> Stop {
    let way_out = match op.kind.as_str() {
        kind if kind.starts_with("Flex") => {
            "it is an operator of TensorFlow inside the file; convert the model to TensorFlow Lite \
             without SELECT_TF_OPS, or convert the SavedModel instead"
        }
        kind if kind.starts_with("STABLEHLO_") => {
            "convert the model to TensorFlow Lite with builtin operators"
        }
        "UNIQUE" => "its output has no size that is known; find the distinct values outside",
        "MULTINOMIAL" | "RANDOM_UNIFORM" | "RANDOM_STANDARD_NORMAL" => {
            "make the random numbers outside and give them as an input"
        }
        _ if op.is_custom => "only the program that wrote the model knows it; leave it out",
        _ => "replace it in the model, or convert the model from its original format",
    };
    refused("the operator", way_out)
}

/// All operators that are known, by name.
pub(crate) const OPERATORS: &[Entry] = &[
    entry("ABS", unary::convert, unary::evaluate),
    entry("ADD", binary::convert, binary::evaluate),
    entry("ADD_N", binary::convert_sum, binary::evaluate_sum),
    entry("ARG_MAX", reduce::convert_arg, reduce::evaluate_arg),
    entry("ARG_MIN", reduce::convert_arg, reduce::evaluate_arg),
    entry("ASSIGN_VARIABLE", variable::convert_assign, variable::evaluate_assign),
    entry("ATAN2", binary::convert, binary::evaluate),
    entry("AVERAGE_POOL_2D", pool::convert, pool::evaluate),
    entry("BATCH_MATMUL", batch_matmul::convert, batch_matmul::evaluate),
    entry("BATCH_TO_SPACE_ND", space::convert_from_batch, space::evaluate_from_batch),
    entry("BITWISE_XOR", binary::convert, binary::evaluate),
    entry("BROADCAST_ARGS", fill::convert_args, fill::evaluate_args),
    entry("BROADCAST_TO", fill::convert_broadcast, fill::evaluate_broadcast),
    entry("BUCKETIZE", lookup::convert_buckets, lookup::evaluate_buckets),
    entry("CALL", control::convert_call, control::evaluate_call),
    entry("CALL_ONCE", variable::convert_once, variable::evaluate_once),
    entry("CAST", quantize::convert_cast, quantize::evaluate_cast),
    entry("CEIL", unary::convert, unary::evaluate),
    entry("COMPLEX_ABS", fourier::convert_part, fourier::evaluate_part),
    entry("CONCATENATION", join::convert_concat, join::evaluate_concat),
    entry("CONV_2D", conv::convert, conv::evaluate),
    entry("CONV_3D", conv_3d::convert, conv_3d::evaluate),
    entry("CONV_3D_TRANSPOSE", conv_3d::convert, conv_3d::evaluate),
    entry("COS", unary::convert, unary::evaluate),
    entry("CUMSUM", order::convert_cumsum, order::evaluate_cumsum),
    entry(
        "Convolution2DTransposeBias",
        transpose_conv::convert_custom,
        transpose_conv::evaluate_custom,
    ),
    entry("DENSIFY", quantize::convert_dense, quantize::evaluate_dense),
    entry("DEPTHWISE_CONV_2D", depthwise::convert, depthwise::evaluate),
    entry("DEPTH_TO_SPACE", space::convert_to_space, space::evaluate_to_space),
    entry("DEQUANTIZE", quantize::convert_back, quantize::evaluate_back),
    entry("DIV", binary::convert, binary::evaluate),
    entry("DYNAMIC_UPDATE_SLICE", gather::convert_update, gather::evaluate_update),
    entry("ELU", activation::convert, activation::evaluate),
    entry("EMBEDDING_LOOKUP", gather::convert_lookup, gather::evaluate_lookup),
    entry("EQUAL", compare::convert, compare::evaluate),
    entry("EXP", unary::convert, unary::evaluate),
    entry("EXPAND_DIMS", reshape::convert_expand, reshape::evaluate_expand),
    entry("FAKE_QUANT", quantize::convert_fake, quantize::evaluate_fake),
    entry("FILL", fill::convert_fill, fill::evaluate_fill),
    entry("FLOOR", unary::convert, unary::evaluate),
    entry("FLOOR_DIV", binary::convert, binary::evaluate),
    entry("FLOOR_MOD", binary::convert, binary::evaluate),
    entry("FULLY_CONNECTED", fully_connected::convert, fully_connected::evaluate),
    entry("GATHER", gather::convert, gather::evaluate),
    entry("GATHER_ND", gather::convert_nd, gather::evaluate_nd),
    entry("GELU", activation::convert, activation::evaluate),
    entry("GREATER", compare::convert, compare::evaluate),
    entry("GREATER_EQUAL", compare::convert, compare::evaluate),
    entry("HARD_SWISH", activation::convert, activation::evaluate),
    entry("HASHTABLE_LOOKUP", lookup::convert_lookup, lookup::evaluate_lookup),
    entry("IF", control::convert_if, control::evaluate_if),
    entry("IMAG", fourier::convert_part, fourier::evaluate_part),
    entry("L2_NORMALIZATION", norm::convert, norm::evaluate),
    entry("L2_POOL_2D", pool::convert, pool::evaluate),
    entry("LEAKY_RELU", activation::convert, activation::evaluate),
    entry("LESS", compare::convert, compare::evaluate),
    entry("LESS_EQUAL", compare::convert, compare::evaluate),
    entry("LOCAL_RESPONSE_NORMALIZATION", norm::convert_local, norm::evaluate_local),
    entry("LOG", unary::convert, unary::evaluate),
    entry("LOGICAL_AND", compare::convert, compare::evaluate),
    entry("LOGICAL_NOT", unary::convert, unary::evaluate),
    entry("LOGICAL_OR", compare::convert, compare::evaluate),
    entry("LOGISTIC", activation::convert, activation::evaluate),
    entry("LOG_SOFTMAX", softmax::convert, softmax::evaluate),
    entry("LSTM", lstm::convert, lstm_evaluate::evaluate),
    entry("MATRIX_DIAG", lookup::convert_diagonal, lookup::evaluate_diagonal),
    entry("MAXIMUM", binary::convert, binary::evaluate),
    entry("MAX_POOL_2D", pool::convert, pool::evaluate),
    entry("MEAN", reduce::convert, reduce::evaluate),
    entry("MINIMUM", binary::convert, binary::evaluate),
    entry("MIRROR_PAD", pad::convert, pad::evaluate),
    entry("MUL", binary::convert, binary::evaluate),
    entry("MaxPoolingWithArgmax2D", mediapipe::convert_pool, mediapipe::evaluate_pool),
    entry("MaxUnpooling2D", mediapipe::convert_unpool, mediapipe::evaluate_unpool),
    entry("NEG", unary::convert, unary::evaluate),
    entry("NON_MAX_SUPPRESSION_V4", suppress::convert, suppress::evaluate),
    entry("NON_MAX_SUPPRESSION_V5", suppress::convert, suppress::evaluate),
    entry("NOT_EQUAL", compare::convert, compare::evaluate),
    entry("ONE_HOT", gather::convert_one_hot, gather::evaluate_one_hot),
    entry("PACK", join::convert_pack, join::evaluate_pack),
    entry("PAD", pad::convert, pad::evaluate),
    entry("PADV2", pad::convert, pad::evaluate),
    entry("POW", binary::convert, binary::evaluate),
    entry("PRELU", prelu::convert, prelu::evaluate),
    entry("QUANTIZE", quantize::convert, quantize::evaluate),
    entry("RANGE", fill::convert_range, fill::evaluate_range),
    entry("RANK", fill::convert_rank, fill::evaluate_rank),
    entry("READ_VARIABLE", variable::convert_read, variable::evaluate_read),
    entry("REAL", fourier::convert_part, fourier::evaluate_part),
    entry("REDUCE_ALL", reduce::convert, reduce::evaluate),
    entry("REDUCE_ANY", reduce::convert, reduce::evaluate),
    entry("REDUCE_MAX", reduce::convert, reduce::evaluate),
    entry("REDUCE_MIN", reduce::convert, reduce::evaluate),
    entry("REDUCE_PROD", reduce::convert, reduce::evaluate),
    entry("RELU", activation::convert, activation::evaluate),
    entry("RELU6", activation::convert, activation::evaluate),
    entry("RELU_0_TO_1", activation::convert, activation::evaluate),
    entry("RELU_N1_TO_1", activation::convert, activation::evaluate),
    entry("RESHAPE", reshape::convert, reshape::evaluate),
    entry("RESIZE_BILINEAR", resize::convert, resize::evaluate),
    entry("RESIZE_NEAREST_NEIGHBOR", resize::convert, resize::evaluate),
    entry("REVERSE_SEQUENCE", order::convert_sequence, order::evaluate_sequence),
    entry("REVERSE_V2", order::convert_reverse, order::evaluate_reverse),
    entry("RFFT2D", fourier::convert, fourier::evaluate),
    entry("RNN", rnn::convert, rnn::evaluate),
    entry("ROUND", unary::convert, unary::evaluate),
    entry("RSQRT", unary::convert, unary::evaluate),
    entry("SCATTER_ND", gather::convert_scatter, gather::evaluate_scatter),
    entry("SEGMENT_SUM", segment::convert, segment::evaluate),
    entry("SELECT", select::convert, select::evaluate),
    entry("SELECT_V2", select::convert, select::evaluate),
    entry("SHAPE", fill::convert_shape, fill::evaluate_shape),
    entry("SIGN", unary::convert, unary::evaluate),
    entry("SIN", unary::convert, unary::evaluate),
    entry("SLICE", slice::convert, slice::evaluate),
    entry("SOFTMAX", softmax::convert, softmax::evaluate),
    entry("SPACE_TO_BATCH_ND", space::convert_to_batch, space::evaluate_to_batch),
    entry("SPACE_TO_DEPTH", space::convert_to_depth, space::evaluate_to_depth),
    entry("SPARSE_TO_DENSE", lookup::convert_dense, lookup::evaluate_dense),
    entry("SPLIT", join::convert_split, join::evaluate_split),
    entry("SPLIT_V", join::convert_split, join::evaluate_split),
    entry("SQRT", unary::convert, unary::evaluate),
    entry("SQUARE", unary::convert, unary::evaluate),
    entry("SQUARED_DIFFERENCE", binary::convert, binary::evaluate),
    entry("SQUEEZE", reshape::convert_squeeze, reshape::evaluate_squeeze),
    entry("STABLEHLO_COMPOSITE", control::convert_call, control::evaluate_call),
    entry("STRIDED_SLICE", slice::convert_strided, slice::evaluate_strided),
    entry("SUB", binary::convert, binary::evaluate),
    entry("SUM", reduce::convert, reduce::evaluate),
    entry("SVDF", svdf::convert, svdf::evaluate),
    entry("TANH", activation::convert, activation::evaluate),
    entry("TFLite_Detection_PostProcess", detection::convert, detection::evaluate),
    entry("TILE", order::convert_tile, order::evaluate_tile),
    entry("TOPK_V2", order::convert_top, order::evaluate_top),
    entry("TRANSPOSE", transpose::convert, transpose::evaluate),
    entry("TRANSPOSE_CONV", transpose_conv::convert, transpose_conv::evaluate),
    entry("TransformTensor", mediapipe::convert_transform, mediapipe::evaluate_transform),
    entry("TransformTensorBilinear", mediapipe::convert_transform, mediapipe::evaluate_transform),
    entry("UNIDIRECTIONAL_SEQUENCE_LSTM", lstm::convert, lstm_evaluate::evaluate),
    entry("UNIDIRECTIONAL_SEQUENCE_RNN", rnn::convert, rnn::evaluate),
    entry("UNPACK", join::convert_unpack, join::evaluate_unpack),
    entry("UNSORTED_SEGMENT_MAX", segment::convert, segment::evaluate),
    entry("UNSORTED_SEGMENT_MIN", segment::convert, segment::evaluate),
    entry("UNSORTED_SEGMENT_PROD", segment::convert, segment::evaluate),
    entry("UNSORTED_SEGMENT_SUM", segment::convert, segment::evaluate),
    entry("VAR_HANDLE", variable::convert_handle, variable::evaluate_handle),
    entry("WHERE", select::convert_where, select::evaluate_where),
    entry("WHILE", control::convert_while, control::evaluate_while),
    entry("ZEROS_LIKE", unary::convert, unary::evaluate),
];
