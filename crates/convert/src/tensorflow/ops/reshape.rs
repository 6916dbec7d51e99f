//! `Reshape`.

use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Value, fixed};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (value, shape) = (call.input(0)?, call.input(1)?);
    let x = context.name(value)?;
    let known = context.integers(shape, "a shape").ok();
    let (found, dims) = match wanted(known, shape, value) {
        Some((sizes, dims)) => (context.reshape_or_copy(&x, &sizes), Some(dims)),
        None => {
            let sizes = context.shape(shape)?;
            let rank = shape.size(0);
            let dims = shape.sizes.clone().or_else(|| Some(vec![Dim::Free; rank?]));
            (context.add("Reshape", &[x, sizes]), dims)
        }
    };
    Ok(vec![context.value(found, value.element_type, dims)])
}

/// What a new axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tensorflow) enum Size {
    Is(usize),
    /// That of the same axis of the input.
    Same,
    /// What is left.
    Rest,
}

/// The new axes and their dimensions, where at most one of them depends on the rest.
fn wanted(known: Option<Vec<i64>>, shape: &Value, value: &Value) -> Option<(Vec<Size>, Vec<Dim>)> {
    let asked: Vec<Dim> = match known {
        Some(sizes) => {
            let dim = |size: i64| usize::try_from(size).map_or(Dim::Free, Dim::Fixed);
            sizes.into_iter().map(dim).collect()
        }
        None => shape.sizes.clone()?,
    };
    let own = value.dims.as_deref();
    let has_zero = asked.contains(&Dim::Fixed(0));
    let mut sizes = Vec::with_capacity(asked.len());
    for (axis, dim) in asked.iter().enumerate() {
        let same = matches!(dim, Dim::Symbol(_)) && own.and_then(|own| own.get(axis)) == Some(dim);
        sizes.push(match dim {
            Dim::Fixed(size) => Size::Is(*size),
            _ if same && !has_zero => Size::Same,
            _ => Size::Rest,
        });
    }
    // A single free axis follows from the others.
    let rests = |sizes: &[Size]| sizes.iter().filter(|&&size| size == Size::Rest).count();
    if rests(&sizes) == 0 && sizes.contains(&Size::Same) {
        let first = sizes.iter().position(|&size| size == Size::Same)?;
        sizes[first] = Size::Rest;
    }
    if rests(&sizes) > 1 {
        return None;
    }
    Some((sizes, completed(asked, own)))
}

/// The dimensions with what is left filled in, where it can be computed.
fn completed(asked: Vec<Dim>, own: Option<&[Dim]>) -> Vec<Dim> {
    let Some(own) = own else { return asked };
    let free = |dims: &[Dim]| dims.iter().filter(|dim| fixed(dim).is_none()).cloned().collect();
    let product = |dims: &[Dim]| dims.iter().filter_map(fixed).try_fold(1usize, usize::checked_mul);
    let (given, open): (Vec<Dim>, Vec<Dim>) = (free(own), free(&asked));
    let [rest] = open.as_slice() else { return asked };
    let (Some(from), Some(to)) = (product(own), product(&asked)) else { return asked };
    let found = match given.as_slice() {
        [] if to > 0 && from % to == 0 => Dim::Fixed(from / to),
        [only] if from == to && from > 0 => only.clone(),
        _ => rest.clone(),
    };
    asked.into_iter().map(|dim| if fixed(&dim).is_none() { found.clone() } else { dim }).collect()
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (x, sizes) = (given.input(0)?, given.integers(1)?);
    let known: usize = sizes
        .iter()
        .filter(|&&size| size >= 0)
        .try_fold(1usize, |product, &size| product.checked_mul(size as usize))
        .ok_or_else(|| EvaluateError::new("the shape is too large"))?;
    let rest = x.len().checked_div(known).unwrap_or(0);
    let dims: Vec<usize> =
        sizes.iter().map(|&size| usize::try_from(size).unwrap_or(rest)).collect();
    Ok(vec![x.clone().reshaped(&dims)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_computed() {
        let batch = || Dim::Symbol("batch".into());
        let fixed = Dim::Fixed;
        let own = [batch(), fixed(4), fixed(6)];
        let found = completed(vec![Dim::Free, fixed(24)], Some(&own));
        assert_eq!(found, [batch(), fixed(24)]);
        let found = completed(vec![Dim::Free, fixed(8)], Some(&own));
        assert_eq!(found, [Dim::Free, fixed(8)]);
        let found = completed(vec![fixed(2), Dim::Free], Some(&[fixed(4), fixed(6)]));
        assert_eq!(found, [fixed(2), fixed(12)]);
    }
}
