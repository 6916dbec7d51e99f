//! `PReLU`: a slope below 0 that is learned.

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::reference::elementwise::{add, map_floats, mul};

/// `x` above 0, `alpha * x` below.
#[derive(Debug)]
struct Prelu;

/// Reads one.
pub(crate) fn read(_: &str, _: &Config, _: &mut Context<'_>) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(Prelu))
}

impl Operation for Prelu {
    fn variables(&self, base: Variables) -> Variables {
        base.trained(&["alpha"])
    }

    fn masks(&self) -> Masks {
        Masks::Pass
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let (alpha, dims) = to.weight(&layer.variables(), "alpha")?;
        if dims.len() + 1 != x.rank() {
            return Err(Fault::malformed(format!(
                "expected a slope of {} dimensions, found {dims:?}",
                x.rank() - 1
            )));
        }
        let name = to.op("PRelu", &[&x.name, &alpha]);
        Ok(vec![to.like(&x, name)])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let alpha = with.weight(&layer.variables(), "alpha")?;
        let above = map_floats(&x, |x| x.max(0.0))?;
        let below = map_floats(&x, |x| x.min(0.0))?;
        Ok(Sample::only(add(&above, &mul(&alpha, &below)?)?))
    }
}
