//! Parts of a tensor, and parts put back.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, TO_THE_END, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Strided, Value};
use crate::pytorch::graph::Size;
use crate::reference::elementwise;

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.slice.Tensor", "self dim start end step", convert_slice, evaluate_slice),
    operator("aten.select.int", "self dim index", convert_select, evaluate_select),
    operator("aten.narrow.default", "self dim start length", convert_narrow, evaluate_narrow),
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
    operator(
        "aten.slice_scatter.default",
        "self src dim start end step",
        convert_put,
        evaluate_put,
    ),
    operator("aten.select_scatter.default", "self src dim index", convert_put, evaluate_put),
    operator("aten.diagonal.default", "self offset dim1 dim2", convert_diagonal, evaluate_diagonal),
    operator("aten.unfold.default", "self dimension size step", convert_unfold, evaluate_unfold),
];

/// The view of elements `start..` in steps along an axis.
fn strided(own: &Strided, axis: usize, start: usize, step: usize, count: usize) -> Strided {
    let (mut dims, mut strides) = (own.dims().to_vec(), own.strides().to_vec());
    let offset = own.offset().saturating_add_signed(start as isize * strides[axis]);
    dims[axis] = count;
    strides[axis] *= step as isize;
    own.seen(dims, strides, if count == 0 { own.offset() } else { offset })
}

/// Start and end of a slice of an axis of this size, as Python counts.
fn bounds(start: i64, end: i64, size: usize) -> (usize, usize) {
    let size = size as i64;
    let within = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(0, size);
    let start = within(start);
    (start as usize, within(end).max(start) as usize)
}

fn convert_slice(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let start = if call.has("start") { call.extent("start")? } else { Extent::Known(0) };
    let end = if call.has("end") { call.extent("end")? } else { Extent::Known(TO_THE_END) };
    let step = call.int_or("step", 1)?;
    let size = own.sizes.get(axis).and_then(Size::known);
    let goes_to_the_end =
        end.known().is_some_and(|end| end == TO_THE_END || size.is_some_and(|size| end >= size));
    if start == Extent::Known(0) && goes_to_the_end && step == 1 {
        call.give(0, own.name);
        return Ok(());
    }
    let result = call.to.slice(&own.name, axis, &start, &end, step);
    call.give(0, result);
    Ok(())
}

fn evaluate_slice(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = *own.dims().get(axis).ok_or_else(no_axis)?;
    let (start, end) = bounds(eval.int_or("start", 0)?, eval.int_or("end", i64::MAX)?, size);
    let step = usize::try_from(eval.int_or("step", 1)?).unwrap_or(0);
    if step == 0 {
        return Err(EvaluateError::new("a slice needs a positive step"));
    }
    Ok(vec![Value::Tensor(strided(&own, axis, start, step, (end - start).div_ceil(step)))])
}

fn no_axis() -> EvaluateError {
    EvaluateError::new("a tensor without dimensions has no parts")
}

fn convert_select(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let index = call.extent("index")?;
    let index = call.to.extent_scalar(&index);
    let gather = node("Gather", &[&own.name, &index]).with("axis", axis as i64);
    let result = call.to.emit_node(gather);
    call.give(0, result);
    Ok(())
}

fn selected(own: &Strided, axis: usize, index: i64) -> Result<Strided, EvaluateError> {
    let size = *own.dims().get(axis).ok_or_else(no_axis)? as i64;
    let at = if index < 0 { index + size } else { index };
    if !(0..size).contains(&at) {
        return Err(EvaluateError::new(format!("there is no element {index} of {size}")));
    }
    let one = strided(own, axis, at as usize, 1, 1);
    let (mut dims, mut strides) = (one.dims().to_vec(), one.strides().to_vec());
    dims.remove(axis);
    strides.remove(axis);
    Ok(one.seen(dims, strides, one.offset()))
}

fn evaluate_select(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    Ok(vec![Value::Tensor(selected(&own, axis, eval.int("index")?)?)])
}

fn convert_narrow(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dim", own.rank(), 0)?;
    let (start, length) = (call.extent("start")?, call.extent("length")?);
    let end = match start.known() {
        // A negative start with its length may end at the end, which 0 does not say.
        Some(known) if known < 0 => {
            let size = call.to.size(&own, axis);
            let start = call.to.combine("Add", &size, &start, i64::checked_add);
            call.to.combine("Add", &start, &length, i64::checked_add)
        }
        _ => call.to.combine("Add", &start, &length, i64::checked_add),
    };
    let result = call.to.slice(&own.name, axis, &start, &end, 1);
    call.give(0, result);
    Ok(())
}

