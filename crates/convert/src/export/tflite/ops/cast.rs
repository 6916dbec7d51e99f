//! `CAST`.

use modelyard_graph::Node;

use super::super::stop::Stop;
use super::super::writer::Writer;
use super::unary::ends;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    if cx.stored(output)?.is_some() {
        // Weights of 16 bits are written where they are used.
        return Ok(());
    }
    let value = cx.value(input)?;
    let made = cx.output(output)?;
    cx.cast(value, made);
    Ok(())
}
