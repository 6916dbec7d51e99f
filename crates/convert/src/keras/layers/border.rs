//! `ZeroPadding1D` to `3D` and `Cropping1D` to `3D`.

use serde_json::Value as Json;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::{Config, integer};
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Operation};
use crate::keras::layers::window::channels_first;
use crate::keras::reader::Context;
use crate::keras::value::{Value, derived};
use crate::reference::shape::{self, Padding, Range};

/// Zeros around images, or their borders cut off.
#[derive(Debug)]
struct Border {
    /// In front and behind on each spatial axis.
    sizes: Vec<(usize, usize)>,
    channels_first: bool,
    crop: bool,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let crop = class.starts_with("Crop");
    let option = if crop { "cropping" } else { "padding" };
    let rank = super::rank_of(class);
    let found = config.get(&[option]);
    let sizes = found.and_then(|json| sizes(json, rank)).ok_or_else(|| {
        Fault::malformed(format!("expected {rank} pairs as '{option}', found {found:?}"))
    })?;
    Ok(Box::new(Border { sizes, channels_first: channels_first(config)?, crop }))
}

/// One number for all, one for each axis, or a pair for each axis.
fn sizes(json: &Json, rank: usize) -> Option<Vec<(usize, usize)>> {
    let size = |json: &Json| usize::try_from(integer(json)?).ok();
    let pair = |json: &Json| match json {
        Json::Array(items) if items.len() == 2 => Some((size(&items[0])?, size(&items[1])?)),
        Json::Array(_) => None,
        one => size(one).map(|size| (size, size)),
    };
    match json {
        // Over one axis, two numbers are one pair.
        Json::Array(items) if rank == 1 && items.len() == 2 => Some(vec![pair(json)?]),
        // Four numbers in a row, as Keras 1 had them.
        Json::Array(items) if rank == 2 && items.len() == 4 => {
            Some(vec![(size(&items[0])?, size(&items[1])?), (size(&items[2])?, size(&items[3])?)])
        }
        Json::Array(items) if items.len() == rank => items.iter().map(pair).collect(),
        Json::Array(_) => None,
        one => size(one).map(|size| vec![(size, size); rank]),
    }
}

impl Border {
    fn first(&self) -> usize {
        if self.channels_first { 2 } else { 1 }
    }
}

impl Operation for Border {
    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = super::of_rank(call.input()?, self.sizes.len() + 2)?;
        let mut dims = x.dims.clone();
        for (axis, &(before, after)) in self.sizes.iter().enumerate() {
            let dim = &mut dims[self.first() + axis];
            *dim = derived(dim, |size| match self.crop {
                true => size.checked_sub(before)?.checked_sub(after),
                false => size.checked_add(before)?.checked_add(after),
            });
        }
        let count = x.rank();
        let name = if self.crop {
            let cut = |pick: &dyn Fn(&(usize, usize)) -> i64| {
                self.sizes.iter().map(pick).collect::<Vec<_>>()
            };
            let starts = cut(&|size| size.0 as i64);
            let ends = cut(&|size| if size.1 == 0 { i64::MAX } else { -(size.1 as i64) });
            let axes: Vec<i64> =
                (0..self.sizes.len()).map(|axis| (self.first() + axis) as i64).collect();
            let inputs = [
                x.name.clone(),
                to.emitter.integers("starts", &starts),
                to.emitter.integers("ends", &ends),
                to.emitter.integers("axes", &axes),
            ];
            to.op("Slice", &inputs)
        } else {
            let mut pads = vec![0; 2 * count];
            for (axis, &(before, after)) in self.sizes.iter().enumerate() {
                pads[self.first() + axis] = before as i64;
                pads[count + self.first() + axis] = after as i64;
            }
            let pads = to.emitter.integers("pads", &pads);
            to.op("Pad", &[&x.name, &pads])
        };
        Ok(vec![to.value(name, dims, x.element_type)])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = &call.input()?.array;
        if x.rank() != self.sizes.len() + 2 {
            return Err(EvaluateError::new("the input has another number of dimensions"));
        }
        if !self.crop {
            let mut before = vec![0; x.rank()];
            let mut after = before.clone();
            for (axis, size) in self.sizes.iter().enumerate() {
                before[self.first() + axis] = size.0 as i64;
                after[self.first() + axis] = size.1 as i64;
            }
            return Ok(Sample::only(shape::pad(x, &before, &after, Padding::Constant(0.0))?));
        }
        let ranges: Vec<Range> = self
            .sizes
            .iter()
            .enumerate()
            .map(|(index, &(before, after))| {
                let axis = self.first() + index;
                let stop = x.dims()[axis].saturating_sub(after) as i64;
                Range { axis: axis as i64, start: before as i64, stop, step: 1 }
            })
            .collect();
        Ok(Sample::only(shape::slice(x, &ranges)?))
    }
}
