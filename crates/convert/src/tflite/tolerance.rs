//! How far the answers of a converted model may be from those of the interpreter.

use modelyard_graph::ElementType;

use super::model::{Operator, Subgraph};
use super::ops::lstm::{CELL_STATE, OUTPUT_STATE};
use crate::Tolerance;

/// The tolerance for a graph; what is approximated is noted.
pub(crate) fn tolerance(graph: &Subgraph, notes: &mut Vec<String>) -> Tolerance {
    let mut tolerance = Tolerance::default();
    let is_hybrid = |op: &&Operator| {
        let kind_of = |input: usize| {
            let tensor = op.optional(input).map(|tensor| &graph.tensors[tensor]);
            tensor.and_then(|tensor| tensor.element_type)
        };
        let weights = matches!(kind_of(1), Some(ElementType::Int8 | ElementType::Int4));
        HYBRID.contains(&op.kind.as_str()) && kind_of(0) == Some(ElementType::Float32) && weights
    };
    let hybrid = graph.operators.iter().filter(is_hybrid).count();
    if hybrid > 0 {
        notes.push(format!(
            "{hybrid} operators have 8-bit weights and float inputs, which TensorFlow Lite rounds to \
             8 bits at run time; the converted model does not, so it is closer to the model before \
             quantization"
        ));
        tolerance.relative = 3e-2;
    }
    let quantized = graph.operators.iter().filter(|op| is_quantized(graph, op)).count();
    if quantized > 0 {
        notes.push(format!(
            "{quantized} operators compute with quantized integers; as ONNX has it, they dequantize, \
             compute and quantize, which may round the other way"
        ));
        // Each rounding may fall to the other side, and the error goes on to the next operator.
        tolerance.steps = (2.0 + quantized as f64 / 16.0).min(16.0).floor();
        tolerance.relative = tolerance.relative.max(tolerance.steps / 127.0);
        let cells = graph.operators.iter().filter_map(|op| steps_of_cells(graph, op));
        tolerance.wide_steps = cells.map(|steps| steps * tolerance.steps).fold(0.0, f64::max);
    }
    tolerance
}

/// How many steps of an LSTM's 16-bit cells one step of its 8-bit output is, which it takes in
/// again.
fn steps_of_cells(graph: &Subgraph, op: &Operator) -> Option<f64> {
    if !op.kind.ends_with("LSTM") {
        return None;
    }
    let scale = |input: usize| {
        let quantization = graph.tensors[op.optional(input)?].quantized()?;
        quantization.single().ok().map(|(scale, _)| scale)
    };
    let steps = scale(OUTPUT_STATE)? / scale(CELL_STATE)?;
    steps.is_finite().then_some(steps.min(MOST_CELL_STEPS))
}

/// The range of 16 bits is 256 times that of 8.
const MOST_CELL_STEPS: f64 = 256.0;

/// Operators whose kernels round float inputs when the weights are integers.
const HYBRID: &[&str] = &[
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "BATCH_MATMUL",
    "SVDF",
    "RNN",
    "LSTM",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
];

/// Whether an operator computes something that is rounded to integers.
fn is_quantized(graph: &Subgraph, op: &Operator) -> bool {
    let output = op.outputs.first().map(|&output| &graph.tensors[output]);
    output.is_some_and(|tensor| tensor.quantized().is_some())
}
