//! An axis cut into pieces.

use super::slice::{bounds, no_axis, selected, strided};
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, TO_THE_END, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value};
use crate::pytorch::graph::Size;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.split.Tensor", "self split_size dim", convert_split, evaluate_split),
    operator("aten.split.sizes", "self split_size dim", convert_split, evaluate_split),
    operator(
        "aten.split_with_sizes.default",
        "self split_sizes dim",
        convert_split,
        evaluate_split,
    ),
    operator("aten.chunk.default", "self chunks dim", convert_split, evaluate_split),
    operator("aten.tensor_split.sections", "self sections dim", convert_split, evaluate_split),
    operator("aten.tensor_split.indices", "self indices dim", convert_split, evaluate_split),
    operator("aten.unbind.int", "self dim", convert_unbind, evaluate_unbind),
];

/// More pieces than any model has.
const MOST_PIECES: usize = 1 << 16;

/// How an axis is cut.
enum Cut {
    /// Pieces of this size; the last one may be smaller.
    Every(i64),
    /// Pieces of these sizes.
    Sizes(Vec<i64>),
    /// As many pieces: all of the size rounded up, but the last.
    Chunks(i64),
    /// As many pieces, the first ones larger by one where it does not come out even.
    Sections(i64),
    /// Before these places.
    Before(Vec<i64>),
}

fn cut(operator: &str, is_list: bool, numbers: Vec<i64>) -> Cut {
    let first = numbers.first().copied().unwrap_or(1);
    match operator {
        "chunk" => Cut::Chunks(first),
        "tensor_split" if is_list => Cut::Before(numbers),
        "tensor_split" => Cut::Sections(first),
        _ if is_list => Cut::Sizes(numbers),
        _ => Cut::Every(first),
    }
}

/// The name of the argument that says how, by operator and overload.
fn cut_name(operator: &str, overload: &str) -> (&'static str, bool) {
    match (operator, overload) {
        ("chunk", _) => ("chunks", false),
        ("tensor_split", "indices") => ("indices", true),
        ("tensor_split", _) => ("sections", false),
        ("split_with_sizes", _) => ("split_sizes", true),
        (_, "sizes") => ("split_size", true),
        _ => ("split_size", false),
    }
}

impl Cut {
    /// Start and length of each piece of an axis of this size.
    fn pieces(&self, size: usize) -> Vec<(usize, usize)> {
        let steps = |step: usize| {
            let step = step.max(1).max(size / MOST_PIECES);
            let count = size.div_ceil(step).max(1);
            (0..count).map(move |at| at * step).map(move |at| (at, step.min(size - at.min(size))))
        };
        let natural = |number: i64| usize::try_from(number).unwrap_or(0);
        match self {
            Cut::Every(step) => steps(natural(*step)).collect(),
            Cut::Chunks(count) => steps(size.div_ceil(natural(*count).max(1))).collect(),
            Cut::Sizes(sizes) => {
                let mut at = 0usize;
                let piece = |&size: &i64| {
                    let start = at;
                    at = at.saturating_add(natural(size));
                    (start, natural(size))
                };
                sizes.iter().map(piece).collect()
            }
            Cut::Sections(count) => {
                let count = natural(*count).clamp(1, MOST_PIECES);
                let (each, more) = (size / count, size % count);
                let start = |at: usize| at * each + at.min(more);
                (0..count).map(|at| (start(at), start(at + 1) - start(at))).collect()
            }
            Cut::Before(places) => {
                let ends = places.iter().map(|&place| bounds(place, i64::MAX, size).0);
                let mut at = 0;
                let piece = |end: usize| {
                    let start = at;
                    at = end;
                    (start, end.saturating_sub(start))
                };
                ends.chain([size]).map(piece).collect()
            }
        }
    }
}

