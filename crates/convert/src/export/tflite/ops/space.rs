//! Blocks of space and depth; normalization by neighbouring channels.

use modelyard_graph::Node;

use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::Writer;
use super::unary::ends;

pub(super) fn blocks<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let size =
        node.int("blocksize").and_then(|size| i32::try_from(size).ok()).filter(|&size| size > 0);
    let size = size.ok_or_else(|| refused("no size of blocks", ""))?;
    let to_depth = node.op_type == "SpaceToDepth";
    let operator = if to_depth { "SPACE_TO_DEPTH" } else { "DEPTH_TO_SPACE" };
    let (value, made) = cx.through(input, output)?;
    cx.with(operator, &[Some(value)], &[made], Some(options::blocks(to_depth, size)));
    Ok(())
}

pub(super) fn response_normalization<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let size = node.int("size").and_then(|size| i32::try_from(size).ok()).unwrap_or(0);
    if size < 1 || size % 2 == 0 {
        return Err(refused(format!("{size} neighbours"), "use an odd number"));
    }
    let number = |name: &str, default: f32| node.float(name).unwrap_or(default);
    let alpha = number("alpha", 1e-4) / size as f32;
    let options = options::response_normalization(
        (size - 1) / 2,
        [number("bias", 1.0), alpha, number("beta", 0.75)],
    );
    let value = cx.value(input)?;
    let made = cx.output(output)?;
    cx.with("LOCAL_RESPONSE_NORMALIZATION", &[Some(value)], &[made], Some(options));
    Ok(())
}
