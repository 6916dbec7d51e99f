//! TensorFlow Lite: what the interpreter answers.

use crate::support::check;

/// Models that the embedded engine runs whole.
#[test]
fn models_answer_as_the_interpreter() {
    for name in [
        "network",
        "network_float16",
        "network_dynamic",
        "network_int8",
        "network_int8_float_io",
        "lstm",
        "gru_while",
        "stream",
        "while",
        "if",
        "shapes",
        "elementwise",
        "pairs",
        "reductions",
        "indices",
        "moves",
        "images",
        "volumes",
        "memories",
        "peepholes",
        "fourier",
        "suppression",
        "detection",
        "detection_by_class",
        "integers",
        "uint8",
        "sparse",
        "pooling",
        "transpose_bias",
        "transform",
    ] {
        println!("{name}");
        check(&format!("tflite/{name}.tflite"));
    }
}
