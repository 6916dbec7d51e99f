//! `CustomScaleLayer`, which Keras' InceptionResNetV2 consists of: one input plus a part of another.

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::elementwise::{add, map_floats};

/// The first input plus the second times this.
#[derive(Debug)]
struct Residual(f32);

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let scale = config.numbers(&["scale"])?.and_then(|list| list.first().copied());
    let scale = scale.ok_or_else(|| Fault::malformed("expected a number as 'scale'"))?;
    Ok(Box::new(Residual(scale as f32)))
}

fn two<T>(inputs: &[T]) -> Option<(&T, &T)> {
    match inputs {
        [one, two] => Some((one, two)),
        _ => None,
    }
}

impl Operation for Residual {
    fn masks(&self) -> Masks {
        Masks::Drop
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let inputs = call.inputs()?;
        let (main, branch) = two(&inputs).ok_or_else(|| Fault::malformed("expected 2 inputs"))?;
        let branch = to.with_scalar("Mul", branch, self.0);
        Ok(vec![to.binary("Add", main, &branch)?])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let inputs = call.inputs()?;
        let (main, branch) = two(&inputs).ok_or_else(|| EvaluateError::new("expected 2 inputs"))?;
        let branch = map_floats(&branch.array, |value| value * self.0)?;
        Ok(Sample::only(add(&main.array, &branch)?))
    }
}
