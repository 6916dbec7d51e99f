//! Recurrent layers: LSTM, GRU and the plain one, with several layers and both directions.

use std::rc::Rc;

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::Size;
use crate::reference::{Array, activations, elementwise, matmul, recurrent, shape};

const LAYERS: &str =
    "input hx params has_biases num_layers dropout train bidirectional batch_first";
const CELL: &str = "input hx w_ih w_hh b_ih b_hh";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.lstm.input", LAYERS, convert, evaluate),
    operator("aten.gru.input", LAYERS, convert, evaluate),
    operator("aten.rnn_tanh.input", LAYERS, convert, evaluate),
    operator("aten.rnn_relu.input", LAYERS, convert, evaluate),
    operator("aten.lstm_cell.default", CELL, convert_cell, evaluate_cell),
    operator("aten.gru_cell.default", CELL, convert_cell, evaluate_cell),
    operator("aten.rnn_tanh_cell.default", CELL, convert_cell, evaluate_cell),
    operator("aten.rnn_relu_cell.default", CELL, convert_cell, evaluate_cell),
];

/// A kind of recurrence.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lstm,
    Gru,
    Tanh,
    Relu,
}

impl Kind {
    fn of(operator: &str) -> Kind {
        match operator {
            _ if operator.starts_with("lstm") => Kind::Lstm,
            _ if operator.starts_with("gru") => Kind::Gru,
            _ if operator.contains("relu") => Kind::Relu,
            _ => Kind::Tanh,
        }
    }

    /// Where ONNX has each gate: PyTorch has input, forget, cell, output, and reset, update, new.
    fn gates(self) -> &'static [i64] {
        match self {
            Kind::Lstm => &[0, 3, 1, 2],
            Kind::Gru => &[1, 0, 2],
            Kind::Tanh | Kind::Relu => &[0],
        }
    }

    fn op_type(self) -> &'static str {
        match self {
            Kind::Lstm => "LSTM",
            Kind::Gru => "GRU",
            Kind::Tanh | Kind::Relu => "RNN",
        }
    }
}

/// Weights of one direction of one layer.
struct Weights<T> {
    input: T,
    hidden: T,
    biases: Option<(T, T)>,
}

/// The parameters by layer and direction, in that order; `None` where they are not as many.
fn by_direction<T: Clone>(params: &[T], has_biases: bool, count: usize) -> Option<Vec<Weights<T>>> {
    let each = if has_biases { 4 } else { 2 };
    if Some(params.len()) != count.checked_mul(each) {
        return None;
    }
    let weights = params.chunks(each).map(|chunk| Weights {
        input: chunk[0].clone(),
        hidden: chunk[1].clone(),
        biases: has_biases.then(|| (chunk[2].clone(), chunk[3].clone())),
    });
    Some(weights.collect())
}

/// A weight with its gates in ONNX's order.
fn reordered(call: &mut Call<'_, '_>, weight: &Tensor, kind: Kind, hidden: i64) -> String {
    let gates = kind.gates();
    if gates.len() == 1 {
        return weight.name.clone();
    }
    let mut parts = Vec::new();
    for gate in gates {
        let at = |gate: i64| Extent::Known(hidden.saturating_mul(gate));
        let (start, end) = (at(*gate), at(gate + 1));
        parts.push(call.to.slice(&weight.name, 0, &start, &end, 1));
    }
    call.to.concat(&parts, 0)
}

