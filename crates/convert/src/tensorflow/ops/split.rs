//! `Split` into equal parts, and `SplitV` into parts of given sizes, one of which may be -1: the
//! rest.

use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{layout, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

const WAY_OUT: &str = "give the axis a fixed size";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let is_even = call.node.op == "Split";
    let (value, axis) = match is_even {
        true => (call.input(1)?, call.input(0)?),
        false => (call.input(0)?, call.input(2)?),
    };
    let at = dims::axis(context.integer(axis, "an axis")?, value.rank()?)?;
    let whole = value.size(at);
    let sizes = match is_even {
        true => {
            let count = usize::try_from(call.node.attrs.int("num_split", 1)).unwrap_or(0);
            let is_many = count > context.model.limits.nodes;
            let whole = whole.filter(|whole| count > 0 && !is_many && whole % count == 0);
            match (whole, count) {
                (_, 1) => return Ok(vec![value.clone()]),
                (Some(whole), _) => vec![whole / count; count],
                _ => return Err(Refusal::new("splitting an axis of unknown size", WAY_OUT)),
            }
        }
        false => {
            let sizes = context.integers(call.input(1)?, "sizes of parts")?;
            completed(&sizes, whole)
                .ok_or_else(|| Refusal::new("splitting an axis of unknown size", WAY_OUT))?
        }
    };
    let x = context.name(value)?;
    let list: Vec<i64> = sizes.iter().map(|&size| size as i64).collect();
    let list = context.emitter.integers("sizes", &list);
    let split = node("Split", &[x, list]).with("axis", at as i64);
    let names = context.emitter.add_many(split, sizes.len());
    let outputs = names.into_iter().zip(&sizes).map(|(name, &size)| {
        let dims = value.dims.as_ref().map(|own| {
            let mut dims = own.clone();
            dims[at] = Dim::Fixed(size);
            dims
        });
        context.value(name, value.element_type, dims)
    });
    Ok(outputs.collect())
}

/// The sizes with -1 replaced by what is left; `None` where nobody knows.
fn completed(sizes: &[i64], whole: Option<usize>) -> Option<Vec<usize>> {
    let known = sizes.iter().filter_map(|&size| usize::try_from(size).ok());
    let known = known.fold(0usize, usize::saturating_add);
    let size = |&size: &i64| match usize::try_from(size) {
        Ok(size) => Some(size),
        Err(_) => whole?.checked_sub(known),
    };
    sizes.iter().map(size).collect()
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let is_even = given.node.op == "Split";
    let (x, axis) = match is_even {
        true => (given.input(1)?, given.integer(0)?),
        false => (given.input(0)?, given.integer(2)?),
    };
    let whole = x.dims()[layout::axis(axis, x.rank())?];
    let sizes = match is_even {
        true => {
            let count = usize::try_from(given.attrs().int("num_split", 1)).unwrap_or(0);
            if count == 0 || whole % count != 0 || count > whole.max(1) {
                let message = format!("{whole} elements have no {count} equal parts");
                return Err(EvaluateError::new(message));
            }
            vec![whole / count; count]
        }
        false => completed(&given.integers(1)?, Some(whole))
            .ok_or_else(|| EvaluateError::new("the parts are more than the whole"))?,
    };
    shape::split(x, axis, &sizes)
}