fn convert_split(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let (name, is_list) = cut_name(call.operator(), call.overload());
    let size =
        own.sizes.get(axis).and_then(Size::known).and_then(|size| usize::try_from(size).ok());
    let Some(size) = size else { return convert_unknown_split(call, &own, axis) };
    let cut = cut(call.operator(), is_list, call.ints(name)?);
    let pieces = cut.pieces(size);
    let covers = pieces.iter().map(|(_, length)| length).sum::<usize>() == size;
    if covers && pieces.len() == call.outputs() && pieces.len() > 1 {
        let lengths: Vec<i64> = pieces.iter().map(|&(_, length)| length as i64).collect();
        let lengths = call.to.ints(&lengths);
        let split = node("Split", &[&own.name, &lengths]).with("axis", axis as i64);
        let results = call.to.emitter.add_many(split, pieces.len());
        for (index, result) in results.into_iter().enumerate() {
            call.give(index, result);
        }
        return Ok(());
    }
    for (index, (start, length)) in pieces.into_iter().enumerate() {
        let (start, end) = (start as i64, (start + length) as i64);
        let piece = call.to.slice(&own.name, axis, &Extent::Known(start), &Extent::Known(end), 1);
        call.give(index, piece);
    }
    Ok(())
}

/// An axis whose size is not known is cut by places or sizes that are.
fn convert_unknown_split(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    axis: usize,
) -> Result<(), Refusal> {
    let (name, is_list) = cut_name(call.operator(), call.overload());
    let numbers = call.extents(name)?;
    let count = call.outputs();
    let mut start = Extent::Known(0);
    for index in 0..count {
        let end = match (call.operator(), is_list) {
            ("tensor_split", true) => {
                numbers.get(index).cloned().unwrap_or(Extent::Known(TO_THE_END))
            }
            (_, true) => match numbers.get(index) {
                Some(size) => call.to.combine("Add", &start, size, i64::checked_add),
                None => Extent::Known(TO_THE_END),
            },
            ("split", false) => match numbers.first() {
                Some(size) => call.to.combine("Add", &start, size, i64::checked_add),
                None => Extent::Known(TO_THE_END),
            },
            ("chunk", false) => {
                // Pieces of the size rounded up.
                let size = call.to.size(own, axis);
                let count = Extent::Known(count as i64);
                let more = Extent::Known(count.known().unwrap_or(1) - 1);
                let sum = call.to.combine("Add", &size, &more, |_, _| None);
                let each = call.to.combine("Div", &sum, &count, |_, _| None);
                call.to.combine("Add", &start, &each, |_, _| None)
            }
            _ => {
                let way_out = "export it with a fixed size";
                return Err(Refusal::new("sections of an axis of unknown size", way_out));
            }
        };
        let piece = call.to.slice(&own.name, axis, &start, &end, 1);
        call.give(index, piece);
        start = end;
    }
    Ok(())
}

fn evaluate_split(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = *own.dims().get(axis).ok_or_else(no_axis)?;
    let (name, is_list) = cut_name(eval.operator(), eval.overload());
    let cut = cut(eval.operator(), is_list, eval.ints(name)?);
    let mut pieces = Vec::new();
    for (start, length) in cut.pieces(size) {
        if start.saturating_add(length) > size {
            return Err(EvaluateError::new(format!("pieces of more than {size} elements")));
        }
        pieces.push(Value::Tensor(strided(&own, axis, start, 1, length)));
    }
    Ok(pieces)
}

fn convert_unbind(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    for index in 0..call.outputs() {
        let at = call.to.emitter.integer("index", index as i64);
        let gather = node("Gather", &[&own.name, &at]).with("axis", axis as i64);
        let result = call.to.emit_node(gather);
        call.give(index, result);
    }
    Ok(())
}

fn evaluate_unbind(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = *own.dims().get(axis).ok_or_else(no_axis)?;
    (0..size as i64).map(|at| selected(&own, axis, at).map(Value::Tensor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_cut_as_in_pytorch() {
        assert_eq!(Cut::Every(2).pieces(5), [(0, 2), (2, 2), (4, 1)]);
        assert_eq!(Cut::Chunks(3).pieces(7), [(0, 3), (3, 3), (6, 1)]);
        assert_eq!(Cut::Sizes(vec![1, 3]).pieces(4), [(0, 1), (1, 3)]);
        assert_eq!(Cut::Sections(3).pieces(7), [(0, 3), (3, 2), (5, 2)]);
        assert_eq!(Cut::Before(vec![1, -1]).pieces(5), [(0, 1), (1, 3), (4, 1)]);
    }
}
