//! `BatchNormalization`, with the statistics that training found.

use crate::EvaluateError;
use crate::emitter::node;
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
use crate::reference::normalize::{Affine, Statistics, batch_norm};

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta`, for each element of an axis.
#[derive(Debug)]
struct BatchNorm {
    axis: i64,
    epsilon: f32,
    scale: bool,
    center: bool,
}

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let axis = match config.integers(&["axis"])?.as_deref() {
        None => -1,
        Some([axis]) => *axis,
        Some(_) => {
            return Err(Fault::unsupported(
                "normalization of several axes at once",
                "reshape them into one axis before",
            ));
        }
    };
    // Keras 1 could normalize by the statistics of the batch itself.
    if context.reader.major <= 1 && config.integer(&["mode"])?.is_some_and(|mode| mode == 1) {
        return Err(Fault::unsupported("mode 1", "use LayerNormalization"));
    }
    let default = if context.reader.major <= 1 { 1e-6 } else { 1e-3 };
    Ok(Box::new(BatchNorm {
        axis,
        epsilon: config.number_or(&["epsilon"], default)? as f32,
        scale: config.flag(&["scale"], true)?,
        center: config.flag(&["center"], true)?,
    }))
}

impl Operation for BatchNorm {
    fn variables(&self, base: Variables) -> Variables {
        let base = if self.scale { base.trained(&["gamma"]) } else { base };
        let base = if self.center { base.trained(&["beta"]) } else { base };
        base.fixed(&["moving_mean", "moving_variance"])
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
        let axis = axis_of(self.axis, x.rank()).filter(|&axis| axis > 0).ok_or_else(|| {
            let (axis, rank) = (self.axis, x.rank());
            Fault::malformed(format!("expected an axis of {rank} dimensions, found {axis}"))
        })?;
        let of = layer.variables();
        let (mean, dims) = to.weight(&of, "moving_mean")?;
        let (variance, _) = to.weight(&of, "moving_variance")?;
        let all = |value: f32| Ok(Weight::floats(&dims, &vec![value; dims.iter().product()]));
        let gamma = match self.scale {
            true => to.weight(&of, "gamma")?.0,
            false => to.derived_weight(&of, "gamma", |_| all(1.0))?.0,
        };
        let beta = match self.center {
            true => to.weight(&of, "beta")?.0,
            false => to.derived_weight(&of, "beta", |_| all(0.0))?.0,
        };
        // ONNX wants the axis second.
        let mut order: Vec<usize> = (0..x.rank()).filter(|&other| other != axis).collect();
        order.insert(1, axis);
        let moved = to.transpose(&x, &order);
        let inputs = [&moved.name, &gamma, &beta, &mean, &variance];
        let name = to.add(node("BatchNormalization", &inputs).with("epsilon", self.epsilon));
        let y = to.like(&moved, name);
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
        Ok(vec![to.transpose(&y, &back)])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let of = layer.variables();
        let mean = with.weight(&of, "moving_mean")?;
        let variance = with.weight(&of, "moving_variance")?;
        let scale = if self.scale { Some(with.weight(&of, "gamma")?) } else { None };
        let bias = if self.center { Some(with.weight(&of, "beta")?) } else { None };
        let statistics =
            Statistics { mean: &mean, variance: &variance, epsilon: self.epsilon.into() };
        let affine = Affine { scale: scale.as_ref(), bias: bias.as_ref() };
        Ok(Sample::only(batch_norm(&x, self.axis, statistics, affine)?))
    }
}
