//! Values that are made from shapes, and values that are stretched.

use modelyard_graph::{Constant, ElementType, Node};

use super::super::super::graph::makeable;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::values::Stored;
use super::super::writer::{BOOL, Held, INT32, INT64, Writer, type_of};
use super::unary::ends;

pub(super) fn constant<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let output = node.output(0).ok_or_else(|| refused("no output", ""))?;
    let value = node.tensor("value").ok_or_else(|| refused("a constant that is no tensor", ""))?;
    let stored = Stored { constant: value.clone(), quantization: None };
    let id = cx.stored_tensor(stored, None)?;
    cx.values.insert(output.to_owned(), Held { plain: Some(id), ..Held::default() });
    Ok(())
}

pub(super) fn constant_of_shape<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let zero = Constant::floats("value", &[1], &[0.0]);
    let value = node.tensor("value").unwrap_or(&zero);
    let type_code = type_of(value.element_type)?;
    let bytes = value.bytes().filter(|bytes| bytes.len() * 8 == value.element_type.bits());
    let bytes = bytes.ok_or_else(|| refused("a value that is not one number", ""))?;
    let name = format!("{}/value", cx.label());
    let filler = cx.constant(&name, type_code, &[], bytes.to_vec());
    let sizes = cx.narrow(input)?;
    let made = cx.output(output)?;
    cx.plain("FILL", &[sizes, filler], made);
    Ok(())
}

pub(super) fn expand<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let shape = node.input(1).ok_or_else(|| refused("no shape", ""))?;
    let dims = cx.known_dims(output)?;
    let fixed: Option<Vec<i32>> = dims.iter().map(|dim| Some((*dim)? as i32)).collect();
    let (value, made) = cx.through(input, output)?;
    let sizes = match fixed {
        Some(sizes) => cx.list(&sizes),
        None => {
            // Where the shape says 1, the size stays.
            let wanted = cx.narrow(shape)?;
            let given = cx.sizes_of(value);
            let sizes = cx.typed("sizes", INT32, &[Some(dims.len())]);
            cx.plain("BROADCAST_ARGS", &[given, wanted], sizes);
            sizes
        }
    };
    cx.plain("BROADCAST_TO", &[value, sizes], made);
    Ok(())
}

pub(super) fn shape<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len() as i64;
    let bound = |name: &str, default: i64| {
        let value = node.int(name).unwrap_or(default);
        (if value < 0 { value + rank } else { value }).clamp(0, rank)
    };
    let (start, end) = (bound("start", 0), bound("end", rank));
    let value = match cx.quantized(input) {
        Some(id) => id,
        None => cx.value(input)?,
    };
    let made = cx.output(output)?;
    if (start, end) == (0, rank) {
        cx.with("SHAPE", &[Some(value)], &[made], Some(options::shape(INT64)));
        return Ok(());
    }
    let whole = cx.typed("SHAPE", INT64, &[Some(rank as usize)]);
    cx.with("SHAPE", &[Some(value)], &[whole], Some(options::shape(INT64)));
    let lists = [cx.list(&[start as i32]), cx.list(&[end.max(start) as i32]), cx.list(&[1])];
    let inputs = [Some(whole), Some(lists[0]), Some(lists[1]), Some(lists[2])];
    cx.with("STRIDED_SLICE", &inputs, &[made], Some(options::strided_slice(0, 0)));
    Ok(())
}

pub(super) fn range<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let output = node.output(0).ok_or_else(|| refused("no output", ""))?;
    let inputs = [cx.input(node, 0)?, cx.input(node, 1)?, cx.input(node, 2)?];
    let made = cx.output(output)?;
    cx.plain("RANGE", &inputs, made);
    Ok(())
}

/// What is above or below a diagonal: chosen by booleans that are constants.
pub(super) fn triangle<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let dims = cx.known_dims(input)?;
    let upper = node.int("upper").unwrap_or(1) != 0;
    let shift = match node.input(1) {
        None => Some(0),
        Some(_) => cx.facts.number(node, 1).map(|shift| shift as i64),
    };
    let [.., Some(rows), Some(columns)] = dims[..] else {
        return Err(refused("a matrix of open sizes", "give the model inputs of a fixed shape"));
    };
    let shift = shift.ok_or_else(|| refused("a diagonal that is computed", ""))?;
    if cx.facts.element_type(input) != Some(ElementType::Float32) {
        return Err(refused("values that are not float", "compute it in float"));
    }
    if makeable(&[rows, columns]).is_none() {
        let reason = format!("a triangle of {rows} rows and {columns} columns");
        return Err(refused(reason, "use smaller matrices"));
    }
    let is_kept = |row: usize, column: usize| {
        let distance = column as i64 - row as i64;
        if upper { distance >= shift } else { distance <= shift }
    };
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let kept: Vec<u8> = places.map(|(row, column)| is_kept(row, column).into()).collect();
    let name = format!("{}/kept", cx.label());
    let kept = cx.constant(&name, BOOL, &[rows, columns], kept);
    let zero = cx.scalar(0.0);
    let value = cx.value(input)?;
    let made = cx.output(output)?;
    cx.plain("SELECT_V2", &[kept, value, zero], made);
    Ok(())
}
