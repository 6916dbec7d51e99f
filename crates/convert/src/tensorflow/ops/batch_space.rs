//! `SpaceToBatchND` and `BatchToSpaceND`: every so many-th element becomes an image of its own, and
//! back. Older graphs dilate convolutions with them.

use modelyard_tensor::Dim;

use super::{Evaluated, Given, pad};
use crate::EvaluateError;
use crate::reference::shape::{self, Padding, Range};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, fixed};

/// Elements along an axis, and padding of it.
const MAX_SIZE: i64 = 1 << 24;

const WAY_OUT: &str = "give the input a fixed size when it is exported";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let block = context.integers(call.input(1)?, "the size of blocks")?;
    let pairs = context.integers(call.input(2)?, "padding")?;
    let dims = value.known_dims()?.to_vec();
    let count = block.len();
    let fits = |list: &[i64], least: i64| list.iter().all(|size| (least..MAX_SIZE).contains(size));
    if !fits(&block, 1) || !fits(&pairs, 0) || pairs.len() != 2 * count || dims.len() <= count {
        return Err(Refusal::new(
            format!("blocks {block:?} with {pairs:?}"),
            "the file may be damaged",
        ));
    }
    let sizes: Option<Vec<i64>> =
        dims[1..].iter().map(|dim| i64::try_from(fixed(dim)?).ok()).collect();
    let sizes = sizes.filter(|sizes| fits(sizes, 0));
    let sizes = sizes.ok_or_else(|| Refusal::new("blocks of images of any size", WAY_OUT))?;
    let (spatial, inner) = sizes.split_at(count);
    let plan = Plan { block: &block, pairs: pairs.as_chunks::<2>().0, spatial, inner };
    let (found, out) = match call.node.op.as_str() {
        "SpaceToBatchND" => {
            let all = [&[0, 0], pairs.as_slice(), &vec![0; 2 * inner.len()]].concat();
            let x = pad::with_zeros(context, value, &all)?;
            plan.to_batch(context, &x)?
        }
        _ => {
            let x = context.name(value)?;
            plan.to_space(context, &x)
        }
    };
    let dims = std::iter::once(Dim::Free)
        .chain(out.iter().map(|&size| usize::try_from(size).map_or(Dim::Free, Dim::Fixed)));
    Ok(vec![context.value(found, value.element_type, Some(dims.collect()))])
}

struct Plan<'a> {
    block: &'a [i64],
    pairs: &'a [[i64; 2]],
    spatial: &'a [i64],
    inner: &'a [i64],
}

