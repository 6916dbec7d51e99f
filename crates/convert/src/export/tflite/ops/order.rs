//! The largest, the order of elements, sums along the way.

use modelyard_graph::{ElementType, Node};

use super::super::super::graph::axis;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{INT32, INT64, Writer};
use super::unary::ends;

pub(super) fn arg<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    if node.int("select_last_index").unwrap_or(0) != 0 {
        return Err(refused("the last of several", "take the first"));
    }
    let dims = cx.known_dims(input)?;
    let along = axis(node.int("axis").unwrap_or(0), dims.len())
        .ok_or_else(|| refused("an axis that is not there", ""))?;
    let largest = node.op_type == "ArgMax";
    let operator = if largest { "ARG_MAX" } else { "ARG_MIN" };
    let value = match cx.quantized(input) {
        Some(id) => id,
        None => {
            let id = cx.value(input)?;
            let is_short = matches!(
                cx.facts.element_type(input),
                Some(ElementType::Int16 | ElementType::Uint16)
            );
            if is_short { cx.narrow_tensor(id) } else { id }
        }
    };
    let made = cx.output(output)?;
    let place = cx.ints(&[], &[along as i32]);
    let options = options::arg(largest, INT64);
    if node.int("keepdims").unwrap_or(1) == 0 {
        cx.with(operator, &[Some(value), Some(place)], &[made], Some(options));
        return Ok(());
    }
    let mut less = dims;
    less.remove(along);
    let found = cx.typed(operator, INT64, &less);
    cx.with(operator, &[Some(value), Some(place)], &[found], Some(options));
    cx.plain("EXPAND_DIMS", &[found, place], made);
    Ok(())
}

pub(super) fn top_k<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let input = node.input(0).ok_or_else(|| refused("no input", ""))?;
    let dims = cx.known_dims(input)?;
    let along = axis(node.int("axis").unwrap_or(-1), dims.len());
    if along.map(|along| along + 1) != Some(dims.len()) {
        return Err(refused("an axis other than the last", "transpose before"));
    }
    if node.int("largest").unwrap_or(1) == 0 {
        return Err(refused("the smallest", "take the largest of the negative"));
    }
    let count = node.input(1).ok_or_else(|| refused("no count", ""))?;
    let count = match cx.facts.number(node, 1) {
        Some(count) => cx.ints(&[], &[count as i32]),
        None => {
            let id = cx.narrow(count)?;
            cx.reshaped(id, &[])
        }
    };
    let value = cx.value(input)?;
    let result = |slot: usize| node.output(slot).and_then(|name| cx.dims_of(name));
    let sizes = result(0).or(result(1)).unwrap_or_default();
    let values = match node.output(0) {
        Some(name) => cx.output(name)?,
        None => cx.between("values", value, &sizes),
    };
    let places = cx.typed("places", INT32, &sizes);
    let inputs = [Some(value), Some(count)];
    cx.with("TOPK_V2", &inputs, &[values, places], options::none("TOPK_V2"));
    if let Some(name) = node.output(1) {
        let made = cx.output(name)?;
        cx.cast(places, made);
    }
    Ok(())
}

pub(super) fn cumulative<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len();
    let along = cx.facts.number(node, 1).and_then(|along| axis(along as i64, rank));
    let along =
        along.ok_or_else(|| refused("an axis that is computed", "state it as a constant"))?;
    let value = cx.value(input)?;
    let made = cx.output(output)?;
    let place = cx.ints(&[], &[along as i32]);
    let is = |name: &str| node.int(name).unwrap_or(0) != 0;
    let options = options::cumulative(is("exclusive"), is("reverse"));
    cx.with("CUMSUM", &[Some(value), Some(place)], &[made], Some(options));
    Ok(())
}
