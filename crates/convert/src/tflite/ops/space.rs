//! Space to channels or rows, and back: `DEPTH_TO_SPACE`, `SPACE_TO_DEPTH`, `SPACE_TO_BATCH_ND`,
//! `BATCH_TO_SPACE_ND`.

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::Operator;
use super::super::stop::{Stop, mismatch, refused};
use super::reshape::{give_moved, moved, put, taken};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::shape::{Padding, Range, pad, slice, transpose};

pub(super) fn convert_to_space(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let block = op.options.size(0, 1)? as i64;
    let x = cx.channels_first(op.input(0)?)?;
    let space = node("DepthToSpace", &[x]).with("blocksize", block).with("mode", "DCR");
    let y = cx.emitter.add(space);
    cx.give_image(op.output(0)?, &y)
}

pub(super) fn evaluate_to_space(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let block = op.options.size(0, 1)?;
    let array = taken(cx, input, output)?;
    let &[n, h, w, c] = array.dims() else { return Err(mismatch("expected an image")) };
    let depth = c / (block * block);
    let array = array.reshaped(&[n, h, w, block, block, depth])?;
    let array = transpose(&array, &[0, 1, 3, 2, 4, 5])?;
    put(cx, (input, output), array.reshaped(&[n, h * block, w * block, depth])?)
}