impl Plan<'_> {
    /// Gives what comes out, and its sizes but for the batch.
    fn to_batch(&self, context: &mut Context<'_>, x: &str) -> Result<(String, Vec<i64>), Refusal> {
        let count = self.block.len();
        let mut split = vec![-1];
        let mut out = Vec::new();
        for ((size, block), [before, after]) in self.spatial.iter().zip(self.block).zip(self.pairs)
        {
            let whole = size + before + after;
            if whole % block != 0 {
                return Err(Refusal::new("blocks that do not fit the image", WAY_OUT));
            }
            split.extend([whole / block, *block]);
            out.push(whole / block);
        }
        split.extend(self.inner);
        out.extend(self.inner);
        let split = context.reshape(x, &split);
        let order: Vec<usize> = (0..count)
            .map(|axis| 2 * axis + 2)
            .chain([0])
            .chain((0..count).map(|axis| 2 * axis + 1))
            .chain(2 * count + 1..2 * count + 1 + self.inner.len())
            .collect();
        let moved = context.transpose(&split, &order);
        let found = context.reshape(&moved, &[&[-1], out.as_slice()].concat());
        Ok((found, out))
    }

    fn to_space(&self, context: &mut Context<'_>, x: &str) -> (String, Vec<i64>) {
        let count = self.block.len();
        let split = [self.block, &[-1], self.spatial, self.inner].concat();
        let split = context.reshape(x, &split);
        let order: Vec<usize> = std::iter::once(count)
            .chain((0..count).flat_map(|axis| [count + 1 + axis, axis]))
            .chain(2 * count + 1..2 * count + 1 + self.inner.len())
            .collect();
        let moved = context.transpose(&split, &order);
        let whole: Vec<i64> =
            self.spatial.iter().zip(self.block).map(|(size, block)| size * block).collect();
        let shape = [&[-1], whole.as_slice(), self.inner].concat();
        let joined = context.reshape(&moved, &shape);
        let starts: Vec<i64> = self.pairs.iter().map(|pair| pair[0]).collect();
        let ends: Vec<i64> =
            whole.iter().zip(self.pairs).map(|(size, pair)| size - pair[1]).collect();
        let out: Vec<i64> = starts.iter().zip(&ends).map(|(start, end)| end - start).collect();
        let out = [out.as_slice(), self.inner].concat();
        if self.pairs.iter().all(|pair| *pair == [0, 0]) {
            return (joined, out);
        }
        let axes: Vec<i64> = (1..=count as i64).collect();
        let lists = [("starts", &starts), ("ends", &ends), ("axes", &axes)];
        let [starts, ends, axes] =
            lists.map(|(name, values)| context.emitter.integers(name, values));
        (context.add("Slice", &[joined, starts, ends, axes]), out)
    }
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    let block = super::sizes(&given.integers(1)?)?;
    let pairs = given.integers(2)?;
    let (pairs, _) = pairs.as_chunks::<2>();
    let count = block.len();
    let is_small = |&size: &usize| (1..MAX_SIZE as usize).contains(&size);
    if x.rank() <= count || pairs.len() != count || count > 3 || !block.iter().all(is_small) {
        return Err(EvaluateError::new("the blocks do not fit the image"));
    }
    let inner = x.rank() - 1 - count;
    let total: usize = block.iter().fold(1, |total, &size| total.saturating_mul(size));
    if given.node.op == "SpaceToBatchND" {
        let side = |which: usize| -> Vec<i64> {
            let pads = pairs.iter().map(|pair| pair[which]);
            [0].into_iter().chain(pads).chain(std::iter::repeat_n(0, inner)).collect()
        };
        let padded = shape::pad(x, &side(0), &side(1), Padding::Constant(0.0))?;
        let mut split = vec![padded.dims()[0]];
        for (axis, &block) in block.iter().enumerate() {
            split.extend([padded.dims()[axis + 1] / block, block]);
        }
        split.extend(&padded.dims()[count + 1..]);
        let mut out = vec![padded.dims()[0].saturating_mul(total)];
        out.extend(block.iter().enumerate().map(|(axis, block)| padded.dims()[axis + 1] / block));
        out.extend(&padded.dims()[count + 1..]);
        let blocks = (0..count).map(|axis| 2 * axis + 2);
        let rest = (0..count).map(|axis| 2 * axis + 1);
        let order: Vec<usize> =
            blocks.chain([0]).chain(rest).chain(2 * count + 1..split.len()).collect();
        return Ok(vec![shape::transpose(&padded.reshaped(&split)?, &order)?.reshaped(&out)?]);
    }
    let batch = x.dims()[0] / total;
    let split = [block.as_slice(), &[batch], &x.dims()[1..]].concat();
    let pairs_of = (0..count).flat_map(|axis| [count + 1 + axis, axis]);
    let order: Vec<usize> =
        std::iter::once(count).chain(pairs_of).chain(2 * count + 1..split.len()).collect();
    let mut out = vec![batch];
    out.extend(block.iter().enumerate().map(|(axis, block)| x.dims()[axis + 1] * block));
    out.extend(&x.dims()[count + 1..]);
    let joined = shape::transpose(&x.clone().reshaped(&split)?, &order)?.reshaped(&out)?;
    let crop = |(axis, pair): (usize, &[i64; 2])| Range {
        axis: axis as i64 + 1,
        start: pair[0],
        stop: out[axis + 1] as i64 - pair[1],
        step: 1,
    };
    let ranges: Vec<Range> = pairs.iter().enumerate().map(crop).collect();
    Ok(vec![shape::slice(&joined, &ranges)?])
}
