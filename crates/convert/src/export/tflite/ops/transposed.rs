//! `TRANSPOSE_CONV`: filters `[out, height, width, in]`, the sizes of the result first.

use modelyard_graph::Node;

use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{INT32, Id, Writer};
use super::convolution::{Weighted, pair, slide};
use crate::tflite::schema::Padding;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (Some(input), Some(weights), Some(output)) = (node.input(0), node.input(1), node.output(0))
    else {
        return Err(refused("a convolution without weights", ""));
    };
    let Some([_, out, height, width]) =
        cx.facts.sizes(weights).and_then(|sizes| <[usize; 4]>::try_from(sizes).ok())
    else {
        return Err(refused("a transposed convolution of other than two dimensions", ""));
    };
    let slide = slide(node)?;
    let dims = cx.known_dims(output)?;
    let order = vec![1, 2, 3, 0];
    let bias = node.input(2);
    let (fused, behind) = cx.fused(output);
    let sum = Weighted { input, weights, order, channels: 0, bias, output: behind };
    let tensors = cx.weighted(&sum)?;
    let extra = match node.ints("output_padding") {
        Some(_) => pair(node, "output_padding")?,
        None => [0, 0],
    };
    let kernel = [height as i32, width as i32];
    let beyond = |axis: usize| match slide.padding {
        Padding::Same => 0,
        Padding::Valid => {
            kernel[axis].saturating_sub(slide.strides[axis]).saturating_add(extra[axis])
        }
    };
    let reach = Reach { strides: slide.strides, beyond: [beyond(0), beyond(1)], out: out as i32 };
    let sizes = sizes(cx, tensors.input, &dims, &reach);
    let inputs = [Some(sizes), Some(tensors.weights), Some(tensors.input), Some(tensors.bias)];
    let options = options::transpose_conv(slide, fused);
    cx.with("TRANSPOSE_CONV", &inputs, &[tensors.output], Some(options));
    Ok(())
}

/// The sizes of the result by those of the input: times the stride, and this much beyond.
struct Reach {
    strides: [i32; 2],
    beyond: [i32; 2],
    out: i32,
}

fn sizes(cx: &mut Writer<'_>, input: Id, dims: &[Option<usize>], reach: &Reach) -> Id {
    let fixed: Option<Vec<i32>> = dims.iter().map(|dim| Some((*dim)? as i32)).collect();
    if let Some(fixed) = fixed {
        return cx.list(&fixed);
    }
    let given = cx.sizes_of(input);
    let [height, width] = reach.strides;
    let factors = cx.list(&[1, height, width, 0]);
    let [height, width] = reach.beyond;
    let summands = cx.list(&[0, height, width, reach.out]);
    let scaled = cx.typed("scaled", INT32, &[Some(4)]);
    cx.arithmetic("MUL", &[given, factors], scaled);
    let sizes = cx.typed("sizes", INT32, &[Some(4)]);
    cx.arithmetic("ADD", &[scaled, summands], sizes);
    sizes
}
