//! `MaxPooling1D` to `3D` and `AveragePooling1D` to `3D`.

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::layers::window::{Padding, Window, channels_first};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::reference::normalize;
use crate::reference::pool::{Pool as Walk, average_pool, max_pool};

/// The largest or the mean of each window.
#[derive(Debug)]
struct Pool {
    window: Window,
    channels_first: bool,
    largest: bool,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let rank = super::rank_of(class);
    let size = config.sizes(&["pool_size", "pool_length"], rank, Some(2))?;
    let strides = match config.get(&["strides", "stride"]) {
        Some(_) => config.sizes(&["strides", "stride"], rank, None)?,
        None => size.clone(),
    };
    let window =
        Window { size, strides, dilations: vec![1; rank], padding: Padding::read(config)? };
    let largest = class.starts_with("Max");
    Ok(Box::new(Pool { window, channels_first: channels_first(config)?, largest }))
}

impl Operation for Pool {
    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(super::of_rank(call.input()?, self.window.size.len() + 2)?);
        let x = if self.channels_first { x } else { to.channels_first(&x) };
        let op_type = if self.largest { "MaxPool" } else { "AveragePool" };
        let pool = self.window.on(node(op_type, &[&x.name]), &x.dims[2..]);
        let name = to.add(pool);
        let mut dims = x.dims[..2].to_vec();
        dims.extend(self.window.output(&x.dims[2..]));
        let y = to.value(name, dims, x.element_type);
        Ok(vec![if self.channels_first { y } else { to.channels_last(&y) }])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let x = if self.channels_first { x } else { normalize::channels_first(&x)? };
        let pads = self.window.pads_of(&x.dims()[2..])?;
        let walk = Walk {
            size: self.window.size.clone(),
            strides: self.window.strides.clone(),
            pads_begin: pads.iter().map(|pad| pad.0).collect(),
            pads_end: pads.iter().map(|pad| pad.1).collect(),
            ..Walk::default()
        };
        // What is added at the borders counts neither for the largest nor for the mean.
        let y = if self.largest { max_pool(&x, &walk)? } else { average_pool(&x, &walk, false)? };
        Ok(Sample::only(if self.channels_first { y } else { normalize::channels_last(&y)? }))
    }
}
