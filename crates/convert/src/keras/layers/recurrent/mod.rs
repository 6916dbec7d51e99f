//! `SimpleRNN`, `LSTM`, `GRU`, and `RNN` over cells of these kinds.
//!
//! | module | holds |
//! |---|---|
//! | `cell` | one cell: its options and weights |
//! | `convert` | a walk over time as nodes |
//! | `masked` | sequences without the steps that do not count |
//! | `evaluate` | a walk over time, step by step |
//! | `bidirectional` | two walks, one of them backwards |

pub(crate) mod bidirectional;
mod cell;
mod convert;
mod evaluate;
mod masked;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::recurrent::cell::Cell;
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;

/// Cells, one on the other, that walk over a sequence.
#[derive(Debug)]
pub(crate) struct Recurrent {
    cells: Vec<Cell>,
    return_sequences: bool,
    return_state: bool,
    go_backwards: bool,
    /// Whether masked steps give zeros instead of what the step before gave.
    zero_masked: bool,
    stateful: bool,
}

/// Reads a layer that walks.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(read_recurrent(class, config, context)?))
}

/// As [`read`], for layers that have others inside.
pub(crate) fn read_recurrent(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Recurrent, Fault> {
    super::refuse_quantized(context)?;
    let path = format!("{}/cell", context.place.path);
    let cells = match class {
        "RNN" => cell::read_option(config, &path, context)?,
        other => vec![Cell::read(other, config, (&path, &context.place.label), context)?],
    };
    Ok(Recurrent {
        cells,
        return_sequences: config.flag(&["return_sequences"], false)?,
        return_state: config.flag(&["return_state"], false)?,
        go_backwards: config.flag(&["go_backwards"], false)?,
        zero_masked: config.flag(&["zero_output_for_mask"], false)?,
        stateful: config.flag(&["stateful"], false)?,
    })
}

/// What the reader should know of a layer that keeps its state.
const STATEFUL: &str = "recurrent layers that keep their state between calls (stateful=True) begin \
                        each run with a state of zeros";

impl Recurrent {
    /// The first argument may be the sequence and the states to begin with.
    fn arguments<'a, V>(&self, call: &'a Arguments<V>) -> Result<(&'a V, Vec<&'a V>), Fault> {
        let inputs = call.inputs()?;
        let (sequence, mut states) = match inputs.split_first() {
            Some((sequence, states)) => (*sequence, states.to_vec()),
            None => return Err(Fault::malformed("expected a sequence, found none")),
        };
        if let Some(initial) = call.get(1, "initial_state") {
            states = initial.values();
        }
        let wanted: usize = self.cells.iter().map(Cell::states).sum();
        if !states.is_empty() && states.len() != wanted {
            let found = states.len();
            return Err(Fault::malformed(format!("expected {wanted} states, found {found}")));
        }
        Ok((sequence, states))
    }
}

impl Operation for Recurrent {
    fn variables(&self, base: Variables) -> Variables {
        self.cells.iter().map(Cell::variables).fold(base, |base, inner| {
            let trainable = base.trainable;
            base.with(Variables { trainable, ..inner })
        })
    }

    fn masks(&self) -> Masks {
        Masks::Own
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        if self.stateful {
            to.notes.push(STATEFUL.into());
        }
        let (sequence, states) = self.arguments(call)?;
        let states: Vec<Value> = states.into_iter().cloned().collect();
        let mask = super::mask_value(call);
        let run = convert::run(self, sequence, (mask.as_ref(), &states), to)?;
        let mut output =
            if self.return_sequences { run.sequence(self, to) } else { run.last.clone() };
        output.mask = mask.filter(|_| self.return_sequences).map(|mask| mask.name);
        let mut outputs = vec![output];
        if self.return_state {
            outputs.extend(run.states);
        }
        Ok(outputs)
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let (sequence, states) = self.arguments(call)?;
        let states: Vec<_> = states.into_iter().map(|state| state.array.clone()).collect();
        let mask = super::mask_sample(call);
        let run = evaluate::run(self, &sequence.array, (mask.as_ref(), states), with)?;
        let output = if self.return_sequences { run.sequence } else { run.last };
        let mask = mask.filter(|_| self.return_sequences);
        let mut outputs = vec![Sample { mask, ..Sample::new(output) }];
        if self.return_state {
            outputs.extend(run.states.into_iter().map(Sample::new));
        }
        Ok(outputs)
    }
}
