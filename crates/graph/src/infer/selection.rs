//! Operators that take parts, put parts together or look elements up. No FLOPs.

use super::fact::{Answer, Fact, Op, Rule, axes, axis, pick, strides};
use crate::ElementType;

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "Concat" => concat,
        "Split" => split,
        "Slice" => slice,
        "Gather" => gather,
        "GatherElements" => gather_elements,
        "GatherND" => gather_nd,
        "TopK" => top_k,
        "CumSum" | "ReverseSequence" | "ScatterElements" | "ScatterND" | "Scatter" | "Trilu" => {
            |op| op.input(0).map(|input| Answer::one(input.with_dims(&input.dims)))
        }
        "OneHot" => one_hot,
        _ => return None,
    })
}

fn concat(op: &Op<'_>) -> Option<Answer> {
    let inputs: Vec<&Fact> = op.inputs.iter().copied().collect::<Option<_>>()?;
    let first = *inputs.first()?;
    let axis = op.axis("axis", 1, first.dims.len())?;
    let mut dims = first.dims.clone();
    dims[axis] = 0;
    for input in &inputs {
        let agrees = input.dims.len() == dims.len()
            && (0..dims.len()).all(|other| other == axis || input.dims[other] == dims[other]);
        if !agrees {
            return None;
        }
        dims[axis] = dims[axis].checked_add(input.dims[axis])?;
    }
    let values = if dims.len() == 1 {
        let parts: Option<Vec<&[f64]>> =
            inputs.iter().map(|input| input.values.as_deref()).collect();
        parts.map(|parts| parts.concat())
    } else {
        None
    };
    Some(Answer::one(first.with_dims(&dims).with_values(values)))
}

fn split(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let axis = op.axis("axis", 0, input.dims.len())?;
    let whole = input.dims[axis];
    let parts = match op.list("split", 1)? {
        Some(parts) => super::reshape::sizes(&parts)?,
        None => {
            let count = op.node.outputs.len();
            let each = whole.div_ceil(count.max(1));
            (0..count).map(|index| each.min(whole.saturating_sub(index * each))).collect()
        }
    };
    if parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part)) != Some(whole) {
        return None;
    }
    let mut start = 0;
    let facts = parts.iter().map(|&part| {
        let mut dims = input.dims.clone();
        dims[axis] = part;
        let values = match &input.values {
            Some(values) if dims.len() == 1 => values.get(start..start + part).map(<[f64]>::to_vec),
            _ => None,
        };
        start += part;
        input.with_dims(&dims).with_values(values)
    });
    Some(Answer::many(facts.collect()))
}

fn slice(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let starts = op.list("starts", 1)??;
    let ends = op.list("ends", 2)??;
    let rank = input.dims.len();
    let along = match op.list("axes", 3)? {
        Some(list) => axes(&list, rank)?,
        None => (0..starts.len()).collect(),
    };
    let steps = if op.has(4) { op.integers(4)? } else { vec![1; starts.len()] };
    if ends.len() != starts.len() || along.len() != starts.len() || steps.len() != starts.len() {
        return None;
    }
    let mut dims = input.dims.clone();
    let mut picked: Vec<Picked> =
        input.dims.iter().map(|&size| Picked { start: 0, step: 1, count: size }).collect();
    for (index, &axis) in along.iter().enumerate() {
        let mut size = *dims.get(axis)?;
        if goes_beyond(op, ends[index], size) {
            // As large as what it is cut to has to be, or nothing is known.
            size = op.is_trusting().then(|| usize::try_from(ends[index]).ok())??;
        }
        picked[axis] = Picked::new(size, starts[index], ends[index], steps[index])?;
        dims[axis] = picked[axis].count;
    }
    let values = input.values.as_ref().and_then(|values| {
        let strides = strides(&input.dims).into_iter();
        let axes: Option<Vec<_>> = strides
            .zip(&picked)
            .map(|(stride, picked)| Some((stride, picked.positions()?)))
            .collect();
        pick(values, &axes?)
    });
    Some(Answer::one(input.with_dims(&dims).with_values(values)))
}

