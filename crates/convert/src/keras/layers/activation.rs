//! `Activation`, `ReLU`, `LeakyReLU`, `ELU`, `Softmax`, `ThresholdedReLU`.

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::keras::activations::Activation;
use crate::keras::argument::{Argument, Arguments};
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::Array;
use crate::reference::elementwise::{cast, select};

/// A function of each element, or along an axis.
#[derive(Debug)]
struct Apply(Activation);

/// What masked elements are before softmax.
const HIDDEN: f32 = -1e9;

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let activation = Activation::of_layer(class, config, context.reader.major)?;
    let activation = activation.ok_or_else(|| Fault::malformed("expected an activation layer"))?;
    Ok(Box::new(Apply(activation)))
}

impl Apply {
    fn mask<'a, V>(&self, call: &'a Arguments<V>) -> Option<&'a Argument<V>> {
        let is_softmax = matches!(self.0, Activation::Softmax(_));
        call.get(1, "mask").filter(|_| is_softmax)
    }
}

impl Operation for Apply {
    fn masks(&self) -> Masks {
        Masks::Pass
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = call.input()?;
        let Some(mask) = self.mask(call) else { return Ok(vec![self.0.convert(x, to)?]) };
        // Only a mask that is given: that of a sequence has another shape.
        let mask = to.cast(mask.value()?, ElementType::Bool);
        let (hidden, zero) = (to.scalar(HIDDEN), to.scalar(0.0));
        let name = to.op("Where", &[&mask.name, &x.name, &hidden.name]);
        let y = self.0.convert(&to.like(x, name), to)?;
        let name = to.op("Where", &[&mask.name, &y.name, &zero.name]);
        Ok(vec![to.like(&y, name)])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let Some(mask) = self.mask(call) else {
            return Ok(Sample::only(self.0.evaluate(&x)?));
        };
        let mask = cast(&mask.value()?.array, ElementType::Bool)?;
        let hidden = select(&mask, &x, &Array::scalar(HIDDEN))?;
        Ok(Sample::only(select(&mask, &self.0.evaluate(&hidden)?, &Array::scalar(0.0))?))
    }
}
