//! Values side by side, and taken apart.

use modelyard_graph::Node;

use super::super::super::graph::axis;
use super::super::file::Quantization;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{Id, Writer};

pub(super) fn concat<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let output = node.output(0).ok_or_else(|| refused("no output", ""))?;
    let rank = cx.known_dims(output)?.len();
    let along = axis(node.int("axis").unwrap_or(0), rank)
        .ok_or_else(|| refused("an axis that is not there", ""))?;
    let (values, made) = match integers(cx, node, output)? {
        Some(found) => found,
        None => {
            let mut values = Vec::new();
            for slot in 0..node.inputs.len() {
                values.push(cx.input(node, slot)?);
            }
            (values, cx.output(output)?)
        }
    };
    let inputs: Vec<Option<Id>> = values.into_iter().map(Some).collect();
    cx.with("CONCATENATION", &inputs, &[made], Some(options::concatenation(along as i32)));
    Ok(())
}

/// Integers of one quantization, where all are integers: of that which is wanted, or which they have.
fn integers(cx: &mut Writer<'_>, node: &Node, output: &str) -> Result<Option<(Vec<Id>, Id)>, Stop> {
    let quantized: Option<Vec<Id>> = node.inputs.iter().map(|input| cx.quantized(input)).collect();
    let Some(quantized) = quantized else { return Ok(None) };
    let first = quantized.first().and_then(|&id| cx.quantization(id)).cloned();
    let same = first.filter(|first| quantized.iter().all(|&id| cx.quantization(id) == Some(first)));
    let wanted: Option<Quantization> = cx.wanted(output).or(same);
    let Some(wanted) = wanted else { return Ok(None) };
    let values = quantized.into_iter().map(|id| cx.requantized(id, &wanted)).collect();
    Ok(Some((values, cx.quantized_output(output, wanted))))
}

pub(super) fn split<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let input = node.input(0).ok_or_else(|| refused("no input", ""))?;
    let dims = cx.known_dims(input)?;
    let along = axis(node.int("axis").unwrap_or(0), dims.len())
        .ok_or_else(|| refused("an axis that is not there", ""))?;
    let count = node.outputs.len();
    let mut sizes = Vec::new();
    for output in &node.outputs {
        sizes.push(cx.dims_of(output).and_then(|dims| dims.get(along).copied().flatten()));
    }
    let sizes: Option<Vec<i32>> = sizes.into_iter().map(|size| Some(size? as i32)).collect();
    let mut made = Vec::new();
    let mut value = None;
    for (index, output) in node.outputs.iter().enumerate() {
        let name =
            if output.is_empty() { format!("{}/{index}", cx.label()) } else { output.clone() };
        let (taken, given) = cx.through(input, &name)?;
        value = Some(taken);
        made.push(given);
    }
    let place = cx.ints(&[], &[along as i32]);
    let is_even =
        sizes.as_ref().is_none_or(|sizes| sizes.windows(2).all(|pair| pair[0] == pair[1]));
    if is_even {
        let options = options::split(count as i32);
        cx.with("SPLIT", &[Some(place), value], &made, Some(options));
    } else {
        let sizes = cx.list(&sizes.unwrap_or_default());
        let options = options::split_by_sizes(count as i32);
        cx.with("SPLIT_V", &[value, Some(sizes), Some(place)], &made, Some(options));
    }
    Ok(())
}
