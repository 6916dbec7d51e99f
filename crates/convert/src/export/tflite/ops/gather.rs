//! Elements at places that are given.

use modelyard_graph::{ElementType, Node};

use super::super::super::graph::{axis, fixed};
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{BOOL, FLOAT, INT64, Id, Writer};
use super::unary::ends;

pub(super) fn gather<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len();
    let along = axis(node.int("axis").unwrap_or(0), rank)
        .ok_or_else(|| refused("an axis that is not there", ""))?;
    let places = places(cx, node, along)?;
    let (value, made) = cx.through(input, output)?;
    let options = options::gather(along as i32);
    cx.with("GATHER", &[Some(value), Some(places)], &[made], Some(options));
    Ok(())
}

/// Places counted from the front: those from the back are known to be such only if they are
/// constants.
fn places(cx: &mut Writer<'_>, node: &Node, along: usize) -> Result<Id, Stop> {
    let name = node.input(1).ok_or_else(|| refused("no places", ""))?;
    let dims = node.input(0).and_then(|input| cx.facts.dims(input));
    let size = dims.and_then(|dims| fixed(dims.get(along)?));
    if let Some(stated) = cx.facts.integers(node, 1) {
        if stated.iter().all(|&place| place >= 0) {
            return cx.narrow(name);
        }
        let size =
            size.ok_or_else(|| refused("places from the end of an axis of open size", ""))?;
        let places: Vec<i64> = stated
            .iter()
            .map(|&place| if place < 0 { place + size as i64 } else { place })
            .collect();
        let dims = cx.facts.sizes(name).unwrap_or_default();
        return Ok(cx.ints(&dims, &super::super::constants::narrowed(&places)));
    }
    cx.note(
        "computed places of Gather must not count from the end (negative), as TensorFlow has it",
    );
    cx.value(name)
}

pub(super) fn gather_nd<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    if node.int("batch_dims").unwrap_or(0) != 0 {
        return Err(refused("batch_dims", "gather without batch dimensions"));
    }
    let places = cx.input(node, 1)?;
    let (value, made) = cx.through(input, output)?;
    cx.plain("GATHER_ND", &[value, places], made);
    Ok(())
}

pub(super) fn non_zero<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len();
    let mut value = cx.value(input)?;
    if cx.tensor(value).type_code != BOOL {
        let zero = match cx.tensor(value).type_code {
            FLOAT => cx.scalar(0.0),
            _ => return Err(refused("other than booleans and floats", "compare with zero first")),
        };
        let dims = cx.tensor(value).dims.clone();
        let is_there = cx.typed("NOT_EQUAL", BOOL, &dims);
        cx.plain("NOT_EQUAL", &[value, zero], is_there);
        value = is_there;
    }
    let places = cx.typed("WHERE", INT64, &[None, Some(rank)]);
    cx.plain("WHERE", &[value], places);
    let made = cx.output(output)?;
    let order = cx.list(&[1, 0]);
    cx.plain("TRANSPOSE", &[places, order], made);
    Ok(())
}

pub(super) fn one_hot<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(output)?.len();
    let along = node.int("axis").unwrap_or(-1);
    let place = axis(along, rank).ok_or_else(|| refused("an axis that is not there", ""))?;
    let depth = cx.facts.number(node, 1);
    let depth =
        depth.ok_or_else(|| refused("a depth that is computed", "state it as a constant"))?;
    let Some([off, on]) =
        cx.facts.floats(node, 2).and_then(|values| <[f32; 2]>::try_from(values).ok())
    else {
        return Err(refused("values that are computed or not float", "state them as constants"));
    };
    if cx.facts.element_type(input).is_some_and(|found| !is_integral(found)) {
        return Err(refused("places that are not integers", "cast them to int32"));
    }
    let places = cx.narrow(input)?;
    let depth = cx.ints(&[], &[depth as i32]);
    let (on, off) = (cx.scalar(on), cx.scalar(off));
    let made = cx.output(output)?;
    let last = if place + 1 == rank { -1 } else { place as i32 };
    let inputs = [Some(places), Some(depth), Some(on), Some(off)];
    cx.note("places of OneHot must not count from the end (negative), as TensorFlow has it");
    cx.with("ONE_HOT", &inputs, &[made], Some(options::one_hot(last)));
    Ok(())
}

fn is_integral(element_type: ElementType) -> bool {
    matches!(element_type, ElementType::Int32 | ElementType::Int64 | ElementType::Uint8)
}
