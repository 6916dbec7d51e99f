//! `DepthToSpace` and `SpaceToDepth`: blocks of pixels to channels and back. The channels of one
//! pixel stay together: channel `(y * block + x) * depth + c` is channel `c` of pixel `(y, x)`.

use modelyard_tensor::Dim;

use super::layout::Layout;
use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::{Refusal, fixed};

/// Pixels along the side of a block.
const MAX_BLOCK: usize = 1 << 12;

const WAY_OUT: &str = "give the input a fixed size when it is exported";

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let layout = Layout::of(&call.node.attrs);
    let block = usize::try_from(call.node.attrs.int("block_size", 1)).unwrap_or(0);
    let (x, dims) = layout.channels_first(context, value)?;
    let [batch, channels, height, width] = dims.as_slice() else {
        return Err(Refusal::new("images of another rank than 4", "the file may be damaged"));
    };
    let map = |dim: &Dim, f: &dyn Fn(usize) -> Option<usize>| {
        fixed(dim).and_then(f).map_or(Dim::Free, Dim::Fixed)
    };
    if !(1..=MAX_BLOCK).contains(&block) {
        return Err(Refusal::new(format!("blocks of {block}"), "the file may be damaged"));
    }
    let area = block * block;
    if call.node.op == "DepthToSpace" {
        let written = node("DepthToSpace", &[x]).with("blocksize", block as i64);
        let found = context.add_node(written.with("mode", "DCR"));
        let larger = |size: usize| size.checked_mul(block);
        let out = vec![
            batch.clone(),
            map(channels, &|size| Some(size / area)),
            map(height, &larger),
            map(width, &larger),
        ];
        return Ok(vec![layout.back(context, found, value.element_type, out)]);
    }
    // Not every engine has SpaceToDepth, so it is written as what it is.
    let (Some(channels), Some(height), Some(width)) =
        (fixed(channels), fixed(height), fixed(width))
    else {
        return Err(Refusal::new("blocks of images of any size", WAY_OUT));
    };
    if !height.is_multiple_of(block) || !width.is_multiple_of(block) {
        return Err(Refusal::new("blocks that do not fit the image", WAY_OUT));
    }
    let (rows, columns) = (height / block, width / block);
    let sizes = [channels, rows, block, columns, block].map(|size| size as i64);
    let split = context.reshape(&x, &[&[-1], sizes.as_slice()].concat());
    let moved = context.transpose(&split, &[0, 3, 5, 1, 2, 4]);
    let out = [channels.saturating_mul(area), rows, columns];
    let joined = context.reshape(&moved, &[-1, out[0] as i64, out[1] as i64, out[2] as i64]);
    let dims = [std::slice::from_ref(batch), out.map(Dim::Fixed).as_slice()].concat();
    Ok(vec![layout.back(context, joined, value.element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let layout = Layout::of(given.attrs());
    let block = usize::try_from(given.attrs().int("block_size", 1)).unwrap_or(0);
    let x = layout.array_first(given.input(0)?)?;
    let &[batch, channels, height, width] = x.dims() else {
        return Err(EvaluateError::new("expected images of rank 4"));
    };
    let found: Array = if !(1..=MAX_BLOCK).contains(&block) {
        return Err(EvaluateError::new(format!("blocks of {block}")));
    } else if given.node.op == "DepthToSpace" {
        let depth = channels / (block * block);
        let split = x.reshaped(&[batch, block, block, depth, height, width])?;
        let moved = shape::transpose(&split, &[0, 3, 4, 1, 5, 2])?;
        moved.reshaped(&[batch, depth, height * block, width * block])?
    } else {
        let (rows, columns) = (height / block, width / block);
        let split = x.reshaped(&[batch, channels, rows, block, columns, block])?;
        let moved = shape::transpose(&split, &[0, 3, 5, 1, 2, 4])?;
        moved.reshaped(&[batch, channels * block * block, rows, columns])?
    };
    Ok(vec![layout.array_back(found)?])
}
