//! `Embedding`: rows of a table.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::argument::Arguments;
use crate::keras::config::Config;
use crate::keras::converter::Converter;
use crate::keras::evaluator::{Evaluator, Sample};
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Masks, Operation};
use crate::keras::layers::quantized::{NOTE, Quantized, RELATIVE, dequantized};
use crate::keras::reader::Context;
use crate::keras::value::Value;
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::reference::elementwise::{Comparison, cast, compare};
use crate::reference::{Array, index};

/// A table whose rows stand for integers.
#[derive(Debug)]
struct Embedding {
    mask_zero: bool,
    quantized: Quantized,
}

/// Reads one.
pub(crate) fn read(
    _: &str,
    config: &Config,
    context: &mut Context<'_>,
) -> Result<Box<dyn Operation>, Fault> {
    let mask_zero = config.flag(&["mask_zero"], false)?;
    Ok(Box::new(Embedding { mask_zero, quantized: Quantized::read(context)? }))
}

impl Embedding {
    fn table(&self, read: impl Fn(&'static str) -> Result<Weight, Fault>) -> Result<Weight, Fault> {
        let table = read("embeddings")?;
        table.of_rank(2)?;
        match self.quantized {
            Quantized::No => Ok(table),
            Quantized::Int8 => dequantized(&table, &read("embeddings_scale")?.to_floats(), true),
        }
    }
}

impl Operation for Embedding {
    fn variables(&self, base: Variables) -> Variables {
        let base = base.trained(&["embeddings"]);
        if self.quantized == Quantized::No { base } else { base.fixed(&["embeddings_scale"]) }
    }

    fn masks(&self) -> Masks {
        Masks::Own
    }

    fn convert(
        &self,
        layer: &Layer,
        call: &Arguments<Value>,
        to: &mut Converter<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let tokens = to.cast(call.input()?, ElementType::Int32);
        let of = layer.variables();
        if self.quantized != Quantized::No {
            to.approximate(RELATIVE, NOTE);
        }
        let (table, dims) =
            to.derived_weight(&of, "embeddings", |to| self.table(|name| to.read(&of, name)))?;
        let name = to.add(node("Gather", &[&table, &tokens.name]).with("axis", 0));
        let mut out = tokens.dims.clone();
        out.push(Dim::Fixed(dims[1]));
        let mut rows = to.value(name, out, ElementType::Float32);
        if self.mask_zero {
            let zero = to.emitter.constant(super::int32("zero", 0));
            let is_zero = to.op("Equal", &[&tokens.name, &zero]);
            rows.mask = Some(to.op("Not", &[&is_zero]));
        }
        Ok(vec![rows])
    }

    fn evaluate(
        &self,
        layer: &Layer,
        call: &Arguments<Sample>,
        with: &Evaluator<'_>,
    ) -> Result<Vec<Sample>, EvaluateError> {
        let tokens = cast(&call.input()?.array, ElementType::Int64)?;
        let of = layer.variables();
        let table = self.table(|name| with.read_weight(&of, name))?.array()?;
        let mut rows = Sample::new(index::gather(&table, &tokens, 0)?);
        if self.mask_zero {
            let zero = Array::ints(&[], vec![0])?;
            rows.mask = Some(compare(&tokens, &zero, Comparison::NotEqual)?);
        }
        Ok(vec![rows])
    }
}
