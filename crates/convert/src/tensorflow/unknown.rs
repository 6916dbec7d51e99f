//! What to say of operators that are not covered.

use super::value::Refusal;

/// Why an operator is not known, as far as that can be said.
pub(super) fn unknown(op: &str) -> Refusal {
    let (reason, way_out) = match op {
        "Switch" | "Merge" | "Enter" | "Exit" | "NextIteration" | "RefSwitch" | "RefMerge"
        | "_SwitchN" => (
            "control flow of TensorFlow 1",
            "export the model with control flow v2 (tf.compat.v1.enable_control_flow_v2)",
        ),
        "PyFunc" | "EagerPyFunc" | "PyFuncStateless" => {
            ("Python code", "write it with TensorFlow's own operators")
        }
        _ if op.starts_with("Random") || op.starts_with("StatelessRandom") => (
            "random numbers, which differ from run to run",
            "export the model for inference, or make the numbers an input",
        ),
        _ if op.contains("String") || op.contains("Regex") || op.starts_with("Decode") => {
            ("the operator, which works on text or encoded data", "do this before the model")
        }
        _ if op.starts_with("Assign") => {
            ("a change of a variable", "export the model without its state")
        }
        _ if op.starts_with("Sparse") || op.starts_with("Ragged") => {
            ("the operator, which works on sparse or ragged tensors", "use dense tensors")
        }
        _ => ("the operator", "write this part with other operators"),
    };
    Refusal::new(reason, way_out)
}
