//! `Bidirectional`: a walk from the start and one from the end.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;
use serde_json::Value as Json;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::recurrent::{Recurrent, convert, evaluate, read_recurrent};
use crate::keras::reader::{Context, Place, class_of, name_of};
use crate::keras::value::{Value, fixed};
use crate::keras::variables::Variables;
use crate::reference::elementwise::{add, map_floats, mul};
use crate::reference::{Array, shape};

/// Two walks and what becomes of their results.
#[derive(Debug)]
struct Bidirectional {
    forward: Recurrent,
    backward: Recurrent,
    merge: Merge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merge {
    Concat,
    Sum,
    Average,
    Multiply,
    /// Both come out.
    Both,
}

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let merge = match config.get(&["merge_mode"]).and_then(Json::as_str) {
        // An absent option means to join; null means not to merge.
        None if config.has("merge_mode") => Merge::Both,
        None | Some("concat") => Merge::Concat,
        Some("sum") => Merge::Sum,
        Some("ave") => Merge::Average,
        Some("mul") => Merge::Multiply,
        Some(other) => {
            return Err(Fault::malformed(format!("expected a merge mode, found '{other}'")));
        }
    };
    let layer = config.get(&["layer"]);
    let mut forward = inner(layer, "forward", context)?;
    let backward = config.get(&["backward_layer"]);
    let mut turned = inner(backward.or(layer), "backward", context)?;
    if backward.is_none() {
        turned.go_backwards = !forward.go_backwards;
    }
    forward.zero_masked = forward.return_sequences;
    turned.zero_masked = turned.return_sequences;
    let same = forward.return_sequences == turned.return_sequences
        && forward.return_state == turned.return_state;
    if !same {
        return Err(Fault::malformed("the two layers do not give the same things"));
    }
    Ok(Box::new(Bidirectional { forward, backward: turned, merge }))
}

fn inner(
    json: Option<&Json>,
    direction: &str,
    context: &mut Context<'_>,
) -> Result<Recurrent, Fault> {
    let json = json.ok_or_else(|| Fault::malformed("expected a 'layer', found none"))?;
    let class = class_of(json).unwrap_or_default();
    if !["SimpleRNN", "LSTM", "GRU", "RNN"].contains(&class.as_str()) {
        return Err(Fault::unsupported(
            format!("the layer {class} inside"),
            "use SimpleRNN, LSTM, GRU or RNN",
        ));
    }
    let name = name_of(json).unwrap_or_else(|| class.to_lowercase());
    let prefix = format!("{direction}_");
    let name = if name.starts_with(&prefix) { name } else { format!("{prefix}{name}") };
    let place = Place {
        label: format!("{}/{name}", context.place.label),
        path: format!("{}/{direction}_layer", context.place.path),
        ..context.place.clone()
    };
    let config = Config::new(json.get("config"))?;
    let quantized = context.quantized.clone();
    let mut context = Context { reader: context.reader, place, quantized };
    read_recurrent(&class, &config, &mut context)
}

impl Bidirectional {
    /// The results of both, and the states.
    fn merged(
        &self,
        one: &Value,
        two: &Value,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let last = one.rank() - 1;
        Ok(match self.merge {
            Merge::Both => vec![one.clone(), two.clone()],
            Merge::Sum => vec![to.binary("Add", one, two)?],
            Merge::Multiply => vec![to.binary("Mul", one, two)?],
            Merge::Average => {
                let sum = to.binary("Add", one, two)?;
                vec![to.with_scalar("Div", &sum, 2.0)]
            }
            Merge::Concat => {
                let mut y = to.concat(&[one.clone(), two.clone()], last)?;
                let widths = fixed(&one.dims[last]).zip(fixed(&two.dims[last]));
                y.dims[last] = widths.map_or(Dim::Free, |(one, two)| Dim::Fixed(one + two));
                vec![y]
            }
        })
    }

    fn merged_arrays(&self, one: Array, two: Array) -> Result<Vec<Array>, EvaluateError> {
        Ok(match self.merge {
            Merge::Both => vec![one, two],
            Merge::Sum => vec![add(&one, &two)?],
            Merge::Multiply => vec![mul(&one, &two)?],
            Merge::Average => vec![map_floats(&add(&one, &two)?, |sum| sum / 2.0)?],
            Merge::Concat => vec![shape::concat(&[&one, &two], -1)?],
        })
    }
}

/// Half of the states each.
fn halves<V: Clone>(states: &[&V]) -> (Vec<V>, Vec<V>) {
    let (one, two) = states.split_at(states.len() / 2);
    let owned = |states: &[&V]| states.iter().map(|&state| state.clone()).collect();
    (owned(one), owned(two))
}

/// The sequence and the states to begin with.
fn arguments<V>(call: &Arguments<V>) -> Result<(&V, Vec<&V>), Fault> {
    let inputs = call.inputs()?;
    let (sequence, states) =
        inputs.split_first().ok_or_else(|| Fault::malformed("expected a sequence, found none"))?;
    let states = match call.get(1, "initial_state") {
        Some(initial) => initial.values(),
        None => states.to_vec(),
    };
    Ok((sequence, states))
}

impl Operation for Bidirectional {
    fn variables(&self, base: Variables) -> Variables {
        let trainable = base.trainable;
        let inner = |path: &str, layer: &Recurrent| {
            let place = Variables { path: path.into(), trainable, ..Variables::default() };
            layer.variables(place)
        };
        let (one, two) = (inner("forward", &self.forward), inner("backward", &self.backward));
        base.with(one).with(two)
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
        let (sequence, states) = arguments(call)?;
        let (first, second) = halves(&states);
        let mask = super::super::mask_value(call);
        let one = convert::run(&self.forward, sequence, (mask.as_ref(), &first), to)?;
        let two = convert::run(&self.backward, sequence, (mask.as_ref(), &second), to)?;
        let sequences = self.forward.return_sequences;
        let (y, y_back) = match sequences {
            // The second comes from the end, and is turned around.
            true => (one.sequence(&self.forward, to), two.turned(&self.backward, to)),
            false => (one.last.clone(), two.last.clone()),
        };
        let mut outputs = self.merged(&y, &y_back, to)?;
        let mask = mask.filter(|_| sequences).map(|mask| to.cast(&mask, ElementType::Bool).name);
        outputs.iter_mut().for_each(|output| output.mask = mask.clone());
        if self.forward.return_state {
            outputs.extend(one.states);
            outputs.extend(two.states);
        }
        Ok(outputs)
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let (sequence, states) = arguments(call)?;
        let states: Vec<&Array> = states.into_iter().map(|state| &state.array).collect();
        let (first, second) = halves(&states);
        let mask = super::super::mask_sample(call);
        let x = &sequence.array;
        let one = evaluate::run(&self.forward, x, (mask.as_ref(), first), with)?;
        let two = evaluate::run(&self.backward, x, (mask.as_ref(), second), with)?;
        let sequences = self.forward.return_sequences;
        let merged = match sequences {
            true => self.merged_arrays(one.sequence, shape::flip(&two.sequence, &[1])?)?,
            false => self.merged_arrays(one.last, two.last)?,
        };
        let mask = mask.filter(|_| sequences);
        let mut outputs: Vec<Sample> =
            merged.into_iter().map(|y| Sample { mask: mask.clone(), ..Sample::new(y) }).collect();
        if self.forward.return_state {
            outputs.extend(one.states.into_iter().chain(two.states).map(Sample::new));
        }
        Ok(outputs)
    }
}
