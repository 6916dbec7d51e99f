//! `slice`, `slice_axis` and `slice_like`.

use super::super::infer::axis_of;
use super::super::site::{Site, Size};
use super::{Info, Op, Operator, Problem, at, info};
use crate::reference::Array;
use crate::reference::shape::{self, Range};

pub(super) const SLICE: Operator = Operator {
    names: &["slice", "crop"],
    infer: |op, inputs| sliced(info(inputs, 0)?, &ranges(op, info(inputs, 0)?.rank())?),
    convert: |site| {
        let ranges = ranges(&site.op, site.rank()?)?;
        convert(site, &ranges)
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        Ok(vec![shape::slice(x, &ranges(op, x.rank())?)?])
    },
};

pub(super) const AXIS: Operator = Operator {
    names: &["slice_axis"],
    infer: |op, inputs| {
        let range = axis_range(op)?;
        sliced(info(inputs, 0)?, &[range])
    },
    convert: |site| {
        let range = axis_range(&site.op)?;
        convert(site, &[range])
    },
    evaluate: |op, inputs| Ok(vec![shape::slice(at(inputs, 0)?, &[axis_range(op)?])?]),
};

pub(super) const LIKE: Operator = Operator {
    names: &["slice_like"],
    infer: |op, inputs| {
        let (one, two) = (info(inputs, 0)?, info(inputs, 1)?);
        let mut found = one.clone();
        for axis in like(op, one.rank(), two.rank())? {
            let (size, wanted) = (one.dims[axis], two.dims[axis]);
            if wanted > size {
                let message = format!("{wanted} of {size} elements along axis {axis}");
                return Err(Problem::shape(message));
            }
            found.dims[axis] = wanted;
        }
        Ok(vec![found])
    },
    convert: convert_like,
    evaluate: |op, inputs| {
        let (one, two) = (at(inputs, 0)?, at(inputs, 1)?);
        let axes = like(op, one.rank(), two.rank())?;
        let range = |&axis: &usize| Range {
            axis: axis as i64,
            start: 0,
            stop: two.dims().get(axis).copied().unwrap_or(0) as i64,
            step: 1,
        };
        Ok(vec![shape::slice(one, &axes.iter().map(range).collect::<Vec<Range>>())?])
    },
};

/// The end of all elements: later than any.
const END: i64 = i64::MAX;

/// The parts of a `slice`: `begin`, `end` and `step` may have fewer entries than there are axes.
fn ranges(op: &Op<'_>, rank: usize) -> Result<Vec<Range>, Problem> {
    let list = |key| op.attributes.options(key);
    let begin = list("begin")?.unwrap_or_default();
    let end = list("end")?.unwrap_or_default();
    let step = list("step")?.unwrap_or_default();
    if begin.len() > rank || end.len() != begin.len() {
        let message = format!("a slice from {begin:?} to {end:?} of {rank} axes");
        return Err(Problem::shape(message));
    }
    let range = |(axis, (begin, end)): (usize, (&Option<i64>, &Option<i64>))| {
        let step = step.get(axis).copied().flatten().unwrap_or(1);
        let (first, last) = if step > 0 { (0, END) } else { (END, -END) };
        let (start, stop) = (begin.unwrap_or(first), end.unwrap_or(last));
        Range { axis: axis as i64, start, stop, step }
    };
    Ok(begin.iter().zip(&end).enumerate().map(range).collect())
}

fn axis_range(op: &Op<'_>) -> Result<Range, Problem> {
    let axis = op.attributes.need_int("axis")?;
    let (start, stop) = (op.attributes.need_int("begin")?, op.attributes.int_or("end", END)?);
    Ok(Range { axis, start, stop, step: 1 })
}

/// The axes that are cut: all, unless said.
fn like(op: &Op<'_>, rank: usize, other: usize) -> Result<Vec<usize>, Problem> {
    let axes = op.attributes.ints("axes")?.unwrap_or_default();
    if axes.is_empty() {
        return match rank == other {
            true => Ok((0..rank).collect()),
            false => Err(Problem::shape(format!("arrays of rank {rank} and {other}"))),
        };
    }
    axes.iter().map(|&axis| axis_of(axis, rank.min(other))).collect()
}

