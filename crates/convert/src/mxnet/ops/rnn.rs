//! `RNN`: several layers of a recurrent network in one, in one or both directions.
//!
//! All weights are one list, as cuDNN has them: for each layer and direction those of the input,
//! then those of the state; after all of them the biases in the same order.

use modelyard_graph::ElementType;

use super::super::attributes::Attributes;
use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, activations, matmul, recurrent, shape};

pub(super) const OPERATOR: Operator = Operator { names: &["RNN"], infer, convert, evaluate };

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Relu,
    Tanh,
    /// Gates: input, forget, cell, output.
    Lstm,
    /// Gates: reset, update, new; the state's share of the new is made with its bias first.
    Gru,
}

#[derive(Clone, Copy, Debug)]
struct Rnn {
    kind: Kind,
    layers: usize,
    hidden: usize,
    directions: usize,
    states: bool,
}

impl Rnn {
    fn of(attributes: &Attributes) -> Result<Rnn, Problem> {
        let kind = match attributes.text("mode").unwrap_or_default() {
            "rnn_relu" => Kind::Relu,
            "rnn_tanh" => Kind::Tanh,
            "lstm" => Kind::Lstm,
            "gru" => Kind::Gru,
            other => return Err(Problem::shape(format!("there is no mode '{other}'"))),
        };
        if attributes.text("projection_size").is_some() {
            return Err(Problem::refused("a projection", "train without projection_size"));
        }
        if attributes.flag_or("use_sequence_length", false)? {
            return Err(Problem::refused("use_sequence_length", "mask what is behind the end"));
        }
        if attributes.text("lstm_state_clip_min").is_some() {
            return Err(Problem::refused("clipped states", "train without lstm_state_clip_min"));
        }
        let layers = attributes.need_count("num_layers")?;
        let hidden = attributes.need_count("state_size")?;
        if !(1..=256).contains(&layers) || !(1..=1 << 20).contains(&hidden) {
            return Err(Problem::shape(format!("{layers} layers of {hidden}")));
        }
        let directions = if attributes.flag_or("bidirectional", false)? { 2 } else { 1 };
        let states = attributes.flag_or("state_outputs", false)?;
        Ok(Rnn { kind, layers, hidden, directions, states })
    }

    fn gates(&self) -> usize {
        match self.kind {
            Kind::Relu | Kind::Tanh => 1,
            Kind::Lstm => 4,
            Kind::Gru => 3,
        }
    }

    /// Width of the input of a layer.
    fn width(&self, layer: usize, inputs: usize) -> usize {
        if layer == 0 { inputs } else { self.hidden * self.directions }
    }

    /// Where the weights and biases of a layer and direction are.
    fn places(&self, layer: usize, direction: usize, inputs: usize) -> Places {
        let rows = self.gates() * self.hidden;
        let weights = |layer: usize| rows * (self.width(layer, inputs) + self.hidden);
        let before: usize = (0..layer).map(|layer| weights(layer) * self.directions).sum();
        let all: usize = (0..self.layers).map(|layer| weights(layer) * self.directions).sum();
        let input = before + weights(layer) * direction;
        let bias = all + (layer * self.directions + direction) * 2 * rows;
        Places {
            input,
            state: input + rows * self.width(layer, inputs),
            input_bias: bias,
            state_bias: bias + rows,
        }
    }

    /// Number of all weights.
    fn total(&self, inputs: usize) -> usize {
        let rows = self.gates() * self.hidden;
        self.places(self.layers - 1, self.directions - 1, inputs).state_bias + rows
    }
}

struct Places {
    input: usize,
    state: usize,
    input_bias: usize,
    state_bias: usize,
}

/// The width of the input, from the number of all weights.
pub(in super::super) fn inputs(attributes: &Attributes, weights: usize) -> Option<usize> {
    let rnn = Rnn::of(attributes).ok()?;
    let each = rnn.gates() * rnn.hidden * rnn.directions;
    let inputs = weights.checked_sub(rnn.total(0))?.checked_div(each)?;
    (rnn.total(inputs) == weights).then_some(inputs)
}

