//! Versions of operators: a runtime that is too old for what is written says so by them.

use super::writer::{BOOL, FLOAT, INT8, INT64, UINT8};

/// The number of floats of 16 bits.
const FLOAT16: i8 = 1;

/// The version of an operator whose first input has this type, this many inputs, and perhaps weights
/// with a scale for each channel.
pub(super) fn version(operator: &str, type_code: i8, (inputs, by_channel): (usize, bool)) -> i32 {
    let signed = |version| if type_code == INT8 { version } else { 1 };
    match operator {
        "CONV_2D" | "DEPTHWISE_CONV_2D" => signed(3),
        // With a bias.
        "TRANSPOSE_CONV" if inputs > 3 => 3,
        "FULLY_CONNECTED" => signed(4),
        "ADD" if type_code == INT64 => 4,
        "SUB" if type_code == INT64 => 4,
        "MUL" if type_code == INT64 => 6,
        "RESIZE_BILINEAR" | "RESIZE_NEAREST_NEIGHBOR" => 3,
        "QUANTIZE" if type_code != FLOAT => 2,
        "DEQUANTIZE" if by_channel => 5,
        "DEQUANTIZE" if type_code == FLOAT16 => 3,
        "DEQUANTIZE" if type_code != UINT8 => 2,
        "EQUAL" | "NOT_EQUAL" if type_code == BOOL => 2,
        "BROADCAST_TO" => 2,
        name if SIGNED_SECOND.contains(&name) => signed(2),
        _ => 1,
    }
}

/// Operators that learned 8-bit integers with their second version.
const SIGNED_SECOND: &[&str] = &[
    "ADD",
    "ARG_MAX",
    "ARG_MIN",
    "AVERAGE_POOL_2D",
    "BATCH_MATMUL",
    "CONCATENATION",
    "DEPTH_TO_SPACE",
    "EQUAL",
    "GATHER",
    "GREATER",
    "GREATER_EQUAL",
    "LEAKY_RELU",
    "LESS",
    "LESS_EQUAL",
    "LOGISTIC",
    "LOG_SOFTMAX",
    "MAXIMUM",
    "MAX_POOL_2D",
    "MEAN",
    "MINIMUM",
    "MIRROR_PAD",
    "MUL",
    "NOT_EQUAL",
    "PAD",
    "PADV2",
    "REDUCE_MAX",
    "REDUCE_MIN",
    "RELU",
    "RELU6",
    "SLICE",
    "SOFTMAX",
    "SPACE_TO_DEPTH",
    "SPLIT",
    "SPLIT_V",
    "SQUEEZE",
    "STRIDED_SLICE",
    "SUB",
    "SUM",
    "TANH",
    "TOPK_V2",
    "TRANSPOSE",
    "TRANSPOSE_CONV",
];