/// The shape of the parts, in which there must be something.
fn sliced(input: &Info, ranges: &[Range]) -> Result<Vec<Info>, Problem> {
    let mut found = input.clone();
    for range in ranges {
        let axis = input.axis(range.axis)?;
        let size = i64::try_from(input.dims[axis]).unwrap_or(END);
        let counted = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
        let (low, high) = if range.step > 0 { (0, size) } else { (-1, size - 1) };
        let start = counted(range.start).clamp(low, high.max(low));
        let stop = counted(range.stop).clamp(low, high.max(low));
        let count = match range.step {
            0 => 0,
            1.. => (stop - start).max(0).unsigned_abs().div_ceil(range.step.unsigned_abs()),
            _ => (start - stop).max(0).unsigned_abs().div_ceil(range.step.unsigned_abs()),
        };
        if count == 0 {
            let message = format!("no elements of axis {axis} with {size} are in {range:?}");
            return Err(Problem::shape(message));
        }
        found.dims[axis] = count as usize;
    }
    Ok(vec![found])
}

fn convert(site: &mut Site<'_>, ranges: &[Range]) -> Result<Vec<String>, Problem> {
    let x = site.input(0)?;
    // Whole axes need no cut.
    let cut = |range: &&Range| !(range.start == 0 && range.stop == END && range.step == 1);
    let ranges: Vec<&Range> = ranges.iter().filter(cut).collect();
    if ranges.is_empty() {
        return Ok(vec![x]);
    }
    let list =
        |field: fn(&Range) -> i64| -> Vec<i64> { ranges.iter().map(|it| field(it)).collect() };
    let begin = site.ints("begin", &list(|range| range.start));
    let end = site.ints("end", &list(|range| range.stop));
    let axes = site.ints("axes", &list(|range| range.axis));
    let mut inputs = vec![x, begin, end, axes];
    if ranges.iter().any(|range| range.step != 1) {
        inputs.push(site.ints("step", &list(|range| range.step)));
    }
    Ok(vec![site.add(crate::emitter::node("Slice", &inputs))])
}

fn convert_like(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let axes = like(&site.op, site.rank()?, site.known(1)?.rank())?;
    let sizes = site.sizes_of(1)?;
    let wanted: Vec<Size> = axes.iter().filter_map(|&axis| sizes.get(axis)).cloned().collect();
    let x = site.input(0)?;
    let begin = site.ints("begin", &vec![0; axes.len()]);
    let end = site.list(&wanted);
    let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    let axes = site.ints("axes", &axes);
    Ok(vec![site.op("Slice", &[&x, &begin, &end, &axes])])
}

/// The last `crop` of old symbols: an image cut like another, or to a size.
#[derive(Debug)]
pub(super) struct Crop {
    pub(super) offset: [usize; 2],
    pub(super) size: [usize; 2],
}

pub(super) const CROP: Operator = Operator {
    names: &["Crop"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        let crop = crop(op, &input.dims, inputs.get(1).map(|like| like.dims.as_slice()))?;
        let mut found = input.clone();
        found.dims.truncate(2);
        found.dims.extend(crop.size);
        Ok(vec![found])
    },
    convert: |site| {
        let plane = |index: usize| Ok([1, 1, site.size(index, 2)?, site.size(index, 3)?]);
        let dims = plane(0)?;
        let like = if site.inputs.len() > 1 { Some(plane(1)?) } else { None };
        let crop = crop(&site.op, &dims, like.as_ref().map(|like| like.as_slice()))?;
        convert(site, &crop.ranges())
    },
    evaluate: |op, inputs| {
        let x = at(inputs, 0)?;
        let crop = crop(op, x.dims(), inputs.get(1).map(|like: &&Array| like.dims()))?;
        Ok(vec![shape::slice(x, &crop.ranges())?])
    },
};

impl Crop {
    fn ranges(&self) -> Vec<Range> {
        let range = |axis: usize| {
            let start = self.offset[axis] as i64;
            let stop = start + self.size[axis] as i64;
            Range { axis: axis as i64 + 2, start, stop, step: 1 }
        };
        vec![range(0), range(1)]
    }
}

fn crop(op: &Op<'_>, dims: &[usize], like: Option<&[usize]>) -> Result<Crop, Problem> {
    let wanted = op.attributes.sizes("h_w", 2, 0)?;
    let plane = |dims: &[usize]| match dims {
        [_, _, height, width] => Ok([*height, *width]),
        found => Err(Problem::shape(format!("an image of shape {found:?}"))),
    };
    let have = plane(dims)?;
    let size = match like {
        Some(like) => plane(like)?,
        None => [wanted[0], wanted[1]],
    };
    let given = op.attributes.sizes("offset", 2, 0)?;
    let center = op.attributes.flag_or("center_crop", false)?;
    let mut offset = [given[0], given[1]];
    for axis in 0..2 {
        let room = have[axis].checked_sub(size[axis]);
        let room = room.ok_or_else(|| Problem::shape("a part larger than the image"))?;
        if center {
            offset[axis] = room / 2;
        }
        if size[axis] == 0 || offset[axis] > room {
            return Err(Problem::shape("a part outside of the image"));
        }
    }
    Ok(Crop { offset, size })
}