/// The weights of one layer as ONNX has them: a direction each along a new first axis.
fn layer_weights(
    call: &mut Call<'_, '_>,
    directions: &[Weights<Tensor>],
    kind: Kind,
    hidden: i64,
) -> [String; 3] {
    let (mut input, mut recurrent, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    for weights in directions {
        for (weight, list) in [(&weights.input, &mut input), (&weights.hidden, &mut recurrent)] {
            let weight = reordered(call, weight, kind, hidden);
            list.push(call.to.unsqueeze(&weight, &[0]));
        }
        if let Some((one, two)) = &weights.biases {
            let both = [reordered(call, one, kind, hidden), reordered(call, two, kind, hidden)];
            let both = call.to.concat(&both, 0);
            biases.push(call.to.unsqueeze(&both, &[0]));
        }
    }
    let biases = if biases.is_empty() { String::new() } else { call.to.concat(&biases, 0) };
    [call.to.concat(&input, 0), call.to.concat(&recurrent, 0), biases]
}

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let kind = Kind::of(call.operator());
    let input = call.tensor("input")?;
    let states = match kind {
        Kind::Lstm => call.tensors("hx")?,
        _ => vec![call.tensor("hx")?],
    };
    let params = call.tensors("params")?;
    let layers = usize::try_from(call.int("num_layers")?).unwrap_or(0);
    let has_biases = call.bool_or("has_biases", true)?;
    let is_bidirectional = call.bool_or("bidirectional", false)?;
    let batch_first = call.bool_or("batch_first", false)?;
    if call.bool_or("train", false)? && call.float_or("dropout", 0.0)? != 0.0 && layers > 1 {
        return Err(Refusal::new(
            "dropout, as in training",
            "call `model.eval()` before the export",
        ));
    }
    let directions = if is_bidirectional { 2 } else { 1 };
    let weights = by_direction(&params, has_biases, layers.saturating_mul(directions))
        .ok_or_else(|| Refusal::new("projections of the state", "leave out proj_size"))?;
    let hidden = params.get(1).and_then(|weight| weight.sizes.get(1)).and_then(Size::known);
    let hidden = hidden.ok_or_else(|| Refusal::new("a state of unknown size", ""))?;
    let is_batched = input.rank() == 3;
    let mut sequence = input.name.clone();
    let mut starts: Vec<String> = states.iter().map(|state| state.name.clone()).collect();
    if !is_batched {
        sequence = call.to.unsqueeze(&sequence, &[1]);
        starts = starts.iter().map(|start| call.to.unsqueeze(start, &[1])).collect();
    } else if batch_first {
        sequence = call.to.transpose(&sequence, &[1, 0, 2]);
    }
    let mut ends: Vec<Vec<String>> = vec![Vec::new(); starts.len()];
    for (layer, weights) in weights.chunks(directions).enumerate() {
        let range = (layer * directions, (layer + 1) * directions);
        let own: Vec<String> = starts
            .iter()
            .map(|start| {
                let (from, to) = (Extent::Known(range.0 as i64), Extent::Known(range.1 as i64));
                if layers == 1 { start.clone() } else { call.to.slice(start, 0, &from, &to, 1) }
            })
            .collect();
        let weights = layer_weights(call, weights, kind, hidden);
        let (next, last) =
            layer_nodes(call, kind, (&sequence, &weights, &own), (hidden, directions));
        sequence = next;
        ends.iter_mut().zip(last).for_each(|(list, end)| list.push(end));
    }
    if !is_batched {
        sequence = call.to.squeeze(&sequence, &[1]);
    } else if batch_first {
        sequence = call.to.transpose(&sequence, &[1, 0, 2]);
    }
    call.give(0, sequence);
    for (index, ends) in ends.iter().enumerate() {
        let mut end = call.to.concat(ends, 0);
        if !is_batched {
            end = call.to.squeeze(&end, &[1]);
        }
        call.give(index + 1, end);
    }
    Ok(())
}