/// `SpaceToDepth` is not known to every engine: two reshapes and a transpose say the same.
pub(super) fn convert_to_depth(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let block = op.options.size(0, 1)?;
    let dims = cx.dims(input).to_vec();
    let &[_, Some(h), Some(w), Some(c)] = dims.as_slice() else {
        let way_out = "export the model with a fixed height and width";
        return Err(refused("an image of unknown size", way_out));
    };
    let size = |value: usize| value as i64;
    let (rows, columns) = (h / block, w / block);
    let x = moved(cx, input, output)?;
    let split = [-1, size(rows), size(block), size(columns), size(block), size(c)];
    let split = cx.emitter.integers("split", &split);
    let y = cx.emitter.add(node("Reshape", &[x.name, split]));
    let y = cx.transpose(&y, &[0, 1, 3, 2, 4, 5]);
    let joined =
        cx.emitter.integers("joined", &[-1, size(rows), size(columns), size(block * block * c)]);
    let y = cx.emitter.add(node("Reshape", &[y, joined]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_to_depth(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let block = op.options.size(0, 1)?;
    let array = taken(cx, input, output)?;
    let &[n, h, w, c] = array.dims() else { return Err(mismatch("expected an image")) };
    let (rows, columns) = (h / block, w / block);
    let array = array.reshaped(&[n, rows, block, columns, block, c])?;
    let array = transpose(&array, &[0, 1, 3, 2, 4, 5])?;
    put(cx, (input, output), array.reshaped(&[n, rows, columns, block * block * c])?)
}

/// Blocks and what is put around or cut off, of all axes between rows and the rest.
struct Blocks {
    sizes: Vec<usize>,
    /// Before and after, by axis.
    edges: Vec<[usize; 2]>,
}

impl Blocks {
    fn new(sizes: &[i64], edges: &[i64]) -> Result<Blocks, Stop> {
        let sizes = super::fill::shape(sizes)?;
        let edges = super::fill::shape(edges)?;
        let edges: Vec<[usize; 2]> = edges.as_chunks().0.to_vec();
        if edges.len() != sizes.len() || sizes.contains(&0) {
            return Err(mismatch(format!("{} edges do not fit {sizes:?} blocks", edges.len())));
        }
        Ok(Blocks { sizes, edges })
    }

    fn product(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Positions of rows, blocks, places in blocks and the rest, when space becomes rows:
    /// `[rows, blocks and places in turn, rest]` to `[places, rows, blocks, rest]`.
    fn to_rows(&self, rank: usize) -> Vec<usize> {
        let count = self.sizes.len();
        let places = (0..count).map(|axis| 2 + 2 * axis);
        let blocks = (0..count).map(|axis| 1 + 2 * axis);
        let rest = 1 + 2 * count..rank + count;
        places.chain([0]).chain(blocks).chain(rest).collect()
    }

    /// The other way: `[places, rows, blocks, rest]` to `[rows, blocks and places in turn, rest]`.
    fn to_space(&self, rank: usize) -> Vec<usize> {
        let count = self.sizes.len();
        let turns = (0..count).flat_map(|axis| [count + 1 + axis, axis]);
        let rest = 1 + 2 * count..rank + count;
        [count].into_iter().chain(turns).chain(rest).collect()
    }
}

fn blocks(cx: &Converter<'_>, op: &Operator) -> Result<(Blocks, Vec<usize>), Stop> {
    let sizes = cx.required(op, 1, "a block")?;
    let edges = cx.required(op, 2, "an edge of blocks")?;
    let blocks = Blocks::new(&sizes, &edges)?;
    let rest: Option<Vec<usize>> = cx.dims(op.input(0)?).iter().skip(1).copied().collect();
    let rest = rest.filter(|rest| rest.len() >= blocks.sizes.len()).ok_or_else(|| {
        refused("blocks of an image of unknown size", "export the model with fixed sizes")
    })?;
    Ok((blocks, rest))
}

pub(super) fn convert_to_batch(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let (blocks, rest) = blocks(cx, op)?;
    let count = blocks.sizes.len();
    let x = super::pad::padded(cx, input, output)?;
    let rank = rest.len() + 1;
    let side = |which: usize| {
        let own = blocks.edges.iter().map(move |edges| edges[which] as i64);
        [0].into_iter().chain(own).chain(std::iter::repeat_n(0, rank - 1 - count))
    };
    let pads: Vec<i64> = side(0).chain(side(1)).collect();
    let mut inputs = vec![x.name, cx.emitter.integers("pads", &pads)];
    let zero_point = cx.tensor(input).quantized().and_then(|found| found.zero_points.first());
    if let (Some(&zero_point), true) = (zero_point, x.is_raw) {
        let element_type = cx.element_type(input)?;
        let zero = super::fill::number("zero", element_type, zero_point);
        inputs.push(cx.emitter.constant(zero));
    }
    let y = cx.emitter.add(node("Pad", &inputs).with("mode", "constant"));
    let (mut split, mut joined) = (vec![-1i64], vec![-1i64]);
    for (axis, &size) in rest.iter().enumerate() {
        let Some(&block) = blocks.sizes.get(axis) else {
            split.push(size as i64);
            joined.push(size as i64);
            continue;
        };
        let padded = (size + blocks.edges[axis][0] + blocks.edges[axis][1]) / block;
        split.extend([padded as i64, block as i64]);
        joined.push(padded as i64);
    }
    let split = cx.emitter.integers("split", &split);
    let y = cx.emitter.add(node("Reshape", &[y, split]));
    let y = cx.transpose(&y, &blocks.to_rows(rank));
    let joined = cx.emitter.integers("joined", &joined);
    let y = cx.emitter.add(node("Reshape", &[y, joined]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_to_batch(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let blocks = Blocks::new(&cx.ints(op.input(1)?)?, &cx.ints(op.input(2)?)?)?;
    let zero = cx.quantized(input).and_then(|found| found.zero_points.first().copied());
    let array = taken(cx, input, output)?;
    let rank = array.rank();
    let (mut before, mut after) = (vec![0i64; rank], vec![0i64; rank]);
    for (axis, edges) in blocks.edges.iter().enumerate().take(rank.saturating_sub(1)) {
        (before[axis + 1], after[axis + 1]) = (edges[0] as i64, edges[1] as i64);
    }
    let array = pad(&array, &before, &after, Padding::Constant(zero.unwrap_or(0) as f64))?;
    let (rows, rest) = split_rows(&array)?;
    let (mut split, mut joined) = (vec![rows], vec![rows * blocks.product()]);
    for (axis, &size) in rest.iter().enumerate() {
        let block = blocks.sizes.get(axis).copied();
        joined.push(size / block.unwrap_or(1));
        split.push(size / block.unwrap_or(1));
        split.extend(block);
    }
    let array = transpose(&array.reshaped(&split)?, &blocks.to_rows(rank))?;
    put(cx, (input, output), array.reshaped(&joined)?)
}

fn split_rows(array: &Array) -> Result<(usize, Vec<usize>), Stop> {
    let (rows, rest) =
        array.dims().split_first().ok_or_else(|| mismatch("expected rows, found a number"))?;
    Ok((*rows, rest.to_vec()))
}

pub(super) fn convert_from_batch(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let (blocks, rest) = blocks(cx, op)?;
    let rank = rest.len() + 1;
    let x = moved(cx, input, output)?;
    let mut split: Vec<i64> = blocks.sizes.iter().map(|&size| size as i64).collect();
    split.push(-1);
    split.extend(rest.iter().map(|&size| size as i64));
    let split = cx.emitter.integers("split", &split);
    let y = cx.emitter.add(node("Reshape", &[x.name, split]));
    let y = cx.transpose(&y, &blocks.to_space(rank));
    let mut joined = vec![-1i64];
    for (axis, &size) in rest.iter().enumerate() {
        joined.push((size * blocks.sizes.get(axis).copied().unwrap_or(1)) as i64);
    }
    let sizes = cx.emitter.integers("joined", &joined);
    let y = cx.emitter.add(node("Reshape", &[y, sizes]));
    let axes: Vec<i64> = (1..=blocks.sizes.len() as i64).collect();
    let starts: Vec<i64> = blocks.edges.iter().map(|edges| edges[0] as i64).collect();
    let ends: Vec<i64> = (blocks.edges.iter().enumerate())
        .map(|(axis, edges)| joined[axis + 1] - edges[1] as i64)
        .collect();
    let starts = cx.emitter.integers("starts", &starts);
    let ends = cx.emitter.integers("ends", &ends);
    let axes = cx.emitter.integers("axes", &axes);
    let y = cx.emitter.add(node("Slice", &[y, starts, ends, axes]));
    give_moved(cx, output, y, x.is_raw)
}

pub(super) fn evaluate_from_batch(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let (input, output) = (op.input(0)?, op.output(0)?);
    let blocks = Blocks::new(&cx.ints(op.input(1)?)?, &cx.ints(op.input(2)?)?)?;
    let array = taken(cx, input, output)?;
    let rank = array.rank();
    let (rows, rest) = split_rows(&array)?;
    let rows = rows / blocks.product().max(1);
    let split = [&blocks.sizes[..], &[rows], &rest[..]].concat();
    let mut joined = vec![rows];
    for (axis, &size) in rest.iter().enumerate() {
        joined.push(size * blocks.sizes.get(axis).copied().unwrap_or(1));
    }
    let array = transpose(&array.reshaped(&split)?, &blocks.to_space(rank))?;
    let array = array.reshaped(&joined)?;
    let range = |(axis, edges): (usize, &[usize; 2])| Range {
        axis: axis as i64 + 1,
        start: edges[0] as i64,
        stop: joined.get(axis + 1).map_or(0, |&size| size as i64 - edges[1] as i64),
        step: 1,
    };
    let ranges: Vec<Range> = blocks.edges.iter().enumerate().map(range).collect();
    put(cx, (input, output), slice(&array, &ranges)?)
}
