//! `LayerNormalization` and `RMSNormalization`.

use modelyard_tensor::Dim;

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
use crate::reference::Array;
use crate::reference::elementwise::{add, map, mul, sub};
use crate::reference::reduce::{Over, mean, sum_of_squares, variance};

/// Each sample by its own mean and variance over some axes.
#[derive(Debug)]
struct LayerNorm {
    axes: Vec<i64>,
    epsilon: f32,
    kind: Kind,
    scale: Option<&'static str>,
    center: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Mean and variance.
    Full,
    /// The variance alone: `rms_scaling` of older versions of Keras 3.
    Variance,
    /// The mean of squares.
    Squares,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    _: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let is_rms = class.starts_with("RMS");
    let by_variance = config.flag(&["rms_scaling"], false)?;
    let kind = match (is_rms, by_variance) {
        (true, _) => Kind::Squares,
        (_, true) => Kind::Variance,
        _ => Kind::Full,
    };
    let scale = match kind {
        Kind::Squares => Some("scale"),
        Kind::Variance => Some("gamma"),
        Kind::Full => config.flag(&["scale"], true)?.then_some("gamma"),
    };
    let default = if is_rms { 1e-6 } else { 1e-3 };
    Ok(Box::new(LayerNorm {
        axes: config.integers(&["axis"])?.unwrap_or_else(|| vec![-1]),
        epsilon: config.number_or(&["epsilon"], default)? as f32,
        kind,
        scale,
        center: kind == Kind::Full && config.flag(&["center"], true)?,
    }))
}

impl LayerNorm {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, Fault> {
        let axes: Option<Vec<usize>> = self.axes.iter().map(|&axis| axis_of(axis, rank)).collect();
        let mut axes = axes.filter(|axes| !axes.is_empty()).ok_or_else(|| {
            let axes = &self.axes;
            Fault::malformed(format!("expected axes of {rank} dimensions, found {axes:?}"))
        })?;
        axes.sort_unstable();
        axes.dedup();
        Ok(axes)
    }

    /// A weight over these axes as one that broadcasts to the value.
    fn spread(weight: Weight, axes: &[usize], rank: usize) -> Result<Weight, Fault> {
        weight.of_rank(axes.len())?;
        let mut dims = vec![1; rank - axes[0]];
        axes.iter().zip(&weight.dims).for_each(|(&axis, &size)| dims[axis - axes[0]] = size);
        weight.reshaped(&dims)
    }

    fn written(
        &self,
        layer: &Layer,
        name: &'static str,
        (axes, rank): (&[usize], usize),
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let of = layer.variables();
        let (name, dims) = to.weight_as(&of, name, |weight| Self::spread(weight, axes, rank))?;
        let dims = dims.into_iter().map(Dim::Fixed).collect();
        Ok(to.value(name, dims, modelyard_graph::ElementType::Float32))
    }

    /// The nodes, one by one.
    fn decomposed(
        &self,
        x: &Value,
        axes: &[usize],
        to: &mut Converter<'_>,
    ) -> Result<Value, Fault> {
        let (base, square) = match self.kind {
            Kind::Squares => {
                let squared = to.binary("Mul", x, x)?;
                (x.clone(), to.reduce("ReduceMean", &squared, axes, true))
            }
            Kind::Full | Kind::Variance => {
                let mean = to.reduce("ReduceMean", x, axes, true);
                let centered = to.binary("Sub", x, &mean)?;
                let squared = to.binary("Mul", &centered, &centered)?;
                let variance = to.reduce("ReduceMean", &squared, axes, true);
                (if self.kind == Kind::Full { centered } else { x.clone() }, variance)
            }
        };
        let sum = to.with_scalar("Add", &square, self.epsilon);
        let root = to.unary("Sqrt", &sum);
        to.binary("Div", &base, &root)
    }
}

impl Operation for LayerNorm {
    fn variables(&self, base: Variables) -> Variables {
        let base = if let Some(name) = self.scale { base.trained(&[name]) } else { base };
        if self.center { base.trained(&["beta"]) } else { base }
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
        let axes = self.axes(x.rank())?;
        let is_last = axes.iter().copied().eq(x.rank() - axes.len()..x.rank());
        let place = (&axes[..], x.rank());
        if let (Kind::Full, true, Some(scale)) = (self.kind, is_last, self.scale) {
            let mut inputs = vec![x.name.clone(), self.written(layer, scale, place, to)?.name];
            if self.center {
                inputs.push(self.written(layer, "beta", place, to)?.name);
            }
            let norm = node("LayerNormalization", &inputs);
            let norm = norm.with("axis", axes[0] as i64).with("epsilon", self.epsilon);
            let name = to.add(norm);
            return Ok(vec![to.like(&x, name)]);
        }
        let mut y = self.decomposed(&x, &axes, to)?;
        if let Some(scale) = self.scale {
            let scale = self.written(layer, scale, place, to)?;
            y = to.binary("Mul", &y, &scale)?;
        }
        if self.center {
            let beta = self.written(layer, "beta", place, to)?;
            y = to.binary("Add", &y, &beta)?;
        }
        Ok(vec![y])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = super::floats(&call.input()?.array)?;
        let axes = self.axes(x.rank())?;
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let over = Over::kept(&list);
        let square = match self.kind {
            Kind::Squares => {
                let count: usize = axes.iter().map(|&axis| x.dims()[axis]).product();
                map(&sum_of_squares(&x, over)?, |sum| sum / count as f64)?
            }
            Kind::Full | Kind::Variance => variance(&x, 0.0, over)?,
        };
        let factor = map(&square, |square| (square + f64::from(self.epsilon)).sqrt().recip())?;
        let base = if self.kind == Kind::Full { sub(&x, &mean(&x, over)?)? } else { x.clone() };
        let mut y = mul(&base, &factor)?;
        let of = layer.variables();
        let spread = |name: &str| -> Result<Array, EvaluateError> {
            Self::spread(with.read(&of, name)?, &axes, x.rank())?.array()
        };
        if let Some(scale) = self.scale {
            y = mul(&y, &spread(scale)?)?;
        }
        if self.center {
            y = add(&y, &spread("beta")?)?;
        }
        Ok(Sample::only(y))
    }
}
