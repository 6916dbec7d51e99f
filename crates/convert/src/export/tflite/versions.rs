//! Versions of operators: a runtime that is too old for what is written says so by them.

use super::writer::{BOOL, FLOAT, INT8, INT64, UINT8};

/// The version of an operator whose first input has this type, this many inputs, and perhaps weights
/// with a scale for each channel.
pub(super) fn version(operator: &str, type_code: i8, (inputs, by_channel): (usize, bool)) -> i32 {
    let is_int8 = type_code == INT8;
    let signed = |version| if is_int8 { version } else { 1 };
    match operator {
        "CONV_2D" => {
            if is_int8 {
                if by_channel { 3 } else { 3 }
            } else {
                1
            }
        }
        "DEPTHWISE_CONV_2D" => signed(3),
        "TRANSPOSE_CONV" => {
            if inputs > 3 {
                3
            } else {
                signed(2)
            }
        }
        "FULLY_CONNECTED" => signed(4),
        "BATCH_MATMUL" => signed(2),
        "ADD" | "SUB" | "MUL" => {
            if type_code == INT64 {
                4.min(if operator == "ADD" { 4 } else { 3 })
            } else {
                signed(2)
            }
        }
        "AVERAGE_POOL_2D" | "MAX_POOL_2D" | "CONCATENATION" | "PAD" | "PADV2" | "TRANSPOSE"
        | "SOFTMAX" | "LOGISTIC" | "TANH" | "MEAN" | "SUM" | "REDUCE_MAX" | "REDUCE_MIN"
        | "STRIDED_SLICE" | "SPLIT" | "SPLIT_V" | "GATHER" | "SLICE" | "RELU" | "RELU6"
        | "LEAKY_RELU" | "MAXIMUM" | "MINIMUM" | "SPACE_TO_DEPTH" | "DEPTH_TO_SPACE"
        | "LOG_SOFTMAX" | "MIRROR_PAD" | "TOPK_V2" | "ARG_MAX" | "ARG_MIN" | "SQUEEZE" => signed(2),
        "RESIZE_BILINEAR" | "RESIZE_NEAREST_NEIGHBOR" => 3,
        "QUANTIZE" => {
            if type_code == FLOAT {
                1
            } else {
                2
            }
        }
        "DEQUANTIZE" => {
            if by_channel {
                5
            } else if type_code == FLOAT || type_code == UINT8 {
                1
            } else if type_code == 1 {
                3
            } else {
                2
            }
        }
        "EQUAL" | "NOT_EQUAL" => {
            if type_code == BOOL {
                2
            } else {
                signed(2)
            }
        }
        "GREATER" | "GREATER_EQUAL" | "LESS" | "LESS_EQUAL" => signed(2),
        "BROADCAST_TO" => 2,
        _ => 1,
    }
}
