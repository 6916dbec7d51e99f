//! `GlobalMaxPooling1D` to `3D` and `GlobalAveragePooling1D` to `3D`.

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::layers::window::channels_first;
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::elementwise::{div, mul};
use crate::reference::reduce::{self, Over};
use crate::reference::shape;

/// The largest or the mean of all places.
#[derive(Debug)]
struct GlobalPool {
    rank: usize,
    channels_first: bool,
    keep: bool,
    largest: bool,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    Ok(Box::new(GlobalPool {
        rank: super::rank_of(class),
        channels_first: channels_first(config)?,
        keep: config.flag(&["keepdims"], false)?,
        largest: class.starts_with("GlobalMax"),
    }))
}

impl GlobalPool {
    fn axes(&self) -> Vec<usize> {
        let first = if self.channels_first { 2 } else { 1 };
        (first..first + self.rank).collect()
    }

    /// The mean of the steps that count: only sequences have a mask.
    fn uses_mask(&self) -> bool {
        self.rank == 1 && !self.largest
    }
}

impl Operation for GlobalPool {
    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(super::of_rank(call.input()?, self.rank + 2)?);
        let mask = super::mask_value(call).filter(|_| self.uses_mask());
        let Some(mask) = mask else {
            let op_type = if self.largest { "ReduceMax" } else { "ReduceMean" };
            return Ok(vec![to.reduce(op_type, &x, &self.axes(), self.keep)]);
        };
        let mask = to.float(&mask);
        let at = if self.channels_first { 1 } else { 2 };
        let weights = to.unsqueeze(&mask, &[at]);
        let weighted = to.binary("Mul", &x, &weights)?;
        let sum = to.reduce("ReduceSum", &weighted, &self.axes(), self.keep);
        let count = to.reduce("ReduceSum", &weights, &self.axes(), self.keep);
        Ok(vec![to.binary("Div", &sum, &count)?])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let axes: Vec<i64> = self.axes().iter().map(|&axis| axis as i64).collect();
        let over = Over { axes: Some(&axes), keep_dims: self.keep };
        if self.largest {
            return Ok(Sample::only(reduce::max(&x, over)?));
        }
        let Some(mask) = super::mask_sample(call).filter(|_| self.uses_mask()) else {
            return Ok(Sample::only(reduce::mean(&x, over)?));
        };
        let mask = crate::reference::elementwise::cast(&mask, ElementType::Float32)?;
        let weights = shape::expand_dims(&mask, &[if self.channels_first { 1 } else { 2 }])?;
        let sum = reduce::sum(&mul(&x, &weights)?, over)?;
        Ok(Sample::only(div(&sum, &reduce::sum(&weights, over)?)?))
    }
}
