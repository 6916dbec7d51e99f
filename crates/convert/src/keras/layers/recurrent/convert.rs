//! A walk over time as nodes: ONNX has one for each kind of cell.

use modelyard_graph::{ElementType, Node};
use modelyard_tensor::Dim;

use crate::emitter::node;
use crate::keras::activations::Activation;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::layers::recurrent::Recurrent;
use crate::keras::layers::recurrent::cell::{Cell, Kind};
use crate::keras::layers::recurrent::masked::Compact;
use crate::keras::value::Value;
use crate::keras::weight::Weight;

/// What a walk gives.
pub(crate) struct Run {
    /// What each step gave, `[batch, steps, units]`. Backwards without a mask, in the order of the
    /// input; else in the order of the walk.
    sequence: Value,
    in_input_order: bool,
    /// What the last step gave.
    pub(crate) last: Value,
    /// The states at the end.
    pub(crate) states: Vec<Value>,
}

impl Run {
    /// What each step gave, in the order of the walk.
    pub(crate) fn sequence(&self, layer: &Recurrent, to: &mut Converter<'_>) -> Value {
        if layer.go_backwards && self.in_input_order {
            to.slice(&self.sequence, 1, BACKWARDS)
        } else {
            self.sequence.clone()
        }
    }

    /// What each step gave, from the last step of the walk to the first.
    pub(crate) fn turned(&self, layer: &Recurrent, to: &mut Converter<'_>) -> Value {
        if layer.go_backwards && self.in_input_order {
            self.sequence.clone()
        } else {
            to.slice(&self.sequence, 1, BACKWARDS)
        }
    }
}

/// A slice of everything from back to front.
const BACKWARDS: (i64, i64, i64) = (-1, i64::MIN + 1, -1);

/// Walks over a sequence `[batch, steps, features]`.
pub(crate) fn run(
    layer: &Recurrent,
    sequence: &Value,
    (mask, states): (Option<&Value>, &[Value]),
    to: &mut Converter<'_>,
) -> Result<Run, Fault> {
    let x = to.float(super::super::of_rank(sequence, 3)?);
    let mut x = x;
    // ONNX walks backwards itself, but knows no mask.
    let flips = layer.go_backwards && mask.is_some();
    let compact = match mask {
        None => None,
        Some(mask) => {
            let mut mask = to.cast(mask, ElementType::Bool);
            if flips {
                x = to.slice(&x, 1, BACKWARDS);
                mask = to.slice(&mask, 1, BACKWARDS);
            }
            let compact = Compact::new(&mask, to)?;
            x = compact.front(&x, to)?;
            Some(compact)
        }
    };
    let steps = sequence.dims[1].clone();
    let mut x = to.transpose(&x, &[1, 0, 2]);
    let mut ends = Vec::new();
    let mut rest = states;
    let mut last = None;
    let backwards = layer.go_backwards && !flips;
    for cell in &layer.cells {
        let (own, others) = rest.split_at(cell.states().min(rest.len()));
        rest = others;
        let compact = compact.as_ref().filter(|_| layer.return_state);
        let walk = Walk { cell, start: own, backwards, compact };
        let (all, mut state) = walk.write(&x, to)?;
        last = state.first().cloned();
        if let Some(compact) = compact {
            // The node's own is that after steps that do not count.
            let all = to.transpose(&all, &[1, 0, 2]);
            state[0] = compact.end(&all, own.first(), to)?;
        }
        ends.extend(state);
        x = all;
    }
    let mut sequence = to.transpose(&x, &[1, 0, 2]);
    let Some(mut last) = last else { return Err(Fault::malformed("there are no cells")) };
    if let Some(compact) = &compact {
        last = compact.last(&sequence, layer.zero_masked, to)?;
        if layer.return_sequences {
            sequence = compact.spread(&sequence, layer.zero_masked, to)?;
        }
    }
    sequence.dims[1] = steps;
    Ok(Run { sequence, in_input_order: !flips, last, states: ends })
}

/// One cell's walk.
struct Walk<'a> {
    cell: &'a Cell,
    start: &'a [Value],
    backwards: bool,
    /// Where the states at the end are wanted of a sequence with steps that do not count.
    compact: Option<&'a Compact>,
}

