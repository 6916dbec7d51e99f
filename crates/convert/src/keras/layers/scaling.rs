//! `Rescaling`, `Normalization`, and the `LayerScale` of ConvNeXt: each element times one number
//! plus another.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::{Value, axis_of};
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::reference::Array;
use crate::reference::elementwise::{add, div, map, max, mul, sub};

/// Times a scale, plus an offset.
#[derive(Debug)]
struct Rescaling {
    scale: Vec<f32>,
    offset: Vec<f32>,
}

/// Minus a mean, divided by a deviation.
#[derive(Debug)]
struct Normalization {
    axes: Vec<i64>,
    /// Mean and variance, where the options have them; else they are weights.
    given: Option<(Vec<f32>, Vec<f32>)>,
    invert: bool,
}

/// Times a weight for each channel.
#[derive(Debug)]
struct LayerScale;

/// What a deviation is taken to be at least.
const SMALLEST: f32 = 1e-7;

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let floats = |name: &str, default: f32| -> Result<Vec<f32>, Fault> {
        let numbers = config.numbers(&[name])?;
        Ok(numbers.map_or(vec![default], |list| list.iter().map(|&it| it as f32).collect()))
    };
    Ok(match class {
        "Rescaling" => {
            Box::new(Rescaling { scale: floats("scale", 1.0)?, offset: floats("offset", 0.0)? })
        }
        "Normalization" => {
            let is_given = config.get(&["mean"]).is_some();
            let given = if is_given {
                Some((floats("mean", 0.0)?, floats("variance", 1.0)?))
            } else {
                None
            };
            // No axis at all: one mean for everything. It differs from an absent option.
            let axes = match config.has("axis") {
                true => config.integers(&["axis"])?.unwrap_or_default(),
                false => vec![-1],
            };
            Box::new(Normalization { axes, given, invert: config.flag(&["invert"], false)? })
        }
        _ => Box::new(LayerScale),
    })
}

/// A constant for the last axis, or for everything.
fn last_axis(name: &str, values: &[f32], to: &mut Converter<'_>) -> Value {
    let dims: Vec<usize> = if values.len() == 1 { vec![] } else { vec![values.len()] };
    let name = to.emitter.floats(name, &dims, values);
    to.value(name, dims.into_iter().map(Dim::Fixed).collect(), ElementType::Float32)
}

fn last_axis_array(values: &[f32]) -> Result<Array, EvaluateError> {
    let dims: Vec<usize> = if values.len() == 1 { vec![] } else { vec![values.len()] };
    Array::floats(&dims, values.to_vec())
}

impl Operation for Rescaling {
    fn masks(&self) -> Masks {
        Masks::Drop
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let mut y = to.float(call.input()?);
        if self.scale != [1.0] {
            let scale = last_axis("scale", &self.scale, to);
            y = to.binary("Mul", &y, &scale)?;
        }
        if self.offset != [0.0] {
            let offset = last_axis("offset", &self.offset, to);
            y = to.binary("Add", &y, &offset)?;
        }
        Ok(vec![y])
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        _: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let scaled = mul(&x, &last_axis_array(&self.scale)?)?;
        Ok(Sample::only(add(&scaled, &last_axis_array(&self.offset)?)?))
    }
}

impl Normalization {
    /// Mean and variance in a shape that broadcasts to the input.
    fn statistics(
        &self,
        rank: usize,
        size: impl Fn(usize) -> Option<usize>,
        read: impl Fn(&str) -> Result<Weight, Fault>,
    ) -> Result<(Weight, Weight), Fault> {
        let axes: Option<Vec<usize>> = self.axes.iter().map(|&axis| axis_of(axis, rank)).collect();
        let mut axes = axes.ok_or_else(|| {
            let axes = &self.axes;
            Fault::malformed(format!("expected axes of {rank} dimensions, found {axes:?}"))
        })?;
        axes.sort_unstable();
        let spread = |weight: Weight| {
            let mut dims = vec![1; rank];
            let kept: Option<Vec<usize>> = axes.iter().map(|&axis| size(axis)).collect();
            let kept =
                kept.ok_or_else(|| Fault::malformed("a size along the axes is not known"))?;
            let count: usize = weight.dims.iter().product();
            if count == 1 {
                return weight.reshaped(&dims);
            }
            axes.iter().zip(&kept).for_each(|(&axis, &size)| dims[axis] = size);
            weight.reshaped(&dims)
        };
        let (mean, variance) = match &self.given {
            Some((mean, variance)) => {
                let of = |values: &[f32]| Weight::floats(&[values.len()], values);
                (of(mean), of(variance))
            }
            None => (read("mean")?, read("variance")?),
        };
        Ok((spread(mean)?, spread(variance)?))
    }
}

impl Operation for Normalization {
    fn variables(&self, base: Variables) -> Variables {
        if self.given.is_some() { base } else { base.fixed(&["mean", "variance"]) }
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let of = layer.variables();
        let (mean, variance) =
            self.statistics(x.rank(), |axis| x.size(axis), |name| to.read(&of, name))?;
        let deviation: Vec<f32> =
            variance.to_floats().iter().map(|variance| variance.sqrt().max(SMALLEST)).collect();
        let mean = to.constant(mean.constant("mean"));
        let deviation = Weight::floats(&variance.dims, &deviation);
        let deviation = to.constant(deviation.constant("deviation"));
        Ok(vec![if self.invert {
            let scaled = to.binary("Mul", &x, &deviation)?;
            to.binary("Add", &scaled, &mean)?
        } else {
            let centered = to.binary("Sub", &x, &mean)?;
            to.binary("Div", &centered, &deviation)?
        }])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let of = layer.variables();
        let size = |axis: usize| x.dims().get(axis).copied();
        let (mean, variance) =
            self.statistics(x.rank(), size, |name| with.read_weight(&of, name))?;
        let (mean, variance) = (mean.array()?, variance.array()?);
        let deviation = max(&map(&variance, f64::sqrt)?, &Array::scalar(SMALLEST))?;
        Ok(Sample::only(match self.invert {
            true => add(&mean, &mul(&x, &deviation)?)?,
            false => div(&sub(&x, &mean)?, &deviation)?,
        }))
    }
}

impl Operation for LayerScale {
    fn variables(&self, base: Variables) -> Variables {
        base.trained(&["gamma"])
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = to.float(call.input()?);
        let (gamma, _) = to.weight(&layer.variables(), "gamma")?;
        let name = to.op("Mul", &[&x.name, &gamma]);
        Ok(vec![to.like(&x, name)])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        Ok(Sample::only(mul(&x, &with.weight(&layer.variables(), "gamma")?)?))
    }
}
