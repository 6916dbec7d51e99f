//! An LSTM step by step, for what ONNX's operator does not have: cells that are kept within a bound
//! (it bounds what goes into activations instead, which is something else), and states that are
//! rounded to integers after each step.

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::model::Quantization;
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch, refused};
use crate::emitter::node;

/// Steps that are written out at most.
const MOST_STEPS: usize = 256;

/// What one walk over time needs, as names of values. Gates are in the order of TensorFlow Lite:
/// input, forget, cell, output.
pub(super) struct Walk {
    /// `[time, rows, columns]`.
    pub(super) x: String,
    /// How many steps there are; `None` where that is free.
    pub(super) steps: Option<usize>,
    /// `[4 * units, columns]` and `[4 * units, units]`, all gates below each other.
    pub(super) weights: String,
    pub(super) recurrent: String,
    /// `[4 * units]`.
    pub(super) bias: String,
    /// Of the input, forget and output gates, `[units]` each.
    pub(super) peepholes: Option<[String; 3]>,
    pub(super) units: usize,
    pub(super) activation: Activation,
    /// Cells are kept within this; 0 does not.
    pub(super) clip: f32,
    pub(super) rounding: Option<Rounding>,
}

/// How an integer kernel stores its states between steps.
pub(super) struct Rounding {
    /// Integers of 8 bits.
    pub(super) hidden: Quantization,
    /// The scale of cells, integers of 16 bits.
    pub(super) cell: f32,
}

impl Rounding {
    /// What stored cells stand for. DequantizeLinear takes 16 bits in operator set 21 only, for which
    /// ONNX Runtime 1.32 has an error where 8 bits are quantized beside them.
    pub(super) fn real_cell(&self, cx: &mut Converter<'_>, stored: &str) -> String {
        let steps = cx.cast(stored, ElementType::Float32);
        let scale = cx.emitter.scalar("scale", self.cell);
        cx.emitter.add(node("Mul", &[steps, scale]))
    }

    /// Cells as they are stored, as floats still.
    pub(super) fn cell_steps(&self, cx: &mut Converter<'_>, cell: &str) -> String {
        let scale = cx.emitter.scalar("scale", self.cell);
        let steps = cx.emitter.add(node("Div", &[cell, &scale]));
        let steps = cx.emitter.add(node("Round", &[steps]));
        cx.clipped(&steps, i16::MIN.into(), i16::MAX.into())
    }

    fn rounded_cell(&self, cx: &mut Converter<'_>, cell: &str) -> String {
        let steps = self.cell_steps(cx, cell);
        let scale = cx.emitter.scalar("scale", self.cell);
        cx.emitter.add(node("Mul", &[steps, scale]))
    }

    fn rounded_hidden(&self, cx: &mut Converter<'_>, hidden: &str) -> Result<String, Stop> {
        let stored = cx.quantize(hidden, ElementType::Int8, &self.hidden)?;
        cx.dequantize(&stored, ElementType::Int8, &self.hidden)
    }
}

/// Sums of gates have 16 bits, 4 of them before the point.
pub(super) const GATE_RANGE: (f32, f32) = (-8.0, 8.0 - 1.0 / 4096.0);

/// The state of the walk: what it gives and what it keeps, `[rows, units]` each.
pub(super) struct State {
    pub(super) hidden: String,
    pub(super) cell: String,
}

impl Walk {
    /// Walks from a state: gives the output of each step, and the state after the last.
    pub(super) fn write(
        &self,
        cx: &mut Converter<'_>,
        mut state: State,
    ) -> Result<(Vec<String>, State), Stop> {
        let steps = self.steps.filter(|&steps| steps <= MOST_STEPS).ok_or_else(|| {
            match self.rounding {
                Some(_) => refused(
                    "states that are rounded to integers over so many steps",
                    format!("run it on at most {MOST_STEPS} steps at a time, or quantize it less"),
                ),
                None => refused(
                    format!("cells that are kept within {} over so many steps", self.clip),
                    format!(
                        "run it on at most {MOST_STEPS} steps at a time, or set its cell_clip to 0, \
                         where cells stay smaller anyway"
                    ),
                ),
            }
        })?;
        let first = cx.emitter.integers("axis", &[0]);
        let turned = cx.transpose(&self.weights, &[1, 0]);
        let product = cx.emitter.add(node("MatMul", &[&self.x, &turned]));
        let mut frames = vec![cx.emitter.add(node("Add", &[&product, &self.bias]))];
        if steps > 1 {
            let lengths = cx.emitter.integers("lengths", &vec![1; steps]);
            let split = node("Split", &[&frames[0], &lengths]).with("axis", 0i64);
            frames = cx.emitter.add_many(split, steps);
        }
        let mut outputs = Vec::new();
        for frame in frames {
            let frame = cx.emitter.add(node("Squeeze", &[&frame, &first]));
            state = self.step(cx, &frame, &state)?;
            outputs.push(state.hidden.clone());
        }
        Ok((outputs, state))
    }

    /// One step from the sums of its input: `[rows, 4 * units]`.
    fn step(&self, cx: &mut Converter<'_>, sums: &str, state: &State) -> Result<State, Stop> {
        let gemm = node("Gemm", &[state.hidden.as_str(), &self.recurrent, sums]);
        let mut sums = cx.emitter.add(gemm.with("transB", 1i64));
        if self.rounding.is_some() {
            sums = cx.clipped(&sums, GATE_RANGE.0, GATE_RANGE.1);
        }
        let lengths = cx.emitter.integers("gates", &[self.units as i64; 4]);
        let split = node("Split", &[sums, lengths]).with("axis", 1i64);
        let gates = cx.emitter.add_many(split, 4);
        let [input, forget, cell, output] = gates.as_slice() else {
            return Err(mismatch("an LSTM has four gates"));
        };
        let input = self.gate(cx, input, 0, &state.cell);
        let forget = self.gate(cx, forget, 1, &state.cell);
        let change = cx.activated(cell, self.activation);
        let kept = cx.emitter.add(node("Mul", &[&forget, &state.cell]));
        let added = cx.emitter.add(node("Mul", &[&input, &change]));
        let mut cell = cx.emitter.add(node("Add", &[kept, added]));
        if self.clip > 0.0 {
            cell = cx.clipped(&cell, -self.clip, self.clip);
        }
        if let Some(rounding) = &self.rounding {
            cell = rounding.rounded_cell(cx, &cell);
        }
        let output = self.gate(cx, output, 2, &cell);
        let active = cx.activated(&cell, self.activation);
        let mut hidden = cx.emitter.add(node("Mul", &[output, active]));
        if let Some(rounding) = &self.rounding {
            hidden = rounding.rounded_hidden(cx, &hidden)?;
        }
        Ok(State { hidden, cell })
    }

    /// A gate, which may look at the cell.
    fn gate(&self, cx: &mut Converter<'_>, sums: &str, peephole: usize, cell: &str) -> String {
        let mut sums = sums.to_owned();
        if let Some(peepholes) = &self.peepholes {
            let seen = cx.emitter.add(node("Mul", &[cell, peepholes[peephole].as_str()]));
            sums = cx.emitter.add(node("Add", &[sums, seen]));
        }
        cx.emitter.add(node("Sigmoid", &[sums]))
    }
}
