//! `Slice`: so many elements from a beginning, for each axis; -1 is all that are left.

use modelyard_graph::ElementType;
use modelyard_tensor::Dim;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::reference::shape;
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, Val, fixed};

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (value, begin, size) = (call.input(0)?, call.input(1)?, call.input(2)?);
    let x = context.name(value)?;
    let known = (context.integers(begin, "").ok(), context.integers(size, "").ok());
    let dims = dims(value, &known);
    let (starts, ends) = match &known {
        (Some(starts), Some(sizes)) => {
            let end = |(&start, &size): (&i64, &i64)| {
                if size < 0 { i64::MAX } else { start.saturating_add(size) }
            };
            let ends: Vec<i64> = starts.iter().zip(sizes).map(end).collect();
            (context.emitter.integers("starts", starts), context.emitter.integers("ends", &ends))
        }
        _ => computed(context, begin, size)?,
    };
    let rank = begin.size(0).or_else(|| size.size(0));
    let rank = rank.ok_or_else(|| Refusal::new("a slice of unknown rank", "give it a rank"))?;
    let axes: Vec<i64> = (0..rank as i64).collect();
    let axes = context.emitter.integers("axes", &axes);
    let found = context.add("Slice", &[x, starts, ends, axes]);
    Ok(vec![context.value(found, value.element_type, dims)])
}

/// Where a slice starts and ends, where that differs from run to run.
fn computed(
    context: &mut Context<'_>,
    begin: &Val,
    size: &Val,
) -> Result<(String, String), Refusal> {
    let starts = context.shape(begin)?;
    let sizes = context.shape(size)?;
    let ends = context.add("Add", &[&starts, &sizes]);
    let zero = context.scalar("zero", 0.0, ElementType::Int64)?;
    let most = context.emitter.integer("all", i64::MAX);
    let is_rest = context.add("Less", &[&sizes, &zero]);
    let ends = context.add("Where", &[is_rest, most, ends]);
    Ok((starts, ends))
}

type Lists = (Option<Vec<i64>>, Option<Vec<i64>>);

fn dims(value: &Val, (starts, sizes): &Lists) -> Option<Vec<Dim>> {
    let own = value.dims.as_ref()?;
    let dim = |(axis, dim): (usize, &Dim)| {
        let start = starts.as_ref().and_then(|starts| starts.get(axis)).copied();
        let size = sizes.as_ref().and_then(|sizes| sizes.get(axis)).copied();
        match (start, size, fixed(dim)) {
            (_, Some(size @ 0..), _) => Dim::Fixed(size as usize),
            (Some(0), Some(_), _) => dim.clone(),
            (Some(start), Some(_), Some(whole)) => usize::try_from(start)
                .ok()
                .and_then(|start| whole.checked_sub(start))
                .map_or(Dim::Free, Dim::Fixed),
            _ => Dim::Free,
        }
    };
    Some(own.iter().enumerate().map(dim).collect())
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let mut x = given.input(0)?.clone();
    let (begin, size) = (given.integers(1)?, given.integers(2)?);
    if begin.len() != x.rank() || size.len() != x.rank() {
        return Err(EvaluateError::new("the slice has another rank than what it is of"));
    }
    for (axis, (&start, &size)) in begin.iter().zip(&size).enumerate() {
        let start = usize::try_from(start).map_err(|_| EvaluateError::new("a slice before 0"))?;
        let left = x.dims()[axis].saturating_sub(start);
        let len = usize::try_from(size).unwrap_or(left);
        x = shape::narrow(&x, axis as i64, start, len)?;
    }
    Ok(vec![x])
}
