//! `UNIDIRECTIONAL_SEQUENCE_LSTM` and `LSTM`, its single step: the full kernel, with peepholes and
//! clipping; states are variable tensors.

use modelyard_graph::{Constant, ElementType};

use super::super::convert::Converter;
use super::super::model::{Operator, Subgraph};
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch, refused};
use super::lstm_steps::{Rounding, State, Walk};
use crate::emitter::node;

/// Gates in the order of TensorFlow Lite: input, forget, cell, output.
pub(super) const GATES: [&str; 4] = ["input", "forget", "cell", "output"];
/// The same gates in the order of ONNX: input, output, forget, cell.
const ONNX_ORDER: [usize; 4] = [0, 3, 1, 2];

/// Where the inputs stand.
pub(super) const INPUT_WEIGHTS: usize = 1;
pub(super) const RECURRENT_WEIGHTS: usize = 5;
pub(super) const PEEPHOLES: usize = 9;
pub(super) const BIASES: usize = 12;
const PROJECTION: usize = 16;
pub(in super::super) const OUTPUT_STATE: usize = 18;
pub(in super::super) const CELL_STATE: usize = 19;
const NORMS: usize = 20;

pub(super) struct Parts {
    pub(super) activation: Activation,
    /// Cells are kept within this; 0 does not.
    pub(super) clip: f32,
    pub(super) time_major: bool,
    pub(super) is_sequence: bool,
}

pub(super) fn parts(op: &Operator) -> Result<Parts, Stop> {
    let is_sequence = op.kind == "UNIDIRECTIONAL_SEQUENCE_LSTM";
    if !is_sequence && op.options.code(3)? != 0 {
        return Err(refused("the basic kernel", "use the full kernel of LSTM"));
    }
    if op.optional(INPUT_WEIGHTS).is_none() {
        return Err(refused("an input gate coupled to the forget gate", "give it weights"));
    }
    if op.optional(PROJECTION).is_some() {
        return Err(refused("a projection of the output", "multiply outside of the layer"));
    }
    if (NORMS..NORMS + 4).any(|index| op.optional(index).is_some()) {
        return Err(refused("normalization of the gates", "use a layer without"));
    }
    let activation = op.activation(0)?;
    if !matches!(activation, Activation::Tanh | Activation::Relu) {
        let reason = format!("activation {activation:?}");
        return Err(refused(reason, "use tanh or relu"));
    }
    Ok(Parts {
        activation,
        clip: op.options.f32(1)?,
        time_major: !is_sequence || op.options.bool(3)?,
        is_sequence,
    })
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let parts = parts(op)?;
    let (input, output) = (op.input(0)?, op.output(0)?);
    let mut x = cx.real(input)?;
    let first = cx.emitter.integers("axis", &[0]);
    if !parts.is_sequence {
        x = cx.emitter.add(node("Unsqueeze", &[&x, &first]));
    } else if !parts.time_major {
        x = cx.transpose(&x, &[1, 0, 2]);
    }
    let rounding = rounding(cx.scope.graph, op, parts.activation)?;
    if parts.clip > 0.0 || rounding.is_some() {
        return convert_steps(cx, op, (&parts, rounding), x);
    }
    let weights = gates(cx, op, INPUT_WEIGHTS, &first)?;
    let recurrent = gates(cx, op, RECURRENT_WEIGHTS, &first)?;
    let bias = biases(cx, op, &first)?;
    let (hidden, cell) = (op.input(OUTPUT_STATE)?, op.input(CELL_STATE)?);
    let mut inputs = vec![x, weights, recurrent, bias, String::new()];
    for state in [hidden, cell] {
        let state = cx.real(state)?;
        inputs.push(cx.emitter.add(node("Unsqueeze", &[&state, &first])));
    }
    inputs.extend(peepholes(cx, op, &first)?);
    let units = cx.dims(hidden).get(1).copied().flatten();
    let units = units.ok_or_else(|| mismatch("its state has no size"))?;
    let mut lstm = node("LSTM", &inputs).with("hidden_size", units as i64);
    if parts.activation == Activation::Relu {
        lstm = lstm.with("activations", strings(&["Sigmoid", "Relu", "Relu"]));
    }
    let found = cx.emitter.add_many(lstm, 3);
    let [sequence, last, last_cell] = found.as_slice() else {
        return Err(mismatch("an LSTM gives three values"));
    };
    for (state, value) in [(hidden, last), (cell, last_cell)] {
        let value = cx.emitter.add(node("Squeeze", &[value, &first]));
        cx.next_state(state, value)?;
    }
    let direction = cx.emitter.integers("direction", &[1]);
    let mut y = cx.emitter.add(node("Squeeze", &[sequence, &direction]));
    if !parts.is_sequence {
        y = cx.emitter.add(node("Squeeze", &[&y, &first]));
    } else if !parts.time_major {
        y = cx.transpose(&y, &[1, 0, 2]);
    }
    cx.give(output, y)
}