/// Whether a slice ends beyond all elements only because sizes are made up: a table of positions is
/// cut to the length of a sentence, and the sentence is longer than any that the model takes.
fn goes_beyond(op: &Op<'_>, end: i64, size: usize) -> bool {
    const END: i64 = i32::MAX as i64;
    let is_computed = op.input(2).is_some_and(|ends| !ends.constant);
    let is_beyond = usize::try_from(end).is_ok_and(|end| end > size);
    op.trust.is_some() && is_computed && is_beyond && end < END
}

/// The positions that a slice picks along one axis.
struct Picked {
    start: i64,
    step: i64,
    count: usize,
}

impl Picked {
    fn new(size: usize, start: i64, end: i64, step: i64) -> Option<Picked> {
        let size = i64::try_from(size).ok()?;
        let from_back = |position: i64| {
            if position < 0 { position.saturating_add(size) } else { position }
        };
        let (start, end) = match step {
            0 => return None,
            1.. => (from_back(start).clamp(0, size), from_back(end).clamp(0, size)),
            _ => (from_back(start).clamp(0, size - 1), from_back(end).clamp(-1, size - 1)),
        };
        let distance = if step > 0 { end - start } else { start - end };
        let count = u64::try_from(distance).unwrap_or(0).div_ceil(step.unsigned_abs());
        Some(Picked { start, step, count: usize::try_from(count).ok()? })
    }

    fn positions(&self) -> Option<Vec<usize>> {
        (0..self.count as i64)
            .map(|index| {
                let position = self.start.checked_add(index.checked_mul(self.step)?)?;
                usize::try_from(position).ok()
            })
            .collect()
    }
}

fn gather(op: &Op<'_>) -> Option<Answer> {
    let (data, indices) = (op.input(0)?, op.input(1)?);
    let axis = op.axis("axis", 0, data.dims.len())?;
    let mut dims = data.dims[..axis].to_vec();
    dims.extend(&indices.dims);
    dims.extend(&data.dims[axis + 1..]);
    let values = match (&data.values, &indices.values) {
        (Some(values), Some(indices)) if data.dims.len() == 1 => indices
            .iter()
            .map(|&index| values.get(self::axis(index as i64, values.len())?).copied())
            .collect(),
        _ => None,
    };
    Some(Answer::one(data.with_dims(&dims).with_values(values)))
}

fn gather_elements(op: &Op<'_>) -> Option<Answer> {
    Some(Answer::one(op.input(0)?.with_dims(op.dims(1)?)))
}

fn gather_nd(op: &Op<'_>) -> Option<Answer> {
    let data = op.input(0)?;
    let (&depth, outer) = op.dims(1)?.split_last()?;
    let batch = usize::try_from(op.int("batch_dims", 0)).ok()?;
    let mut dims = outer.to_vec();
    dims.extend(data.dims.get(batch.checked_add(depth)?..)?);
    Some(Answer::one(data.with_dims(&dims)))
}

fn top_k(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let axis = op.axis("axis", -1, input.dims.len())?;
    let count = match op.node.int("k") {
        Some(count) => count,
        None => *op.integers(1)?.first()?,
    };
    let mut dims = input.dims.clone();
    dims[axis] = usize::try_from(count).ok()?;
    Some(Answer::many(vec![input.with_dims(&dims), Fact::new(ElementType::Int64, &dims)]))
}

fn one_hot(op: &Op<'_>) -> Option<Answer> {
    let indices = op.dims(0)?;
    let depth = usize::try_from(*op.integers(1)?.first()?).ok()?;
    let at = op.axis("axis", -1, indices.len() + 1)?;
    let mut dims = indices.to_vec();
    dims.insert(at, depth);
    Some(Answer::one(op.input(2)?.with_dims(&dims)))
}
