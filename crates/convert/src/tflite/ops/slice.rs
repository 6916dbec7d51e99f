//! Parts of tensors: `SLICE` by begin and size, `STRIDED_SLICE` by begin, end, stride and masks.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use super::reshape::{give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::shape::{Range, slice};

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let begin = cx.integers(op.input(1)?)?;
    let size = cx.integers(op.input(2)?)?;
    let x = moved(cx, input, output)?;
    let (Some(begin), Some(size)) = (begin, size) else {
        return convert_computed(cx, op, x.name, x.is_raw);
    };
    let mut ranges = Vec::new();
    for (axis, (&start, &count)) in begin.iter().zip(&size).enumerate() {
        let whole = cx.dims(input).get(axis).copied().flatten();
        let is_row = cx.batch.freed && whole.is_none() && count == 1;
        let stop = if count < 0 || is_row { i64::MAX } else { start.saturating_add(count) };
        ranges.push(Range { axis: axis as i64, start, stop, step: 1 });
    }
    let y = sliced(cx, &x.name, &ranges);
    give_moved(cx, output, y, x.is_raw)
}

/// Begin and size that are computed: the end is their sum, unless the size is -1.
fn convert_computed(
    cx: &mut Converter<'_>,
    op: &Operator,
    x: String,
    is_raw: bool,
) -> Result<(), Stop> {
    let begin = cx.int64(op.input(1)?)?;
    let size = cx.int64(op.input(2)?)?;
    let rank = cx.rank(op.input(0)?);
    let zero = cx.emitter.integer("zero", 0);
    let rest = cx.emitter.add(node("Less", &[&size, &zero]));
    let end = cx.emitter.add(node("Add", &[&begin, &size]));
    // Behind the end of every axis, for engines with integers of 32 bits too.
    let most = cx.emitter.integer("most", i32::MAX.into());
    let end = cx.emitter.add(node("Where", &[rest, most, end]));
    let axes: Vec<i64> = (0..rank as i64).collect();
    let axes = cx.emitter.integers("axes", &axes);
    let y = cx.emitter.add(node("Slice", &[x, begin, end, axes]));
    give_moved(cx, op.output(0)?, y, is_raw)
}

/// The value without what lies outside of ranges; those that take everything are left out.
fn sliced(cx: &mut Converter<'_>, value: &str, ranges: &[Range]) -> String {
    let is_part = |range: &&Range| (range.start, range.stop, range.step) != (0, i64::MAX, 1);
    let ranges: Vec<&Range> = ranges.iter().filter(is_part).collect();
    if ranges.is_empty() {
        return value.to_owned();
    }
    let list =
        |each: fn(&Range) -> i64| -> Vec<i64> { ranges.iter().map(|range| each(range)).collect() };
    let starts = cx.emitter.integers("starts", &list(|range| range.start));
    let stops = cx.emitter.integers("ends", &list(|range| range.stop));
    let axes = cx.emitter.integers("axes", &list(|range| range.axis));
    let mut inputs = vec![value.to_owned(), starts, stops, axes];
    if ranges.iter().any(|range| range.step != 1) {
        inputs.push(cx.emitter.integers("steps", &list(|range| range.step)));
    }
    cx.emitter.add(node("Slice", &inputs))
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let (begin, size) = (cx.ints(op.input(1)?)?, cx.ints(op.input(2)?)?);
    let array = taken(cx, input, output)?;
    let range = |(axis, (&start, &count)): (usize, (&i64, &i64))| {
        let stop = if count < 0 { i64::MAX } else { start.saturating_add(count) };
        Range { axis: axis as i64, start, stop, step: 1 }
    };
    let ranges: Vec<Range> = begin.iter().zip(&size).enumerate().map(range).collect();
    put(cx, (input, output), slice(&array, &ranges)?)
}

/// What the numbers of a strided slice say, one for each position of its lists.
#[derive(Clone, Debug, Default)]
struct Strided {
    ranges: Vec<Range>,
    /// Axes of the input that disappear.
    shrunk: Vec<i64>,
    /// Axes of the output that are new.
    added: Vec<i64>,
}