/// One layer over a sequence `[steps, batch, width]`: the next sequence, and the last states.
fn layer_nodes(
    call: &mut Call<'_, '_>,
    kind: Kind,
    (sequence, weights, starts): (&str, &[String; 3], &[String]),
    (hidden, directions): (i64, usize),
) -> (String, Vec<String>) {
    let [input, recurrent, biases] = weights;
    let mut inputs = vec![sequence, input, recurrent, biases, ""];
    inputs.extend(starts.iter().map(String::as_str));
    let mut layer = node(kind.op_type(), &inputs).with("hidden_size", hidden);
    if directions == 2 {
        layer = layer.with("direction", "bidirectional");
    }
    if kind == Kind::Gru {
        layer = layer.with("linear_before_reset", 1i64);
    }
    if kind == Kind::Relu {
        let names = vec![bytes::Bytes::from_static(b"Relu"); directions];
        layer = layer.with("activations", modelyard_graph::AttributeValue::Strings(names));
    }
    let results = call.to.emitter.add_many(layer, starts.len() + 1);
    // [steps, directions, batch, hidden]: the directions side by side.
    let next = if directions == 1 {
        call.to.squeeze(&results[0], &[1])
    } else {
        let turned = call.to.transpose(&results[0], &[0, 2, 1, 3]);
        let flat = call.to.ints(&[0, 0, -1]);
        call.to.emit("Reshape", &[&turned, &flat])
    };
    (next, results[1..].to_vec())
}

/// The next state of a cell from its input and state, by the definitions of `torch.nn`.
fn step(
    kind: Kind,
    weights: &Weights<Rc<Array>>,
    input: &Array,
    state: &[Array],
) -> Result<Vec<Array>, EvaluateError> {
    let missing = || EvaluateError::new("a recurrent layer without a state");
    let hidden = state.first().ok_or_else(missing)?;
    let biases = weights.biases.as_ref();
    let from_input = matmul::linear(input, &weights.input, biases.map(|pair| &*pair.0))?;
    let from_hidden = matmul::linear(hidden, &weights.hidden, biases.map(|pair| &*pair.1))?;
    let size = hidden.dims().last().copied().unwrap_or(0);
    let gate = |array: &Array, at: usize| shape::narrow(array, -1, at * size, size);
    let sigmoid = |array: Array| elementwise::map(&array, activations::sigmoid);
    match kind {
        Kind::Tanh => {
            Ok(vec![elementwise::map(&elementwise::add(&from_input, &from_hidden)?, f64::tanh)?])
        }
        Kind::Relu => {
            let sum = elementwise::add(&from_input, &from_hidden)?;
            Ok(vec![elementwise::clamp(&sum, 0.0, f64::INFINITY)?])
        }
        Kind::Lstm => {
            let sum = elementwise::add(&from_input, &from_hidden)?;
            let cell = state.get(1).ok_or_else(missing)?;
            let (enter, forget) = (sigmoid(gate(&sum, 0)?)?, sigmoid(gate(&sum, 1)?)?);
            let new = elementwise::map(&gate(&sum, 2)?, f64::tanh)?;
            let leave = sigmoid(gate(&sum, 3)?)?;
            let kept = elementwise::mul(&forget, cell)?;
            let cell = elementwise::add(&kept, &elementwise::mul(&enter, &new)?)?;
            let hidden = elementwise::mul(&leave, &elementwise::map(&cell, f64::tanh)?)?;
            Ok(vec![hidden, cell])
        }
        Kind::Gru => {
            let both = |at: usize| {
                elementwise::add(&gate(&from_input, at)?, &gate(&from_hidden, at)?)
                    .and_then(sigmoid)
            };
            let (reset, update) = (both(0)?, both(1)?);
            let back = elementwise::mul(&reset, &gate(&from_hidden, 2)?)?;
            let new = elementwise::add(&gate(&from_input, 2)?, &back)?;
            let new = elementwise::map(&new, f64::tanh)?;
            // (1 - update) * new + update * hidden
            let kept = elementwise::mul(&update, &elementwise::sub(hidden, &new)?)?;
            Ok(vec![elementwise::add(&new, &kept)?])
        }
    }
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let kind = Kind::of(eval.operator());
    let input = eval.tensor("input")?;
    let states = match kind {
        Kind::Lstm => eval.tensors("hx")?,
        _ => vec![eval.tensor("hx")?],
    };
    let params = eval.tensors("params")?;
    let layers = usize::try_from(eval.int("num_layers")?).unwrap_or(0);
    let directions = if eval.bool_or("bidirectional", false)? { 2 } else { 1 };
    let has_biases = eval.bool_or("has_biases", true)?;
    let weights = by_direction(&params, has_biases, layers.saturating_mul(directions))
        .ok_or_else(|| EvaluateError::new("another number of weights than layers ask for"))?;
    let time = i64::from(eval.bool_or("batch_first", false)? && input.rank() == 3);
    let mut sequence = input.as_ref().clone();
    let mut ends: Vec<Vec<Array>> = vec![Vec::new(); states.len()];
    for (layer, weights) in weights.chunks(directions).enumerate() {
        let mut outputs = Vec::new();
        for (direction, weights) in weights.iter().enumerate() {
            let at = layer * directions + direction;
            let mut start = Vec::new();
            for state in &states {
                let own = shape::narrow(state, 0, at, 1)?;
                start.push(shape::squeeze(&own, Some(&[0]))?);
            }
            let (output, last) =
                recurrent::walk(&sequence, time, direction == 1, start, |input, state| {
                    step(kind, weights, input, state)
                })?;
            outputs.push(output);
            ends.iter_mut().zip(last).for_each(|(list, end)| list.push(end));
        }
        sequence = shape::concat(&outputs.iter().collect::<Vec<_>>(), -1)?;
    }
    let mut results = vec![Value::from(sequence)];
    for ends in ends {
        results.push(shape::stack(&ends.iter().collect::<Vec<_>>(), 0)?.into());
    }
    Ok(results)
}

