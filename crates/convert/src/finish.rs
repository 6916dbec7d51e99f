//! What is done alike with every converted model: cleaned, written in the version of the operators
//! that was asked for, its weights stored as wanted, its types stated.

use std::collections::BTreeMap;

use modelyard_graph::{Model, batch, inline, opset, rewrite, take_branches, weights};
use modelyard_tensor::Dim;

use crate::{Conversion, ConvertError, Options, WeightType};

/// Finishes a conversion. The model that comes out is verified.
pub(crate) fn finish(
    mut conversion: Conversion,
    options: &Options,
) -> Result<Conversion, ConvertError> {
    let mut model = conversion.model;
    if options.inline {
        model = inline(model)?;
    }
    check_shapes(&model, &options.shapes)?;
    let passes = rewrite::Options {
        fold_batch_norm: options.fold_batch_norm,
        ..rewrite::Options::default()
    };
    model = clean(model, &passes);
    if let Some(version) = version(&model, options)? {
        model = opset::convert(model, version)?;
        // What was written anew may be folded.
        model = clean(model, &passes);
    }
    if options.free_batch {
        model = free_batch(model, &mut conversion.notes);
    }
    let stored = match options.weights {
        WeightType::AsIs => None,
        WeightType::Fp16 => Some((weights::narrow(&mut model, weights::Narrow::Fp16), FP16)),
        WeightType::Bf16 => Some((weights::narrow(&mut model, weights::Narrow::Bf16), BF16)),
        WeightType::Fp32 => Some((weights::widen(&mut model), 0.0)),
    };
    if let Some((changed, error)) = stored {
        conversion.tolerance.relative = conversion.tolerance.relative.max(error);
        conversion.notes.push(format!("{changed} weights are stored in another type"));
    }
    if options.infer_shapes {
        model.state_types();
    }
    conversion.model = model.check()?;
    Ok(conversion)
}

/// The first version of the operators in which `Cast` knows bf16.
const BF16_SINCE: i64 = 13;

/// The version of the operators to write, where it is another one: that which is asked for, or
/// that which weights need.
fn version(model: &Model, options: &Options) -> Result<Option<i64>, ConvertError> {
    let found = options.opset.or_else(|| model.opset(""));
    let is_old = found.is_some_and(|version| version < BF16_SINCE);
    if options.weights != WeightType::Bf16 || !is_old {
        return Ok(options.opset);
    }
    match options.opset {
        None => Ok(Some(BF16_SINCE)),
        Some(asked) => Err(ConvertError::Option(format!(
            "expected opset {BF16_SINCE} or later for weights in bf16, found {asked}; store them in \
             fp16, or write a later opset"
        ))),
    }
}

/// Whether inputs have the shapes that were asked for: not every source can give them any.
fn check_shapes(model: &Model, asked: &BTreeMap<String, Vec<Dim>>) -> Result<(), ConvertError> {
    for (name, wanted) in asked {
        let Some(input) = model.graph.inputs.iter().find(|input| input.name == *name) else {
            let names: Vec<String> =
                model.graph.inputs.iter().map(|input| format!("'{}'", input.name)).collect();
            return Err(ConvertError::Option(format!(
                "a shape was given for input '{name}', but the model has {}",
                names.join(", ")
            )));
        };
        let Some((_, Some(dims))) = input.value_type.as_tensor() else { continue };
        let differs = |(one, two): (&Dim, &Dim)| match (one, two) {
            (Dim::Fixed(one), Dim::Fixed(two)) => one != two,
            _ => false,
        };
        if dims.len() != wanted.len() || dims.iter().zip(wanted).any(differs) {
            return Err(ConvertError::Option(format!(
                "shape {} was given for input '{name}', but the model takes {}",
                listed(wanted),
                listed(dims)
            )));
        }
    }
    Ok(())
}

fn listed(dims: &[Dim]) -> String {
    let dims: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(","))
}

/// Cleans until no branch of the graph turns out to be always taken.
fn clean(mut model: Model, passes: &rewrite::Options) -> Model {
    loop {
        model = rewrite::clean(model, passes);
        if !take_branches(&mut model) {
            return model;
        }
    }
}

/// How far answers may be off when weights lose bits: rounding errors of a deep network add up.
const FP16: f64 = 3e-2;
const BF16: f64 = 0.25;

/// A model whose batch is of any size, if that is sound; else as it was, with a note why.
fn free_batch(model: Model, notes: &mut Vec<String>) -> Model {
    match batch::free(&model, "batch") {
        Ok(Some(freed)) => {
            notes.push("the batch, which was of 1 example, may have any size".into());
            freed
        }
        Ok(None) => model,
        Err(error) => {
            notes.push(format!("the batch stays at 1 example: {error}"));
            model
        }
    }
}
