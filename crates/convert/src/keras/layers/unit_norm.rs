//! `UnitNormalization`: each sample divided by its length.

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;

use crate::keras::value::{Value, axis_of};
use crate::reference::elementwise::{map, mul};
use crate::reference::reduce::{Over, sum_of_squares};

/// What a length is taken to be at least.
const SMALLEST: f32 = 1e-12;

/// Divided by the root of the sum of squares over some axes.
#[derive(Debug)]
struct UnitNorm(Vec<i64>);

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(UnitNorm(config.integers(&["axis"])?.unwrap_or_else(|| vec![-1]))))
}

impl Operation for UnitNorm {
    fn masks(&self) -> Masks {
        Masks::Pass
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let axes: Option<Vec<usize>> = self.0.iter().map(|&axis| axis_of(axis, x.rank())).collect();
        let axes = axes.ok_or_else(|| {
            let (rank, found) = (x.rank(), &self.0);
            Fault::malformed(format!("expected axes of {rank} dimensions, found {found:?}"))
        })?;
        Ok(vec![unit(&x, &axes, SMALLEST, to)?])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let square = sum_of_squares(&x, Over::kept(&self.0))?;
        let factor = map(&square, |square| square.sqrt().recip().min(1.0 / f64::from(SMALLEST)))?;
        Ok(Sample::only(mul(&x, &factor)?))
    }
}

/// The value divided by its length over these axes, which is taken to be at least so much.
pub(crate) fn unit(
    x: &Value,
    axes: &[usize],
    smallest: f32,
    to: &mut Converter<'_>,
) -> Result<Value, Fault> {
    let length = to.reduce("ReduceL2", x, axes, true);
    let length = to.with_scalar("Max", &length, smallest);
    to.binary("Div", x, &length)
}