impl Strided {
    /// Reads the lists and masks for an input of this rank. `size` is that of an axis; `None` where
    /// it is free.
    fn new(
        op: &Operator,
        [begin, end, strides]: [&[i64]; 3],
        size: impl Fn(usize) -> Option<usize>,
        rank: usize,
    ) -> Result<Strided, Stop> {
        let mask = |field| op.options.i32(field).map(|mask| mask as u32);
        let (begins, ends) = (mask(0)?, mask(1)?);
        let (ellipsis, new, shrink) = (mask(2)?, mask(3)?, mask(4)?);
        let is_offset = op.options.bool(5)?;
        if begin.len() != end.len() || begin.len() != strides.len() || begin.len() > 32 {
            return Err(mismatch("its lists of begins, ends and strides are not alike"));
        }
        let has = |mask: u32, index: usize| mask >> index & 1 == 1;
        let plain = |index: &usize| !has(ellipsis, *index) && !has(new, *index);
        let taken = (0..begin.len()).filter(plain).count();
        let mut strided = Strided::default();
        let (mut axis, mut out) = (0usize, 0i64);
        for index in 0..begin.len() {
            if has(ellipsis, index) {
                let skipped = rank.saturating_sub(taken);
                axis += skipped;
                out += skipped as i64;
                continue;
            }
            if has(new, index) {
                strided.added.push(out);
                out += 1;
                continue;
            }
            let (mut start, step) = (begin[index], strides[index]);
            let mut stop = if is_offset { start.saturating_add(end[index]) } else { end[index] };
            if step == 0 {
                return Err(mismatch("a stride is 0"));
            }
            if has(shrink, index) {
                if start < 0 {
                    start += size(axis).map_or(0, |size| size as i64);
                }
                // The element before the end, when counted from there.
                stop = if start == -1 { i64::MAX } else { start.saturating_add(1) };
                strided.ranges.push(Range { axis: axis as i64, start, stop, step: 1 });
                strided.shrunk.push(axis as i64);
                axis += 1;
                continue;
            }
            if has(begins, index) {
                start = if step > 0 { 0 } else { i64::MAX };
            }
            if has(ends, index) {
                stop = if step > 0 { i64::MAX } else { i64::MIN };
            }
            strided.ranges.push(Range { axis: axis as i64, start, stop, step });
            axis += 1;
            out += 1;
        }
        if axis > rank {
            return Err(mismatch(format!("it slices {axis} axes of {rank}")));
        }
        Ok(strided)
    }
}

pub(super) fn convert_strided(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let lists =
        [cx.integers(op.input(1)?)?, cx.integers(op.input(2)?)?, cx.integers(op.input(3)?)?];
    let [Some(begin), Some(end), Some(strides)] = lists else {
        return computed_strided(cx, op);
    };
    let dims = cx.dims(input).to_vec();
    let size = |axis: usize| dims.get(axis).copied().flatten();
    let mut strided = Strided::new(op, [&begin, &end, &strides], size, dims.len())?;
    for range in &mut strided.ranges {
        let axis = usize::try_from(range.axis).unwrap_or(0);
        let shrinks = strided.shrunk.contains(&range.axis);
        let whole = range.start == 0 && range.step == 1 && !shrinks;
        let is_row = cx.batch.freed && size(axis).is_none() && range.stop >= 1;
        let reaches_end = size(axis).is_some_and(|size| range.stop >= size as i64);
        if whole && (is_row || reaches_end) {
            range.stop = i64::MAX;
        }
    }
    let x = moved(cx, input, output)?;
    let mut y = sliced(cx, &x.name, &strided.ranges);
    if !strided.shrunk.is_empty() {
        let axes = cx.emitter.integers("shrunk", &strided.shrunk);
        y = cx.emitter.add(node("Squeeze", &[y, axes]));
    }
    if !strided.added.is_empty() {
        let axes = cx.emitter.integers("added", &strided.added);
        y = cx.emitter.add(node("Unsqueeze", &[y, axes]));
    }
    give_moved(cx, output, y, x.is_raw)
}

/// Begins and ends that are computed: only without masks, but for single elements.
fn computed_strided(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let masks = [0, 1, 2, 3].map(|field| op.options.i32(field));
    let shrink = op.options.i32(4)? as u32;
    let count = cx.dims(op.input(1)?).first().copied().flatten();
    let way_out = "export the model with fixed shapes";
    let plain = masks.into_iter().all(|mask| matches!(mask, Ok(0))) && !op.options.bool(5)?;
    let (true, Some(count)) = (plain, count) else {
        return Err(refused("a strided slice with masks and computed positions", way_out));
    };
    let (input, output) = (op.input(0)?, op.output(0)?);
    let x = moved(cx, input, output)?;
    let axes: Vec<i64> = (0..count as i64).collect();
    let axes = cx.emitter.integers("axes", &axes);
    let begin = cx.int64(op.input(1)?)?;
    let end = cx.int64(op.input(2)?)?;
    let strides = cx.int64(op.input(3)?)?;
    let mut y = cx.emitter.add(node("Slice", &[x.name, begin, end, axes, strides]));
    let shrunk: Vec<i64> = (0..count as i64).filter(|&axis| shrink >> axis & 1 == 1).collect();
    if !shrunk.is_empty() {
        let axes = cx.emitter.integers("shrunk", &shrunk);
        y = cx.emitter.add(node("Squeeze", &[y, axes]));
    }
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_strided(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let lists = [cx.ints(op.input(1)?)?, cx.ints(op.input(2)?)?, cx.ints(op.input(3)?)?];
    let array = taken(cx, input, output)?;
    let dims = array.dims().to_vec();
    let size = |axis: usize| dims.get(axis).copied();
    let strided = Strided::new(op, [&lists[0], &lists[1], &lists[2]], size, dims.len())?;
    let mut array = slice(&array, &strided.ranges)?;
    if !strided.shrunk.is_empty() {
        array = crate::reference::shape::squeeze(&array, Some(&strided.shrunk))?;
    }
    if !strided.added.is_empty() {
        array = crate::reference::shape::expand_dims(&array, &strided.added)?;
    }
    put(cx, (input, output), array)
}
