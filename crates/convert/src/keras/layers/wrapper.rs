//! `TimeDistributed`, `SpectralNormalization` and `Wrapper`: a layer inside a layer.

use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::keras::argument::{Argument, Arguments};
use crate::keras::config::Config;
use crate::keras::converter::{Converter, Size};
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::reader::Context;
use crate::keras::value::{Value, fixed};
use crate::keras::variables::Variables;

/// A layer for each step of a sequence.
#[derive(Debug)]
struct TimeDistributed(Layer);

/// The layer inside, as it is.
#[derive(Debug)]
struct Plain {
    layer: Layer,
    /// Whether a vector is kept beside it, which only training needs.
    spectral: bool,
}

/// Reads one.
pub(crate) fn read(
    class: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let layer = context.inner(config.get(&["layer"]), "layer")?;
    Ok(match class {
        "TimeDistributed" => Box::new(TimeDistributed(layer)),
        _ => Box::new(Plain { layer, spectral: class == "SpectralNormalization" }),
    })
}

impl Operation for Plain {
    fn variables(&self, base: Variables) -> Variables {
        let base = base.with(self.layer.variables());
        // In an archive the layer's kernel comes first among its own weights.
        if self.spectral { base.fixed(&["vector_u"]) } else { base }
    }

    fn masks(&self) -> Masks {
        Masks::Own
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        self.layer.convert(call, to)
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        self.layer.evaluate(call, with)
    }
}

/// The same call with another first argument.
fn with_first<V: Clone>(call: &Arguments<V>, first: V) -> Arguments<V> {
    let mut named = call.named.clone();
    // The mask of the sequence is none of its steps.
    named.retain(|(name, _)| name != "mask");
    Arguments { positional: vec![Argument::Value(first)], named }
}

impl Operation for TimeDistributed {
    fn variables(&self, base: Variables) -> Variables {
        base.with(self.0.variables())
    }

    fn masks(&self) -> Masks {
        Masks::Pass
    }

    fn convert(
        &self,
        _: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let x = Value { mask: None, ..call.input()?.clone() };
        if x.rank() < 3 {
            let found = x.rank();
            return Err(Fault::malformed(format!("expected a sequence, found {found} dimensions")));
        }
        // All steps of all samples are one batch.
        let sizes: Vec<Size> =
            std::iter::once(Size::Product(0, 1)).chain((2..x.rank()).map(Size::Axis)).collect();
        let steps = to.reshape(&x, &sizes);
        let outputs = self.0.convert(&with_first(call, steps), to)?;
        let (batch, count) = (x.dims[0].clone(), x.dims[1].clone());
        let mut back = Vec::with_capacity(outputs.len());
        for output in outputs {
            back.push(unfolded(&output, (&x, &batch, &count), to)?);
        }
        Ok(back)
    }

    fn evaluate(
        &self,
        _: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let x = &call.input()?.array;
        let (&[batch, count], rest) = x.dims().split_first_chunk().ok_or_else(|| {
            EvaluateError::new("expected a sequence of at least three dimensions")
        })?;
        let mut dims = vec![batch.saturating_mul(count)];
        dims.extend_from_slice(rest);
        let steps = Sample::new(x.clone().reshaped(&dims)?);
        let outputs = self.0.evaluate(&with_first(call, steps), with)?;
        let back = outputs.into_iter().map(|output| {
            let mut dims = vec![batch, count];
            dims.extend_from_slice(output.array.dims().get(1..).unwrap_or_default());
            Ok(Sample::new(output.array.reshaped(&dims)?))
        });
        back.collect()
    }
}

/// From one batch of all steps back to sequences.
fn unfolded(
    y: &Value,
    (x, batch, count): (&Value, &Dim, &Dim),
    to: &mut Converter<'_>,
) -> Result<Value, Fault> {
    let inner: Option<Vec<usize>> = y.dims.iter().skip(1).map(fixed).collect();
    let mut dims = vec![batch.clone(), count.clone()];
    dims.extend(y.dims.iter().skip(1).cloned());
    let shape = match (fixed(count), &inner) {
        (Some(count), Some(inner)) => {
            let mut shape = vec![-1, count as i64];
            shape.extend(inner.iter().map(|&size| size as i64));
            to.emitter.integers("shape", &shape)
        }
        _ => {
            let mut parts = vec![to.size_of(x, 0), to.size_of(x, 1)];
            for axis in 1..y.rank() {
                parts.push(to.size_of(y, axis));
            }
            to.add(crate::emitter::node("Concat", &parts).with("axis", 0))
        }
    };
    let name = to.op("Reshape", &[&y.name, &shape]);
    Ok(to.value(name, dims, y.element_type))
}