/// The number of first states and their width.
pub(in super::super) fn state(attributes: &Attributes) -> Option<[usize; 2]> {
    let rnn = Rnn::of(attributes).ok()?;
    Some([rnn.layers * rnn.directions, rnn.hidden])
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let rnn = Rnn::of(op.attributes)?;
    let (input, weights) = (info(inputs, 0)?, info(inputs, 1)?);
    let [time, batch, width] = input.dims.as_slice() else {
        return Err(Problem::shape(format!("a sequence of shape {:?}", input.dims)));
    };
    if *width > 1 << 24 || weights.len()? != rnn.total(*width) {
        let (found, expected) = (weights.len()?, rnn.total((*width).min(1 << 24)));
        return Err(Problem::shape(format!("expected {expected} weights, found {found}")));
    }
    let state = [rnn.layers * rnn.directions, *batch, rnn.hidden];
    let count = if rnn.kind == Kind::Lstm { 2 } else { 1 };
    for index in 2..2 + count {
        let found = info(inputs, index)?;
        // 0 is a size that is found out, of states that begin with zeros.
        let fits = found.rank() == 3
            && found.dims.iter().zip(&state).all(|(found, size)| *found == 0 || found == size);
        if !fits {
            return Err(Problem::shape(format!("a state of shape {:?}", found.dims)));
        }
    }
    let mut outputs = vec![Info::new(input.kind, &[*time, *batch, rnn.hidden * rnn.directions])];
    if rnn.states {
        outputs.extend(vec![Info::new(input.kind, &state); count]);
    }
    Ok(outputs)
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rnn = Rnn::of(site.op.attributes)?;
    let inputs = site.size(0, 2)?;
    let (mut x, weights) = (site.input(0)?, site.input(1)?);
    let begin = begins(site, 2)?;
    let cell = if rnn.kind == Kind::Lstm { begins(site, 3)? } else { None };
    let (mut states, mut cells) = (Vec::new(), Vec::new());
    for layer in 0..rnn.layers {
        let mut writer = Layer { site, rnn, inputs, layer, weights: &weights };
        let found = writer.write(&x, begin.as_deref(), cell.as_deref());
        let [y, state, cell] = found.as_slice() else { continue };
        // [time, direction, batch, hidden]
        let y = site.transpose(y, &[0, 2, 1, 3]);
        x = site.reshape(&y, &[0, 0, (rnn.hidden * rnn.directions) as i64]);
        states.push(state.clone());
        cells.push(cell.clone());
    }
    let mut outputs = vec![x];
    if rnn.states {
        outputs.push(site.add(node("Concat", &states).with("axis", 0)));
        if rnn.kind == Kind::Lstm {
            outputs.push(site.add(node("Concat", &cells).with("axis", 0)));
        }
    }
    Ok(outputs)
}

/// The first state, but `None` where it is of unknown size and so all zeros.
fn begins(site: &mut Site<'_>, index: usize) -> Result<Option<String>, Problem> {
    match site.known(index)?.dims.contains(&Some(0)) {
        true => Ok(None),
        false => site.input(index).map(Some),
    }
}

struct Layer<'a, 'b> {
    site: &'a mut Site<'b>,
    rnn: Rnn,
    inputs: usize,
    layer: usize,
    weights: &'a str,
}