/// As it is written step by step; `x` is `[time, rows, columns]`.
fn convert_steps(
    cx: &mut Converter<'_>,
    op: &Operator,
    (parts, rounding): (&Parts, Option<Rounding>),
    x: String,
) -> Result<(), Stop> {
    let axis = usize::from(parts.is_sequence && !parts.time_major);
    let dims = cx.dims(op.input(0)?);
    let steps = if parts.is_sequence { dims.get(axis).copied().flatten() } else { Some(1) };
    let (hidden, cell) = (op.input(OUTPUT_STATE)?, op.input(CELL_STATE)?);
    let units = cx.dims(hidden).get(1).copied().flatten();
    let peepholes = match op.optional(PEEPHOLES) {
        None => None,
        Some(_) => {
            let mut each = |gate: usize| cx.real(op.input(PEEPHOLES + gate)?);
            Some([each(0)?, each(1)?, each(2)?])
        }
    };
    let walk = Walk {
        x,
        steps,
        weights: stacked(cx, op, INPUT_WEIGHTS)?,
        recurrent: stacked(cx, op, RECURRENT_WEIGHTS)?,
        bias: stacked(cx, op, BIASES)?,
        peepholes,
        units: units.ok_or_else(|| mismatch("its state has no size"))?,
        activation: parts.activation,
        clip: parts.clip,
        rounding,
    };
    let stored = cx.raw(cell)?;
    let start = match &walk.rounding {
        Some(rounding) => rounding.real_cell(cx, &stored),
        None => cx.real(cell)?,
    };
    let start = State { hidden: cx.real(hidden)?, cell: start };
    let (outputs, last) = walk.write(cx, start)?;
    cx.next_state(hidden, last.hidden)?;
    match &walk.rounding {
        Some(rounding) => {
            let steps = rounding.cell_steps(cx, &last.cell);
            let stored = cx.cast(&steps, ElementType::Int16);
            cx.next_stored_state(cell, stored)?;
        }
        None => cx.next_state(cell, last.cell)?,
    }
    if !parts.is_sequence {
        let only = outputs.into_iter().next();
        return cx.give(op.output(0)?, only.ok_or_else(|| mismatch("it has no step"))?);
    }
    let at = cx.emitter.integers("time", &[axis as i64]);
    let frames: Vec<String> =
        outputs.iter().map(|frame| cx.emitter.add(node("Unsqueeze", &[frame, &at]))).collect();
    let y = match frames.as_slice() {
        [only] => only.clone(),
        _ => cx.emitter.add(node("Concat", &frames).with("axis", axis as i64)),
    };
    cx.give(op.output(0)?, y)
}

