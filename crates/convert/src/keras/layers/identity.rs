//! Layers that do something in training only: `Dropout` and its kind, noise, penalties, random
//! changes to images.

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::Value;

/// The value itself.
#[derive(Debug)]
struct Identity {
    /// Whether it comes out as floats.
    as_floats: bool,
    masks: Masks,
}

/// Reads one; those for images give floats.
pub(crate) fn read(
    class: &str,
    _: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let is_image = class.starts_with("Random");
    let masks = if is_image { Masks::Drop } else { Masks::Pass };
    Ok(Box::new(Identity { as_floats: is_image, masks }))
}

impl Operation for Identity {
    fn masks(&self) -> Masks {
        self.masks
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = call.input()?;
        Ok(vec![if self.as_floats { to.float(x) } else { x.clone() }])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = call.input()?;
        Ok(if self.as_floats { Sample::only(super::floats(&x.array)?) } else { vec![x.clone()] })
    }
}