impl Layer<'_, '_> {
    /// Output, last state and last cell of a layer.
    fn write(&mut self, x: &str, begin: Option<&str>, cell: Option<&str>) -> Vec<String> {
        let (rnn, width) = (self.rnn, self.rnn.width(self.layer, self.inputs));
        let rows = rnn.gates() * rnn.hidden;
        let mut lists: [Vec<String>; 3] = [Vec::new(), Vec::new(), Vec::new()];
        for direction in 0..rnn.directions {
            let places = rnn.places(self.layer, direction, self.inputs);
            lists[0].push(self.gates(places.input, width));
            lists[1].push(self.gates(places.state, rnn.hidden));
            let biases = [places.input_bias, places.state_bias].map(|at| self.gates(at, 1));
            let biases = self.site.add(node("Concat", &biases).with("axis", 1));
            lists[2].push(self.site.reshape(&biases, &[1, 2 * rows as i64]));
        }
        let lists = lists.map(|list| self.site.add(node("Concat", &list).with("axis", 0)));
        let mut inputs = vec![x.to_owned()];
        inputs.extend(lists);
        let mut state = |begin: &str| {
            let first = (self.layer * rnn.directions) as i64;
            self.site.slice(begin, 0, first, first + rnn.directions as i64)
        };
        if begin.is_some() || cell.is_some() {
            inputs.push(String::new());
            inputs.push(begin.map_or_else(String::new, &mut state));
        }
        if let Some(cell) = cell {
            inputs.push(state(cell));
        }
        let (name, activation) = match rnn.kind {
            Kind::Lstm => ("LSTM", None),
            Kind::Gru => ("GRU", None),
            Kind::Relu => ("RNN", Some("Relu")),
            Kind::Tanh => ("RNN", Some("Tanh")),
        };
        let mut found = node(name, &inputs).with("hidden_size", rnn.hidden as i64);
        if rnn.directions == 2 {
            found = found.with("direction", "bidirectional");
        }
        if let Some(activation) = activation {
            let list = vec![bytes::Bytes::from_static(activation.as_bytes()); rnn.directions];
            found = found.with("activations", modelyard_graph::AttributeValue::Strings(list));
        }
        if rnn.kind == Kind::Gru {
            found = found.with("linear_before_reset", 1);
        }
        let mut outputs =
            self.site.emitter.add_many(found, if rnn.kind == Kind::Lstm { 3 } else { 2 });
        outputs.resize(3, String::new());
        outputs
    }

    /// A matrix out of the list, its gates in the order of ONNX: `[1, gates * hidden, width]`.
    fn gates(&mut self, at: usize, width: usize) -> String {
        let (gates, hidden) = (self.rnn.gates(), self.rnn.hidden);
        let rows = gates * hidden;
        let part = self.site.slice(self.weights, 0, at as i64, (at + rows * width) as i64);
        let order: &[i64] = match self.rnn.kind {
            Kind::Lstm => &[0, 3, 1, 2],
            Kind::Gru => &[1, 0, 2],
            _ => return self.site.reshape(&part, &[1, rows as i64, width as i64]),
        };
        let part = self.site.reshape(&part, &[gates as i64, (hidden * width) as i64]);
        let order = self.site.ints("gates", order);
        let part = self.site.op("Gather", &[&part, &order]);
        self.site.reshape(&part, &[1, rows as i64, width as i64])
    }
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let rnn = Rnn::of(op.attributes)?;
    let mut x = at(inputs, 0)?.clone();
    let weights = at(inputs, 1)?;
    let [_, batch, width] = x.dims() else {
        return Err(EvaluateError::new("expected a sequence of vectors"));
    };
    let (batch, width) = (*batch, *width);
    let dims = [rnn.layers * rnn.directions, batch, rnn.hidden];
    let first = |index: usize| {
        let found = at(inputs, index)?;
        match found.len() {
            0 => Array::floats(&dims, vec![0.0; dims.iter().product()]),
            _ => Ok(found.clone()),
        }
    };
    let mut begins = vec![first(2)?];
    if rnn.kind == Kind::Lstm {
        begins.push(first(3)?);
    }
    let mut last: Vec<Vec<Array>> = vec![Vec::new(); begins.len()];
    for layer in 0..rnn.layers {
        let mut outputs = Vec::new();
        for direction in 0..rnn.directions {
            let row = (layer * rnn.directions + direction) as i64;
            let row = Array::scalar(row as f32);
            let row = crate::reference::elementwise::cast(&row, ElementType::Int64)?;
            let start = begins
                .iter()
                .map(|begin| crate::reference::index::gather(begin, &row, 0))
                .collect::<Result<Vec<Array>, _>>()?;
            let parts = parts(&rnn, weights, (layer, direction), width)?;
            let step = |x: &Array, state: &[Array]| rnn.step(&parts, x, state);
            let (output, end) = recurrent::walk(&x, 0, direction == 1, start, step)?;
            outputs.push(output);
            for (last, end) in last.iter_mut().zip(end) {
                last.push(end);
            }
        }
        x = shape::concat(&outputs.iter().collect::<Vec<_>>(), 2)?;
    }
    let mut found = vec![x];
    if rnn.states {
        for states in &last {
            found.push(shape::stack(&states.iter().collect::<Vec<_>>(), 0)?);
        }
    }
    Ok(found)
}