/// The weights of a cell's call.
fn cell_weights(call: &mut Call<'_, '_>) -> Result<Weights<Tensor>, Refusal> {
    let (input, hidden) = (call.tensor("w_ih")?, call.tensor("w_hh")?);
    let biases = call.optional("b_ih")?.zip(call.optional("b_hh")?);
    Ok(Weights { input, hidden, biases })
}

/// A cell is a layer over one step.
fn convert_cell(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let kind = Kind::of(call.operator());
    let input = call.tensor("input")?;
    let states = match kind {
        Kind::Lstm => call.tensors("hx")?,
        _ => vec![call.tensor("hx")?],
    };
    let weights = [cell_weights(call)?];
    let hidden = weights[0].hidden.sizes.get(1).and_then(Size::known);
    let hidden = hidden.ok_or_else(|| Refusal::new("a state of unknown size", ""))?;
    let ahead: &[i64] = if input.rank() == 1 { &[0, 1] } else { &[0] };
    let sequence = call.to.unsqueeze(&input.name, ahead);
    let starts: Vec<String> =
        states.iter().map(|state| call.to.unsqueeze(&state.name, ahead)).collect();
    let weights = layer_weights(call, &weights, kind, hidden);
    let (_, ends) = layer_nodes(call, kind, (&sequence, &weights, &starts), (hidden, 1));
    for (index, end) in ends.iter().enumerate() {
        let end = call.to.squeeze(end, ahead);
        call.give(index, end);
    }
    Ok(())
}

fn evaluate_cell(eval: &mut Eval<'_, '_>) -> Outcome {
    let kind = Kind::of(eval.operator());
    let input = eval.tensor("input")?;
    let states = match kind {
        Kind::Lstm => eval.tensors("hx")?,
        _ => vec![eval.tensor("hx")?],
    };
    let biases = eval.optional("b_ih")?.zip(eval.optional("b_hh")?);
    let weights = Weights { input: eval.tensor("w_ih")?, hidden: eval.tensor("w_hh")?, biases };
    let states: Vec<Array> = states.iter().map(|state| state.as_ref().clone()).collect();
    Ok(step(kind, &weights, &input, &states)?.into_iter().map(Value::from).collect())
}