/// What saturates every gate.
const SATURATING: f32 = 1e4;

impl Walk<'_> {
    /// Writes the node: what all steps gave, `[steps, batch, units]`, and the states at the end.
    fn write(&self, x: &Value, to: &mut Converter<'_>) -> Result<(Value, Vec<Value>), Fault> {
        let cell = self.cell;
        let features = x.size(2).ok_or_else(|| Fault::malformed("the features are not known"))?;
        let of = cell.variables();
        let dims = |rows: usize| [rows, cell.kind.gates() * cell.units];
        let kernel = |to: &mut Converter<'_>| {
            gates_first(&to.read(&of, "kernel")?.of_shape(&dims(features))?, cell)
        };
        // The state inside an LSTM cannot be looked up later. It stays as it is at steps that do
        // not count when those close its input and keep what it has.
        let marker = self.compact.filter(|_| cell.kind == Kind::Lstm);
        let (x, w) = match marker {
            None => (x.clone(), to.derived_weight(&of, "kernel", kernel)?.0),
            Some(compact) => {
                let marker = compact.marker(to)?;
                let marked = to.concat(&[x.clone(), marker], 2)?;
                let marking = |to: &mut Converter<'_>| Ok(marking(&kernel(to)?, cell));
                (marked, to.derived_weight(&of, "kernel_masked", marking)?.0)
            }
        };
        let (r, _) = to.weight_as(&of, "recurrent_kernel", |weight| {
            gates_first(&weight.of_shape(&dims(cell.units))?, cell)
        })?;
        let bias = match cell.use_bias {
            true => to.weight_as(&of, "bias", |weight| biases(&weight, cell))?.0,
            false => String::new(),
        };
        let mut inputs = vec![x.name.clone(), w, r, bias, String::new()];
        for state in self.start {
            inputs.push(to.unsqueeze(state, &[0]).name);
        }
        while inputs.last().is_some_and(String::is_empty) {
            inputs.pop();
        }
        let op_type = match cell.kind {
            Kind::Simple => "RNN",
            Kind::Lstm => "LSTM",
            Kind::Gru { .. } => "GRU",
        };
        let mut walk = node(op_type, &inputs).with("hidden_size", cell.units as i64);
        if self.backwards {
            walk = walk.with("direction", "reverse");
        }
        if let Kind::Gru { reset_after } = cell.kind {
            walk = walk.with("linear_before_reset", i64::from(reset_after));
        }
        let walk = with_activations(walk, cell)?;
        let names = to.emitter.add_many(walk, 1 + cell.states());
        let batch = x.dims[1].clone();
        let units = Dim::Fixed(cell.units);
        let all = vec![x.dims[0].clone(), Dim::Fixed(1), batch.clone(), units.clone()];
        let all = to.value(names[0].clone(), all, ElementType::Float32);
        let all = to.squeeze(&all, &[1]);
        let mut states = Vec::new();
        for name in &names[1..] {
            let dims = vec![Dim::Fixed(1), batch.clone(), units.clone()];
            let state = to.value(name.clone(), dims, ElementType::Float32);
            states.push(to.squeeze(&state, &[0]));
        }
        Ok((all, states))
    }
}

/// The gates in the order of ONNX, by their places in Keras: input, output, forget, cell of an
/// LSTM; those of a GRU have the same order.
fn order(kind: Kind) -> &'static [usize] {
    match kind {
        Kind::Simple => &[0],
        Kind::Lstm => &[0, 3, 1, 2],
        Kind::Gru { .. } => &[0, 1, 2],
    }
}

/// A kernel `[features, gates * units]` as `[1, gates * units, features]`.
fn gates_first(weight: &Weight, cell: &Cell) -> Result<Weight, Fault> {
    let rows = weight.dims[0];
    let gates = cell.kind.gates();
    let weight = weight.clone().reshaped(&[rows, gates, cell.units])?.transposed(&[1, 2, 0])?;
    let values = weight.to_floats();
    let size = cell.units * rows;
    let ordered: Vec<f32> =
        order(cell.kind).iter().flat_map(|&gate| values[gate * size..][..size].to_vec()).collect();
    Ok(Weight::floats(&[1, gates * cell.units, rows], &ordered))
}

