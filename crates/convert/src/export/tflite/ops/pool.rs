//! Pools of two dimensions of space.

use modelyard_graph::Node;

use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::Writer;
use super::convolution::{pair, slide};
use crate::tflite::schema::Activation;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (Some(input), Some(output)) = (node.input(0), node.output(0)) else {
        return Err(refused("a pool without input or output", ""));
    };
    if node.ints("kernel_shape").map(<[i64]>::len) != Some(2) {
        return Err(refused("a pool of three dimensions of space", ""));
    }
    let (kernel, slide) = (pair(node, "kernel_shape")?, slide(node)?);
    if slide.dilations != [1, 1] {
        return Err(refused(format!("dilations {:?}", slide.dilations), "pool without gaps"));
    }
    if node.op_type == "MaxPool" {
        let (input, made) = cx.through(input, output)?;
        let options = options::pool(slide, kernel, Activation::None);
        cx.with("MAX_POOL_2D", &[Some(input)], &[made], Some(options));
        return Ok(());
    }
    // The integers of an average must stand for what they did before.
    let same = cx.wanted(output).filter(|wanted| {
        let given = cx.quantized(input).and_then(|id| cx.quantization(id));
        given == Some(wanted)
    });
    let (input, made, fused) = match same {
        Some(_) => {
            let (input, made) = cx.through(input, output)?;
            (input, made, Activation::None)
        }
        None => {
            let (fused, output) = cx.fused(output);
            (cx.value(input)?, cx.output(output)?, fused)
        }
    };
    let options = options::pool(slide, kernel, fused);
    cx.with("AVERAGE_POOL_2D", &[Some(input)], &[made], Some(options));
    Ok(())
}