fn evaluate_narrow(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = *own.dims().get(axis).ok_or_else(no_axis)?;
    let (start, _) = bounds(eval.int("start")?, i64::MAX, size);
    let length = usize::try_from(eval.int("length")?).unwrap_or(usize::MAX);
    if length > size - start {
        return Err(EvaluateError::new(format!("{length} elements from {start} of {size}")));
    }
    Ok(vec![Value::Tensor(strided(&own, axis, start, 1, length))])
}

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
            let step = step.max(1);
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
                let count = natural(*count).clamp(1, 1 << 16);
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

fn evaluate_split(eval: &mut Eval<'_, '_, '_>) -> Outcome {
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

fn evaluate_unbind(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dim", own.dims().len(), 0)?;
    let size = *own.dims().get(axis).ok_or_else(no_axis)?;
    (0..size as i64).map(|at| selected(&own, axis, at).map(Value::Tensor)).collect()
}

/// `self` with `src` in place of a slice or of one element along an axis.
fn convert_put(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (own, src) = (call.tensor("self")?, call.tensor("src")?);
    let kind = src.element_type;
    let axis = call.axis("dim", own.rank(), 0)?;
    let (start, end, step, src) = if call.operator() == "select_scatter" {
        let index = call.extent("index")?;
        let end = match index.known() {
            Some(-1) => Extent::Known(TO_THE_END),
            _ => call.to.combine("Add", &index, &Extent::Known(1), i64::checked_add),
        };
        (index, end, 1, call.to.unsqueeze(&src.name, &[axis as i64]))
    } else {
        let start = if call.has("start") { call.extent("start")? } else { Extent::Known(0) };
        let end = if call.has("end") { call.extent("end")? } else { Extent::Known(TO_THE_END) };
        (start, end, call.int_or("step", 1)?, src.name)
    };
    let value = call.to.cast(&src, kind, own.element_type);
    if start == Extent::Known(0) && end == Extent::Known(TO_THE_END) && step == 1 {
        call.give(0, value);
        return Ok(());
    }
    let result = match step {
        1 => joined(call, &own, axis, (&start, &end), &value),
        step => scattered(call, &own, axis, (&start, &end, step), &value),
    };
    call.give(0, result);
    Ok(())
}

/// What stands before the slice, the slice, what stands behind it.
fn joined(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    axis: usize,
    (start, end): (&Extent, &Extent),
    value: &str,
) -> String {
    let mut parts = Vec::new();
    if *start != Extent::Known(0) {
        parts.push(call.to.slice(&own.name, axis, &Extent::Known(0), start, 1));
    }
    parts.push(value.to_owned());
    let size = own.sizes.get(axis).and_then(Size::known);
    let is_last =
        end.known().is_some_and(|end| end == TO_THE_END || size.is_some_and(|size| end >= size));
    if !is_last {
        parts.push(call.to.slice(&own.name, axis, end, &Extent::Known(TO_THE_END), 1));
    }
    call.to.concat(&parts, axis as i64)
}

/// Every so many elements: the places along the axis, moved to the front.
fn scattered(
    call: &mut Call<'_, '_>,
    own: &Tensor,
    axis: usize,
    (start, end, step): (&Extent, &Extent, i64),
    value: &str,
) -> String {
    let mut order: Vec<usize> = (0..own.rank()).filter(|&at| at != axis).collect();
    order.insert(0, axis);
    let mut back = vec![0; order.len()];
    for (at, &from) in order.iter().enumerate() {
        back[from] = at;
    }
    let size = call.to.size(own, axis);
    let (zero, size) = (call.to.extent_scalar(&Extent::Known(0)), call.to.extent_scalar(&size));
    let unit = call.to.emitter.integer("step", 1);
    let all = call.to.emit("Range", &[&zero, &size, &unit]);
    let places = call.to.slice(&all, 0, start, end, step);
    let places = call.to.unsqueeze(&places, &[1]);
    let (data, value) = (call.to.transpose(&own.name, &order), call.to.transpose(value, &order));
    let result = call.to.emit("ScatterND", &[&data, &places, &value]);
    call.to.transpose(&result, &back)
}

fn evaluate_put(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let copy = Strided::new(eval.tensor("self")?.as_ref().clone());
    let axis = eval.axis("dim", copy.dims().len(), 0)?;
    let part = if eval.operator() == "select_scatter" {
        selected(&copy, axis, eval.int("index")?)?
    } else {
        let size = *copy.dims().get(axis).ok_or_else(no_axis)?;
        let (start, end) = bounds(eval.int_or("start", 0)?, eval.int_or("end", i64::MAX)?, size);
        let step = usize::try_from(eval.int_or("step", 1)?).unwrap_or(1).max(1);
        strided(&copy, axis, start, step, (end - start).div_ceil(step))
    };
    part.write(&elementwise::cast(&*eval.tensor("src")?, copy.element_type())?)?;
    Ok(vec![Value::Tensor(copy)])
}

/// The diagonal of two axes, as the last axis: gathered from the two, flattened.
fn convert_diagonal(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let (one, two) = (call.axis("dim1", own.rank(), 0)?, call.axis("dim2", own.rank(), 1)?);
    let offset = call.int_or("offset", 0)?;
    let size = |axis: usize| own.sizes.get(axis).and_then(Size::known);
    let (Some(rows), Some(columns)) = (size(one), size(two)) else {
        return Err(Refusal::new("a diagonal of unknown size", "export it with fixed sizes"));
    };
    let mut order: Vec<usize> = (0..own.rank()).filter(|&at| at != one && at != two).collect();
    order.extend([one, two]);
    let turned = call.to.transpose(&own.name, &order);
    let keep = vec![0i64; own.rank() - 2];
    let shape = call.to.ints(&[keep.as_slice(), &[rows * columns]].concat());
    let flat = call.to.emit("Reshape", &[&turned, &shape]);
    let places: Vec<i64> = (0..rows)
        .map(|row| (row, row + offset))
        .filter(|(_, column)| (0..columns).contains(column))
        .map(|(row, column)| row * columns + column)
        .collect();
    let places = call.to.ints(&places);
    let result = call.to.emit_node(node("Gather", &[&flat, &places]).with("axis", -1i64));
    call.give(0, result);
    Ok(())
}

fn evaluate_diagonal(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let rank = own.dims().len();
    let (one, two) = (eval.axis("dim1", rank, 0)?, eval.axis("dim2", rank, 1)?);
    if rank < 2 || one == two {
        return Err(EvaluateError::new("a diagonal needs two axes"));
    }
    let offset = eval.int_or("offset", 0)?;
    let (rows, columns) = (own.dims()[one] as i64, own.dims()[two] as i64);
    let (row, column) = ((-offset).max(0), offset.max(0));
    let count = (rows - row).min(columns - column).max(0);
    let start = row as isize * own.strides()[one] + column as isize * own.strides()[two];
    let others = (0..rank).filter(|&at| at != one && at != two);
    let mut dims: Vec<usize> = others.clone().map(|at| own.dims()[at]).collect();
    let mut strides: Vec<isize> = others.map(|at| own.strides()[at]).collect();
    dims.push(count as usize);
    strides.push(own.strides()[one] + own.strides()[two]);
    let offset = if count == 0 { own.offset() } else { own.offset().saturating_add_signed(start) };
    Ok(vec![Value::Tensor(own.seen(dims, strides, offset))])
}

/// Windows of an axis, as a new last axis: gathered by their places.
fn convert_unfold(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let axis = call.axis("dimension", own.rank(), 0)?;
    let (size, step) = (call.int("size")?, call.int("step")?);
    let Some(all) =
        own.sizes.get(axis).and_then(Size::known).filter(|&all| step > 0 && all >= size)
    else {
        return Err(Refusal::new(
            "windows of an axis of unknown size",
            "export it with fixed sizes",
        ));
    };
    let count = (all - size) / step + 1;
    let places: Vec<i64> =
        (0..count).flat_map(|window| (0..size).map(move |at| window * step + at)).collect();
    let bytes: Vec<u8> = places.iter().flat_map(|place| place.to_le_bytes()).collect();
    let dims = [count as usize, size as usize];
    let kind = modelyard_graph::ElementType::Int64;
    let places =
        call.to.emitter.constant(modelyard_graph::Constant::raw("places", kind, &dims, bytes));
    let gathered =
        call.to.emit_node(node("Gather", &[&own.name, &places]).with("axis", axis as i64));
    let mut order: Vec<usize> = (0..=own.rank()).filter(|&at| at != axis + 1).collect();
    order.push(axis + 1);
    let result = call.to.transpose(&gathered, &order);
    call.give(0, result);
    Ok(())
}

fn evaluate_unfold(eval: &mut Eval<'_, '_, '_>) -> Outcome {
    let own = eval.view("self")?;
    let axis = eval.axis("dimension", own.dims().len(), 0)?;
    let all = *own.dims().get(axis).ok_or_else(no_axis)?;
    let size = usize::try_from(eval.int("size")?).unwrap_or(usize::MAX);
    let step = usize::try_from(eval.int("step")?).unwrap_or(0);
    if step == 0 || size > all {
        return Err(EvaluateError::new(format!("there are no windows of {size} in {all}")));
    }
    let (mut dims, mut strides) = (own.dims().to_vec(), own.strides().to_vec());
    dims.push(size);
    strides.push(strides[axis]);
    dims[axis] = (all - size) / step + 1;
    strides[axis] *= step as isize;
    Ok(vec![Value::Tensor(own.seen(dims, strides, own.offset()))])
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

    #[test]
    fn bounds_count_as_in_python() {
        assert_eq!(bounds(-2, i64::MAX, 5), (3, 5));
        assert_eq!(bounds(4, 2, 5), (4, 4));
        assert_eq!(bounds(i64::MIN, -1, 5), (0, 4));
    }
}