/// A kernel `[1, gates * units, features]` of an LSTM with one feature more, which closes the gate
/// of the input and opens that of the memory.
fn marking(weight: &Weight, cell: &Cell) -> Weight {
    let features = weight.dims[2];
    let values = weight.to_floats();
    let mut marked = Vec::with_capacity(values.len() + 4 * cell.units);
    for (row, values) in values.chunks(features.max(1)).enumerate() {
        marked.extend_from_slice(values);
        // Input, output, forget, cell.
        marked.push(match row / cell.units {
            0 => -SATURATING,
            2 => SATURATING,
            _ => 0.0,
        });
    }
    Weight::floats(&[1, weight.dims[1], features + 1], &marked)
}

/// The bias of what comes in, and that of the state, which only some cells have.
fn biases(weight: &Weight, cell: &Cell) -> Result<Weight, Fault> {
    let width = cell.kind.gates() * cell.units;
    let values = weight.to_floats();
    let both = matches!(cell.kind, Kind::Gru { reset_after: true });
    if values.len() != if both { 2 * width } else { width } {
        let found = &weight.dims;
        return Err(Fault::malformed(format!(
            "expected a bias for {width} numbers, found {found:?}"
        )));
    }
    let mut ordered = Vec::with_capacity(2 * width);
    for part in values.chunks(width) {
        for &gate in order(cell.kind) {
            ordered.extend_from_slice(&part[gate * cell.units..][..cell.units]);
        }
    }
    ordered.resize(2 * width, 0.0);
    Ok(Weight::floats(&[1, 2 * width], &ordered))
}

/// The node with the functions of its cell, where they are not those that it has anyway.
fn with_activations(walk: Node, cell: &Cell) -> Result<Node, Fault> {
    let functions: Vec<Activation> = match cell.kind {
        Kind::Simple => vec![cell.activation],
        Kind::Lstm => vec![cell.recurrent_activation, cell.activation, cell.activation],
        Kind::Gru { .. } => vec![cell.recurrent_activation, cell.activation],
    };
    let usual = match cell.kind {
        Kind::Simple => functions == [Activation::Tanh],
        _ => {
            functions[0] == Activation::Sigmoid
                && functions[1..].iter().all(|it| *it == Activation::Tanh)
        }
    };
    if usual {
        return Ok(walk);
    }
    let (mut names, mut alphas, mut betas) = (Vec::new(), Vec::new(), Vec::new());
    for function in functions {
        let (name, alpha, beta) = named(function).ok_or_else(|| {
            Fault::unsupported(
                format!("activation {function:?} inside a cell"),
                "use tanh, sigmoid, relu, hard_sigmoid, elu, softsign or softplus there",
            )
        })?;
        names.push(bytes::Bytes::from_static(name.as_bytes()));
        alphas.extend(alpha);
        betas.extend(beta);
    }
    let mut walk = walk.with("activations", modelyard_graph::AttributeValue::Strings(names));
    if !alphas.is_empty() {
        walk = walk.with("activation_alpha", modelyard_graph::AttributeValue::Floats(alphas));
    }
    if !betas.is_empty() {
        walk = walk.with("activation_beta", modelyard_graph::AttributeValue::Floats(betas));
    }
    Ok(walk)
}

/// The name of a function inside ONNX's cells, and its parameters.
fn named(function: Activation) -> Option<(&'static str, Option<f32>, Option<f32>)> {
    Some(match function {
        Activation::Tanh => ("Tanh", None, None),
        Activation::Sigmoid => ("Sigmoid", None, None),
        Activation::Linear => ("Affine", Some(1.0), Some(0.0)),
        Activation::RELU => ("Relu", None, None),
        Activation::Relu { max: None, slope, threshold: 0.0 } => ("LeakyRelu", Some(slope), None),
        Activation::HardSigmoid(alpha) => ("HardSigmoid", Some(alpha), Some(0.5)),
        Activation::Elu(alpha) => ("Elu", Some(alpha), None),
        Activation::Softsign => ("Softsign", None, None),
        Activation::Softplus => ("Softplus", None, None),
        _ => return None,
    })
}