/// How an integer kernel stores its states between steps; `None` for kernels of floats.
pub(super) fn rounding(
    graph: &Subgraph,
    op: &Operator,
    activation: Activation,
) -> Result<Option<Rounding>, Stop> {
    let stored = |index: usize| -> Result<_, Stop> {
        let tensor = &graph.tensors[op.input(index)?];
        Ok(tensor.element_type.zip(tensor.quantized().cloned()))
    };
    let (hidden, cell) = match (stored(OUTPUT_STATE)?, stored(CELL_STATE)?) {
        (None, None) => return Ok(None),
        (Some(hidden), Some(cell)) => (hidden, cell),
        _ => return Err(mismatch("one of its two states is quantized, the other is not")),
    };
    let (scale, zero_point) = cell.1.single()?;
    let kinds = (hidden.0, cell.0, zero_point);
    if kinds != (ElementType::Int8, ElementType::Int16, 0) {
        let reason = format!("states of {} and cells of {} (zero {zero_point})", hidden.0, cell.0);
        return Err(refused(reason, "quantize it with outputs of 8 bits and cells of 16"));
    }
    if activation != Activation::Tanh {
        let reason = format!("activation {activation:?} in integers");
        return Err(refused(reason, "use tanh, the only one that integer kernels have"));
    }
    hidden.1.single()?;
    Ok(Some(Rounding { hidden: hidden.1, cell: scale as f32 }))
}

/// What all gates have of one kind, below each other, in the order of TensorFlow Lite.
fn stacked(cx: &mut Converter<'_>, op: &Operator, first: usize) -> Result<String, Stop> {
    let mut parts = Vec::new();
    for gate in 0..GATES.len() {
        parts.push(cx.real(op.input(first + gate)?)?);
    }
    Ok(cx.emitter.add(node("Concat", &parts).with("axis", 0i64)))
}

fn strings(values: &[&str]) -> modelyard_graph::AttributeValue {
    let values = values.iter().map(|value| bytes::Bytes::copy_from_slice(value.as_bytes()));
    modelyard_graph::AttributeValue::Strings(values.collect())
}

/// The weights of all gates, one below the other, in ONNX's order, for one direction.
fn gates(cx: &mut Converter<'_>, op: &Operator, first: usize, axis: &str) -> Result<String, Stop> {
    let mut parts = Vec::new();
    for gate in ONNX_ORDER {
        parts.push(cx.real(op.input(first + gate)?)?);
    }
    let joined = cx.emitter.add(node("Concat", &parts).with("axis", 0i64));
    Ok(cx.emitter.add(node("Unsqueeze", &[joined.as_str(), axis])))
}

/// The biases in ONNX's order, then as many zeros for those of the recurrent weights.
fn biases(cx: &mut Converter<'_>, op: &Operator, axis: &str) -> Result<String, Stop> {
    let mut parts = Vec::new();
    let mut units = 0;
    for gate in ONNX_ORDER {
        let bias = op.input(BIASES + gate)?;
        units = cx.tensor(bias).elements().unwrap_or(0);
        parts.push(cx.real(bias)?);
    }
    let zeros = vec![0.0; units.saturating_mul(GATES.len())];
    parts.push(cx.emitter.constant(Constant::floats("zeros", &[zeros.len()], &zeros)));
    let joined = cx.emitter.add(node("Concat", &parts).with("axis", 0i64));
    Ok(cx.emitter.add(node("Unsqueeze", &[joined.as_str(), axis])))
}

/// Peepholes of the input, forget and output gates, in ONNX's order: input, output, forget.
fn peepholes(cx: &mut Converter<'_>, op: &Operator, axis: &str) -> Result<Option<String>, Stop> {
    if op.optional(PEEPHOLES).is_none() {
        return Ok(None);
    }
    let mut parts = Vec::new();
    for gate in [0, 2, 1] {
        parts.push(cx.real(op.input(PEEPHOLES + gate)?)?);
    }
    let joined = cx.emitter.add(node("Concat", &parts).with("axis", 0i64));
    Ok(Some(cx.emitter.add(node("Unsqueeze", &[joined.as_str(), axis]))))
}
