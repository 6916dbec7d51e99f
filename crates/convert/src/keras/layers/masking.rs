//! `Masking`: steps of a sequence that do not count.

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::elementwise::{cast, mul, test};
use crate::reference::reduce::{Over, any};
use crate::reference::shape;
use modelyard_graph::ElementType;

/// Steps whose elements are all this value do not count.
#[derive(Debug)]
struct Masking {
    value: f32,
}

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(Masking { value: config.number_or(&["mask_value"], 0.0)? as f32 }))
}

impl Operation for Masking {
    fn masks(&self) -> Masks {
        Masks::Own
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let last =
            x.rank().checked_sub(1).ok_or_else(|| Fault::malformed("expected a sequence"))?;
        let same = to.with_scalar("Equal", &x, self.value);
        let other = to.unary("Not", &same);
        let other = to.float(&Value { element_type: ElementType::Bool, ..other });
        let counts = to.reduce("ReduceMax", &other, &[last], true);
        let mut y = to.binary("Mul", &x, &counts)?;
        let mask = to.squeeze(&counts, &[last]);
        y.mask = Some(to.cast(&mask, ElementType::Bool).name);
        Ok(vec![y])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let other = test(&x, |value| value != f64::from(self.value))?;
        let mask = any(&other, Over::axes(&[-1]))?;
        let counts = cast(&shape::expand_dims(&mask, &[-1])?, ElementType::Float32)?;
        Ok(vec![Sample { mask: Some(mask), ..Sample::new(mul(&x, &counts)?) }])
    }
}
