//! Which elements kernels of TensorFlow Lite compute with, where these do not stand for real numbers:
//! the interpreter of TensorFlow 2.21 was asked, operator by operator, which types it prepares and
//! runs. With others it refuses the model when it is loaded, or ends the process.

use super::stop::{Stop, refused};
use super::writer::{BOOL, FLOAT, INT8, INT32, INT64, UINT8};
use crate::tflite::schema::element_type;

const INT16: i8 = 7;
const UINT32: i8 = 15;

/// Types, and the operators that compute with these alone.
const KERNELS: &[(&[i8], &[&str])] = &[
    (
        &[FLOAT],
        &[
            "AVERAGE_POOL_2D",
            "BATCH_MATMUL",
            "CEIL",
            "CONV_2D",
            "CONV_3D",
            "COS",
            "DEPTHWISE_CONV_2D",
            "ELU",
            "EXP",
            "FLOOR",
            "FULLY_CONNECTED",
            "GELU",
            "HARD_SWISH",
            "LEAKY_RELU",
            "LOCAL_RESPONSE_NORMALIZATION",
            "LOG",
            "LOGISTIC",
            "LOG_SOFTMAX",
            "PRELU",
            "RELU",
            "RELU6",
            "RELU_N1_TO_1",
            "ROUND",
            "RSQRT",
            "SIN",
            "SOFTMAX",
            "SQRT",
            "TANH",
            "TRANSPOSE_CONV",
        ],
    ),
    (&[BOOL], &["LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR"]),
    (&[FLOAT, INT32], &["ABS", "DIV", "POW", "SIGN"]),
    (
        &[FLOAT, INT32, INT64],
        &["ADD", "CUMSUM", "MEAN", "MUL", "NEG", "RANGE", "REDUCE_PROD", "SUB", "SUM"],
    ),
    (&[FLOAT, INT32, INT64, BOOL, INT16], &["EQUAL", "NOT_EQUAL"]),
    (&[FLOAT, INT32, INT64, INT16], &["GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]),
    (&[FLOAT, INT32, INT64, INT16, INT8], &["FLOOR_MOD"]),
    (&[FLOAT, INT32, INT64, BOOL, INT16, INT8], &["FILL"]),
    (&[FLOAT, INT32, UINT8, INT8, BOOL], &["ARG_MAX", "ARG_MIN"]),
    (&[FLOAT, UINT8, INT8], &["MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"]),
    (&[FLOAT, INT32, UINT8, INT64, INT8], &["DEPTH_TO_SPACE", "SPACE_TO_DEPTH"]),
    (&[FLOAT, INT32, UINT8, INT64, BOOL, INT8], &["TILE"]),
    (
        &[FLOAT, INT32, UINT8, INT64, INT16, INT8],
        &[
            "MAXIMUM",
            "MINIMUM",
            "MIRROR_PAD",
            "REDUCE_MAX",
            "REDUCE_MIN",
            "SPLIT",
            "SPLIT_V",
            "TOPK_V2",
        ],
    ),
    (
        &[FLOAT, INT32, UINT8, INT64, BOOL, INT16, INT8],
        &["GATHER", "GATHER_ND", "PAD", "PADV2", "TRANSPOSE"],
    ),
    (
        &[FLOAT, INT32, UINT8, INT64, BOOL, INT16, INT8, UINT32],
        &["CONCATENATION", "SLICE", "STRIDED_SLICE"],
    ),
];

/// Which input of an operator holds the elements that it computes with.
pub(super) fn place(operator: &str) -> usize {
    match operator {
        "SPLIT" | "FILL" => 1,
        // The output comes first.
        "TRANSPOSE_CONV" => 2,
        _ => 0,
    }
}

/// Refuses an operator whose kernel does not compute with elements of this type.
pub(super) fn check(operator: &str, type_code: i8) -> Result<(), Stop> {
    let kernel = KERNELS.iter().find(|(_, operators)| operators.contains(&operator));
    if kernel.is_none_or(|(types, _)| types.contains(&type_code)) {
        return Ok(());
    }
    let found = element_type(type_code).map_or("unknown".into(), |found| found.to_string());
    let way_out = "cast to float or int32 before it, where the model was trained";
    Err(refused(format!("{found} values, which {operator} does not compute with"), way_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operator_is_listed_once() {
        let mut all: Vec<&str> = KERNELS.iter().flat_map(|(_, names)| *names).copied().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_the_interpreter_refused_is_refused() {
        assert!(check("DIV", INT64).is_err());
        assert!(check("EQUAL", UINT8).is_err());
        assert!(check("ARG_MAX", INT64).is_err());
        assert!(check("RELU", INT32).is_err());
        assert!(check("SUB", INT64).is_ok());
        assert!(check("RESHAPE", UINT32).is_ok());
    }
}
