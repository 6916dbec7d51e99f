//! What is put around a value.

use modelyard_graph::{ElementType, Node};

use super::super::super::graph::{axis, makeable};
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{INT8, Id, Writer};
use super::unary::ends;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let dims = cx.known_dims(input)?;
    let pads = pads(cx, node, dims.len())?;
    if pads.iter().flatten().any(|&pad| pad < 0) {
        return Err(refused("negative pads, which cut off", "cut with Slice"));
    }
    if let Some(pad) = pads.iter().flatten().find(|&&pad| i32::try_from(pad).is_err()) {
        return Err(refused(format!("a border of {pad} elements"), "pad by less"));
    }
    let mode = node.string("mode").unwrap_or("constant");
    match mode {
        "constant" => constant(cx, node, &pads),
        "reflect" => {
            let (value, made) = cx.through(input, output)?;
            let list = paddings(cx, &pads);
            let options = options::mirror_pad(false);
            cx.with("MIRROR_PAD", &[Some(value), Some(list)], &[made], Some(options));
            Ok(())
        }
        "edge" | "wrap" => gathered(cx, node, &dims, &pads),
        _ => Err(refused(format!("mode '{mode}'"), "")),
    }
}

/// Before and behind, by axis.
fn pads(cx: &Writer<'_>, node: &Node, rank: usize) -> Result<Vec<[i64; 2]>, Stop> {
    let stated = cx.facts.integers(node, 1);
    let stated = stated.ok_or_else(|| refused("pads that are computed", "pad by constants"))?;
    let axes: Option<Vec<usize>> = match node.input(3) {
        None => Some((0..rank).collect()),
        Some(_) => {
            let list = cx.facts.integers(node, 3);
            list.and_then(|list| list.iter().map(|&item| axis(item, rank)).collect())
        }
    };
    let axes = axes.ok_or_else(|| refused("axes that are computed", "state them as constants"))?;
    if stated.len() != 2 * axes.len() {
        return Err(refused("pads that do not fit the axes", "the model is damaged"));
    }
    let mut pads = vec![[0, 0]; rank];
    for (index, &axis) in axes.iter().enumerate() {
        pads[axis] = [stated[index], stated[index + axes.len()]];
    }
    Ok(pads)
}

fn paddings(cx: &mut Writer<'_>, pads: &[[i64; 2]]) -> Id {
    let list: Vec<i64> = pads.iter().flatten().copied().collect();
    let list = super::super::constants::narrowed(&list);
    cx.ints(&[pads.len(), 2], &list)
}

fn constant(cx: &mut Writer<'_>, node: &Node, pads: &[[i64; 2]]) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let filler = match node.input(2) {
        None => Some(0.0),
        Some(_) => cx.facts.number(node, 2),
    };
    if let Some(filler) = filler {
        let (value, made) = cx.through(input, output)?;
        let list = paddings(cx, pads);
        // Integers that stand for real numbers are padded with what stands for zero, unless ONNX pads
        // the integers themselves.
        let is_real = cx.facts.element_type(input) == Some(ElementType::Float32);
        let has_steps = cx.quantization(value).is_some() && !is_real;
        if filler == 0.0 && !has_steps {
            cx.plain("PAD", &[value, list], made);
        } else {
            let below = if cx.is_shifted(input) { 128.0 } else { 0.0 };
            let filler = match has_steps {
                true => steps(cx, filler - below, value),
                false => filler_like(cx, filler, value)?,
            };
            cx.plain("PADV2", &[value, list, filler], made);
        }
        return Ok(());
    }
    let (value, filler) = (cx.value(input)?, cx.input(node, 2)?);
    let made = cx.output(output)?;
    let list = paddings(cx, pads);
    cx.plain("PADV2", &[value, list, filler], made);
    Ok(())
}

/// An 8-bit integer as it is, beside integers that stand for real numbers.
fn steps(cx: &mut Writer<'_>, filler: f64, value: Id) -> Id {
    let tensor = cx.tensor(value).clone();
    let name = format!("{}/filler", cx.label());
    let bytes = (filler as i8).to_le_bytes().to_vec();
    let id = cx.constant(&name, tensor.type_code, &[], bytes);
    cx.file.tensors[id].quantization = tensor.quantization;
    id
}

/// A number in the type of a value: integers that stand for real numbers as close as they come.
pub(super) fn filler_like(cx: &mut Writer<'_>, filler: f64, value: Id) -> Result<Id, Stop> {
    let tensor = cx.tensor(value).clone();
    let name = format!("{}/filler", cx.label());
    let bytes = match (tensor.type_code, &tensor.quantization) {
        (INT8, Some(quantization)) => {
            let (scale, zero_point) = (quantization.scales[0], quantization.zero_points[0]);
            let steps = (filler / f64::from(scale)).round() + zero_point as f64;
            (steps.clamp(-128.0, 127.0) as i8).to_le_bytes().to_vec()
        }
        (0, _) => (filler as f32).to_le_bytes().to_vec(),
        (2, _) => (filler as i32).to_le_bytes().to_vec(),
        (4, _) => (filler as i64).to_le_bytes().to_vec(),
        (INT8, None) => (filler as i8).to_le_bytes().to_vec(),
        (3, None) => (filler as u8).to_le_bytes().to_vec(),
        _ => return Err(refused("padding of values of this type", "pad floats")),
    };
    let id = cx.constant(&name, tensor.type_code, &[], bytes);
    cx.file.tensors[id].quantization = tensor.quantization;
    Ok(id)
}

/// The border itself, or what is at the other end: gathered along each axis.
fn gathered(
    cx: &mut Writer<'_>,
    node: &Node,
    dims: &[Option<usize>],
    pads: &[[i64; 2]],
) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let wraps = node.string("mode") == Some("wrap");
    let (mut value, made) = cx.through(input, output)?;
    let axes: Vec<usize> = (0..pads.len()).filter(|&axis| pads[axis] != [0, 0]).collect();
    let mut dims = dims.to_vec();
    for (index, &axis) in axes.iter().enumerate() {
        let size =
            dims[axis].ok_or_else(|| refused("a border of an axis of open size", ""))? as i64;
        let [before, behind] = pads[axis];
        let whole = size.saturating_add(before).saturating_add(behind);
        if usize::try_from(whole).ok().and_then(|whole| makeable(&[whole])).is_none() {
            return Err(refused(format!("an axis of {whole} elements"), "pad by less"));
        }
        let place = |place: i64| {
            if wraps { place.rem_euclid(size.max(1)) } else { place.clamp(0, size - 1) }
        };
        let places: Vec<i64> = (-before..size + behind).map(place).collect();
        dims[axis] = Some(places.len());
        let places = cx.list(&super::super::constants::narrowed(&places));
        let is_last = index + 1 == axes.len();
        let next = if is_last { made } else { cx.between("GATHER", value, &dims) };
        let options = options::gather(axis as i32);
        cx.with("GATHER", &[Some(value), Some(places)], &[next], Some(options));
        value = next;
    }
    if axes.is_empty() {
        return cx.reshape_into(value, made, &dims);
    }
    Ok(())
}
