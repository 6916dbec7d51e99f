//! A model inside a model, or the whole: calls of layers.

use std::collections::HashMap;

use crate::EvaluateError;
use crate::keras::argument::{Argument, Arguments};
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::value::Value;
use crate::keras::variables::Variables;

/// Layers and the calls between them.
#[derive(Debug)]
pub(crate) struct Network {
    /// The layers, as the file has them.
    pub(crate) layers: Vec<Layer>,
    /// Calls, each after those whose results it takes.
    pub(crate) calls: Vec<Call>,
    /// The calls of `InputLayer`s that are the inputs, in order.
    pub(crate) inputs: Vec<usize>,
    /// What it gives, in order.
    pub(crate) outputs: Vec<Output>,
}

/// A layer applied to something.
#[derive(Debug)]
pub(crate) struct Call {
    /// Which layer.
    pub(crate) layer: usize,
    /// To what. `InputLayer`s have no arguments.
    pub(crate) arguments: Arguments<Reference>,
}

/// A result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Which call.
    pub(crate) call: usize,
    /// Which of its results.
    pub(crate) tensor: usize,
}

/// An output of a model.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Its name.
    pub(crate) name: String,
    /// Where it comes from.
    pub(crate) from: Reference,
}

impl Network {
    /// The layer of the input at `index`.
    pub(crate) fn input_layer(&self, index: usize) -> Option<&Layer> {
        let call = self.calls.get(*self.inputs.get(index)?)?;
        self.layers.get(call.layer)
    }

    /// The inputs of a call in the order of the model: by name where they come in a dictionary.
    fn ordered<V: Clone>(&self, call: &Arguments<V>) -> Result<Vec<V>, Fault> {
        let first = call.first()?;
        let by_name = match first {
            Argument::Map(items) => self.by_name(items),
            _ => None,
        };
        let values = by_name.unwrap_or_else(|| first.values().into_iter().cloned().collect());
        // Keras also takes the inputs one by one.
        let values = if values.len() == self.inputs.len() {
            values
        } else {
            call.all_values().into_iter().take(self.inputs.len()).cloned().collect()
        };
        if values.len() != self.inputs.len() {
            let (expected, found) = (self.inputs.len(), values.len());
            return Err(Fault::malformed(format!("expected {expected} inputs, found {found}")));
        }
        Ok(values)
    }

    fn by_name<V: Clone>(&self, items: &[(String, Argument<V>)]) -> Option<Vec<V>> {
        (0..self.inputs.len())
            .map(|index| {
                let name = &self.input_layer(index)?.name;
                let (_, item) = items.iter().find(|(key, _)| key == name)?;
                item.value().ok().cloned()
            })
            .collect()
    }

    /// Calls every layer: `call` says what one gives. Values are dropped after their last use.
    fn run<V: Clone, E>(
        &self,
        inputs: Vec<V>,
        mut call: impl FnMut(&Layer, &Arguments<Reference>, &Values<V>) -> Result<Option<Vec<V>>, E>,
    ) -> Result<Vec<Option<V>>, E> {
        let last_use = self.last_use();
        let mut values: Values<V> = Values(vec![None; self.calls.len()]);
        for (index, value) in self.inputs.iter().zip(inputs) {
            values.0[*index] = Some(vec![value]);
        }
        for (index, this) in self.calls.iter().enumerate() {
            if !self.inputs.contains(&index) {
                let layer = &self.layers[this.layer];
                values.0[index] = call(layer, &this.arguments, &values)?;
            }
            for reference in this.arguments.all_values() {
                if last_use.get(&reference.call) == Some(&index) {
                    values.0[reference.call] = None;
                }
            }
        }
        Ok(self.outputs.iter().map(|output| values.get(output.from).cloned()).collect())
    }

    /// Which call uses the results of a call last; those of outputs are not in it.
    fn last_use(&self) -> HashMap<usize, usize> {
        let mut last = HashMap::new();
        for (index, call) in self.calls.iter().enumerate() {
            for reference in call.arguments.all_values() {
                last.insert(reference.call, index);
            }
        }
        for output in &self.outputs {
            last.remove(&output.from.call);
        }
        last
    }

    /// Writes all calls as nodes; `None` for outputs that could not be written, which is noted.
    pub(crate) fn convert_calls(
        &self,
        inputs: Vec<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Option<Value>>, Fault> {
        self.run(inputs, |layer, arguments, values| {
            to.emitter.begin(&layer.label, &layer.class);
            if let Err(unsupported) = &layer.operation {
                to.emitter.refuse(&unsupported.reason, &unsupported.way_out);
                return Ok(None);
            }
            to.calls_left = to
                .calls_left
                .checked_sub(1)
                .ok_or_else(|| Fault::malformed("the model calls more layers than are allowed"))?;
            // What hangs on something that was refused cannot be written, and is not at fault.
            let present = |from: &Reference| values.get(*from).cloned().ok_or(());
            let Ok(call) = arguments.try_map(&mut |from| present(from)) else { return Ok(None) };
            match layer.convert(&call, to) {
                Ok(outputs) => Ok(Some(outputs)),
                Err(Fault::Unsupported { reason, way_out }) => {
                    to.emitter.refuse(reason, way_out);
                    Ok(None)
                }
                Err(Fault::Refused) => Ok(None),
                Err(Fault::Malformed(message)) => {
                    let fault = Fault::malformed(message);
                    Err(Fault::Convert(fault.into_error(&layer.label)))
                }
                Err(fault @ Fault::Convert(_)) => Err(fault),
            }
        })
    }

    /// Computes all calls.
    pub(crate) fn evaluate_calls(
        &self,
        inputs: Vec<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let outputs = self.run(inputs, |layer, arguments, values| {
            with.count_call()?;
            let present = |from: &Reference| {
                let missing = || EvaluateError::new("an argument is missing").at(&layer.label);
                values.get(*from).cloned().ok_or_else(missing)
            };
            let call = arguments.try_map(&mut |from| present(from))?;
            let outputs = layer.evaluate(&call, with);
            outputs.map(Some).map_err(|error| error.at(format!("layer '{}'", layer.label)))
        })?;
        let missing = || EvaluateError::new("an output is missing");
        outputs.into_iter().map(|output| output.ok_or_else(missing)).collect()
    }
}

/// Results of the calls that were made.
struct Values<V>(Vec<Option<Vec<V>>>);

impl<V> Values<V> {
    fn get(&self, from: Reference) -> Option<&V> {
        self.0.get(from.call)?.as_ref()?.get(from.tensor)
    }
}

impl Operation for Network {
    fn variables(&self, base: Variables) -> Variables {
        self.layers.iter().map(Layer::variables).fold(base, Variables::with)
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
        let outputs = self.convert_calls(self.ordered(call)?, to)?;
        outputs.into_iter().map(|output| output.ok_or(Fault::Refused)).collect()
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        self.evaluate_calls(self.ordered(call)?, with)
    }
}