/// Weights and biases of a layer and direction.
fn parts(
    rnn: &Rnn,
    weights: &Array,
    (layer, direction): (usize, usize),
    inputs: usize,
) -> Result<[Array; 4], EvaluateError> {
    let rows = rnn.gates() * rnn.hidden;
    let width = rnn.width(layer, inputs);
    let places = rnn.places(layer, direction, inputs);
    let list = weights.as_floats()?;
    let part = |at: usize, dims: &[usize]| {
        let count: usize = dims.iter().product();
        let found = list.get(at..at + count);
        let found = found.ok_or_else(|| EvaluateError::new("too few weights"))?;
        Array::floats(dims, found.to_vec())
    };
    Ok([
        part(places.input, &[rows, width])?,
        part(places.state, &[rows, rnn.hidden])?,
        part(places.input_bias, &[rows])?,
        part(places.state_bias, &[rows])?,
    ])
}

impl Rnn {
    /// One step of one direction: the next states.
    fn step(
        &self,
        [w, r, input_bias, state_bias]: &[Array; 4],
        x: &Array,
        state: &[Array],
    ) -> Result<Vec<Array>, EvaluateError> {
        let h = at(&state.iter().collect::<Vec<_>>(), 0)?.clone();
        let from_input = matmul::linear(x, w, Some(input_bias))?;
        let from_state = matmul::linear(&h, r, Some(state_bias))?;
        let (a, b) = (from_input.as_floats()?, from_state.as_floats()?);
        let (gates, hidden) = (self.gates(), self.hidden);
        let old = h.as_floats()?;
        let cell = match state.get(1) {
            Some(cell) => cell.as_floats()?.to_vec(),
            None => Vec::new(),
        };
        let mut next = vec![0.0; old.len()];
        let mut next_cell = cell.clone();
        let sigmoid = |x: f32| activations::sigmoid(x.into()) as f32;
        for (place, next) in next.iter_mut().enumerate() {
            let base = place / hidden * gates * hidden + place % hidden;
            let gate = |gate: usize| base + gate * hidden;
            let sum = |index: usize| a[gate(index)] + b[gate(index)];
            *next = match self.kind {
                Kind::Relu => sum(0).max(0.0),
                Kind::Tanh => sum(0).tanh(),
                Kind::Lstm => {
                    let kept = sigmoid(sum(1)) * cell[place];
                    next_cell[place] = kept + sigmoid(sum(0)) * sum(2).tanh();
                    sigmoid(sum(3)) * next_cell[place].tanh()
                }
                Kind::Gru => {
                    let (reset, update) = (sigmoid(sum(0)), sigmoid(sum(1)));
                    let new = (a[gate(2)] + reset * b[gate(2)]).tanh();
                    (1.0 - update) * new + update * old[place]
                }
            };
        }
        let mut found = vec![Array::floats(h.dims(), next)?];
        if self.kind == Kind::Lstm {
            found.push(Array::floats(h.dims(), next_cell)?);
        }
        Ok(found)
    }
}
