//! The sizes that `--dim` and `--shape` give, as far as the model leaves them open.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use modelyard_graph::{Model, Sizes};
use modelyard_tensor::{Dim, Shape};

/// The sizes for an estimate. One that the model does not have, or has already, is refused.
pub(super) fn check(
    symbols: &[(String, usize)],
    shapes: &[(String, Shape)],
    model: &Model,
) -> anyhow::Result<Sizes> {
    let inputs: Vec<(&str, Option<&[Dim]>)> = inputs(model).collect();
    let known: BTreeSet<&str> = inputs
        .iter()
        .flat_map(|(_, dims)| dims.iter().copied().flatten())
        .filter_map(|dim| match dim {
            Dim::Symbol(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    for (name, _) in symbols {
        if !known.contains(name.as_str()) {
            bail!("--dim {name}: no input has such a dimension, {}", expected(&known));
        }
    }
    for (name, shape) in shapes {
        let names = || expected(&inputs.iter().map(|(name, _)| *name).collect());
        let (_, dims) = inputs
            .iter()
            .find(|(input, _)| input == name)
            .with_context(|| format!("--shape {name}: there is no such input, {}", names()))?;
        if let Some(dims) = dims
            && !fits(shape, dims)
        {
            let dims = dims.iter().map(text).collect::<Vec<_>>().join(",");
            bail!("--shape {name}: expected [{dims}], found {:?}", shape.dims());
        }
    }
    let inputs = shapes.iter().map(|(name, shape)| (name.clone(), shape.dims().to_vec()));
    Ok(Sizes { symbols: symbols.iter().cloned().collect(), inputs: inputs.collect() })
}

/// The inputs that are tensors, with their dimensions where the rank is known.
fn inputs(model: &Model) -> impl Iterator<Item = (&str, Option<&[Dim]>)> {
    model.graph.inputs.iter().filter_map(|input| {
        let (_, dims) = input.value_type.as_tensor()?;
        Some((input.name.as_str(), dims))
    })
}

fn expected(names: &BTreeSet<&str>) -> String {
    match names.is_empty() {
        true => "there are none".into(),
        false => format!("expected {}", names.iter().copied().collect::<Vec<_>>().join(" or ")),
    }
}

fn fits(shape: &Shape, dims: &[Dim]) -> bool {
    let fit = |(size, dim): (&usize, &Dim)| !matches!(dim, Dim::Fixed(fixed) if fixed != size);
    shape.len() == dims.len() && shape.iter().zip(dims).all(fit)
}

fn text(dim: &Dim) -> String {
    match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Symbol(name) => name.clone(),
        Dim::Free => "?".into(),
    }
}
