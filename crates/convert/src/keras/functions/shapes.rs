//! Other shapes and orders of the same elements.

use modelyard_tensor::Dim;

use crate::emitter::node;
use crate::keras::converter::{Converter, Size};
use crate::keras::fault::Fault;
use crate::keras::functions::Entry;
use crate::keras::functions::bound::Bound;
use crate::keras::layers::resize::repeated;
use crate::keras::value::{Value, axis_of, derived, fixed};
use crate::reference::shape;

/// The functions.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        names: &["Reshape"],
        parameters: &["x", "newshape"],
        convert: reshape,
        evaluate: |bound| {
            let x = bound.value("x")?;
            let wanted = needed(bound, "newshape")?;
            let known: usize =
                wanted.iter().filter_map(|&size| usize::try_from(size).ok()).product();
            let rest = x.len().checked_div(known).unwrap_or(0);
            let dims: Vec<usize> =
                wanted.iter().map(|&size| usize::try_from(size).unwrap_or(rest)).collect();
            Ok(vec![x.clone().reshaped(&dims)?])
        },
    },
    Entry {
        names: &["Ravel"],
        parameters: &["x"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            Ok(vec![to.reshape(x, &[Size::Rest])])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            Ok(vec![x.clone().reshaped(&[x.len()])?])
        },
    },
    Entry {
        names: &["Squeeze"],
        parameters: &["x", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let axes = match bound.integers("axis")? {
                Some(axes) => places(&axes, x.rank())?,
                None => (0..x.rank()).filter(|&axis| x.size(axis) == Some(1)).collect(),
            };
            Ok(vec![if axes.is_empty() { x.clone() } else { to.squeeze(x, &axes) }])
        },
        evaluate: |bound| {
            Ok(vec![shape::squeeze(bound.value("x")?, bound.integers("axis")?.as_deref())?])
        },
    },
    Entry {
        names: &["ExpandDims"],
        parameters: &["x", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let axes = needed(bound, "axis")?;
            let axes = places(&axes, x.rank() + axes.len())?;
            Ok(vec![to.unsqueeze(x, &axes)])
        },
        evaluate: |bound| Ok(vec![shape::expand_dims(bound.value("x")?, &needed(bound, "axis")?)?]),
    },
    Entry {
        names: &["Transpose"],
        parameters: &["x", "axes"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let order = order(bound, x.rank())?;
            Ok(vec![to.transpose(x, &order)])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            Ok(vec![shape::transpose(x, &order(bound, x.rank())?)?])
        },
    },
    Entry {
        names: &["Swapaxes"],
        parameters: &["x", "axis1", "axis2"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let order = swapped(bound, x.rank())?;
            Ok(vec![to.transpose(x, &order)])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            Ok(vec![shape::transpose(x, &swapped(bound, x.rank())?)?])
        },
    },
    Entry {
        names: &["Moveaxis"],
        parameters: &["x", "source", "destination"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let order = moved(bound, x.rank())?;
            Ok(vec![to.transpose(x, &order)])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            Ok(vec![shape::transpose(x, &moved(bound, x.rank())?)?])
        },
    },
    Entry {
        names: &["BroadcastTo"],
        parameters: &["x", "shape"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let wanted = needed(bound, "shape")?;
            let dims =
                wanted.iter().map(|&size| usize::try_from(size).map_or(Dim::Free, Dim::Fixed));
            let dims: Vec<Dim> = dims.collect();
            // 1 keeps what is there.
            let list: Vec<i64> = wanted.iter().map(|&size| size.max(1)).collect();
            let list = to.emitter.integers("shape", &list);
            let name = to.op("Expand", &[&x.name, &list]);
            Ok(vec![to.value(name, dims, x.element_type)])
        },
        evaluate: |bound| {
            let wanted = needed(bound, "shape")?;
            let dims: Vec<usize> =
                wanted.iter().map(|&size| usize::try_from(size).unwrap_or(1)).collect();
            Ok(vec![shape::broadcast_to(bound.value("x")?, &dims)?])
        },
    },
    Entry {
        names: &["Tile"],
        parameters: &["x", "repeats"],
        convert: tile,
        evaluate: |bound| {
            let x = bound.value("x")?;
            let repeats: Vec<usize> = needed(bound, "repeats")?
                .iter()
                .map(|&times| usize::try_from(times).unwrap_or(0))
                .collect();
            Ok(vec![shape::tile(x, &repeats)?])
        },
    },
    Entry {
        names: &["Repeat"],
        parameters: &["x", "repeats", "axis"],
        convert: repeat,
        evaluate: |bound| {
            let x = bound.value("x")?;
            let (axis, times) = repeats(bound, x.rank())?;
            Ok(vec![repeated(x, axis, times)?])
        },
    },
    Entry {
        names: &["Flip"],
        parameters: &["x", "axis"],
        convert: |bound, to| {
            let x = bound.value("x")?;
            let mut y = x.clone();
            for axis in flipped(bound, x.rank())? {
                y = to.slice(&y, axis, (-1, i64::MIN + 1, -1));
            }
            Ok(vec![y])
        },
        evaluate: |bound| {
            let x = bound.value("x")?;
            let axes: Vec<i64> =
                flipped(bound, x.rank())?.into_iter().map(|axis| axis as i64).collect();
            Ok(vec![shape::flip(x, &axes)?])
        },
    },
    Entry {
        names: &["Pad"],
        parameters: &["x", "pad_width", "mode", "constant_values"],
        convert: pad,
        evaluate: |bound| {
            let x = bound.value("x")?;
            let pads = pads(bound, x.rank())?;
            let (before, after): (Vec<i64>, Vec<i64>) = pads.into_iter().unzip();
            let padding = match mode(bound)?.as_str() {
                "reflect" => shape::Padding::Reflect,
                "edge" => shape::Padding::Edge,
                _ => shape::Padding::Constant(bound.number("constant_values")?.unwrap_or(0.0)),
            };
            Ok(vec![shape::pad(x, &before, &after, padding)?])
        },
    },
];

fn needed<V>(bound: &Bound<V>, name: &str) -> Result<Vec<i64>, Fault> {
    let found = bound.integers(name)?;
    found.ok_or_else(|| Fault::malformed(format!("expected the argument '{name}'")))
}

fn places(axes: &[i64], rank: usize) -> Result<Vec<usize>, Fault> {
    let found: Option<Vec<usize>> = axes.iter().map(|&axis| axis_of(axis, rank)).collect();
    found.ok_or_else(|| {
        Fault::malformed(format!("expected axes of {rank} dimensions, found {axes:?}"))
    })
}

/// The first size is often written as -1, because nobody knows the batch: then what is left is
/// taken, and where the batch stays as it is, it keeps its name.
fn reshape(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = bound.value("x")?;
    let wanted = needed(bound, "newshape")?;
    let sizes: Vec<Size> =
        wanted.iter().map(|&size| usize::try_from(size).map_or(Size::Rest, Size::Fixed)).collect();
    if sizes.iter().filter(|size| **size == Size::Rest).count() > 1 {
        return Err(Fault::malformed(format!("expected a shape, found {wanted:?}")));
    }
    let mut y = to.reshape(x, &sizes);
    let product = |dims: &[Dim]| -> Option<usize> {
        dims.iter().map(fixed).try_fold(1usize, |all, size| all.checked_mul(size?))
    };
    let same_rest = x.rank() > 0
        && sizes.first() == Some(&Size::Rest)
        && product(&x.dims[1..]).is_some()
        && product(&x.dims[1..]) == product(&y.dims[1..]);
    if same_rest {
        y.dims[0] = x.dims[0].clone();
    }
    Ok(vec![y])
}

fn order<V>(bound: &Bound<V>, rank: usize) -> Result<Vec<usize>, Fault> {
    let Some(axes) = bound.integers("axes")? else { return Ok((0..rank).rev().collect()) };
    let order = places(&axes, rank)?;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    match sorted.iter().copied().eq(0..rank) {
        true => Ok(order),
        false => Err(Fault::malformed(format!("expected an order of axes, found {axes:?}"))),
    }
}

fn swapped<V>(bound: &Bound<V>, rank: usize) -> Result<Vec<usize>, Fault> {
    let axes = [needed(bound, "axis1")?, needed(bound, "axis2")?].concat();
    let axes = places(&axes, rank)?;
    let mut order: Vec<usize> = (0..rank).collect();
    if let [one, two] = axes.as_slice() {
        order.swap(*one, *two);
    }
    Ok(order)
}

fn moved<V>(bound: &Bound<V>, rank: usize) -> Result<Vec<usize>, Fault> {
    let from = places(&needed(bound, "source")?, rank)?;
    let target = places(&needed(bound, "destination")?, rank)?;
    if from.len() != target.len() {
        return Err(Fault::malformed("expected as many places as axes"));
    }
    let mut order: Vec<usize> = (0..rank).filter(|axis| !from.contains(axis)).collect();
    let mut pairs: Vec<(usize, usize)> = target.into_iter().zip(from).collect();
    pairs.sort_unstable();
    for (place, axis) in pairs {
        order.insert(place.min(order.len()), axis);
    }
    let mut sorted = order.clone();
    sorted.sort_unstable();
    match sorted.iter().copied().eq(0..rank) {
        true => Ok(order),
        false => Err(Fault::malformed("expected each axis once")),
    }
}

fn tile(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let mut x = bound.value("x")?.clone();
    let mut repeats = needed(bound, "repeats")?;
    while repeats.len() < x.rank() {
        repeats.insert(0, 1);
    }
    if repeats.len() > x.rank() {
        let more: Vec<usize> = (0..repeats.len() - x.rank()).collect();
        x = to.unsqueeze(&x, &more);
    }
    let dims = x.dims.iter().zip(&repeats);
    let dims = dims.map(|(dim, &times)| match times {
        1 => dim.clone(),
        times => derived(dim, |size| size.checked_mul(usize::try_from(times).ok()?)),
    });
    let dims = dims.collect();
    let list = to.emitter.integers("repeats", &repeats);
    let name = to.op("Tile", &[&x.name, &list]);
    Ok(vec![to.value(name, dims, x.element_type)])
}

fn repeats<V>(bound: &Bound<V>, rank: usize) -> Result<(usize, usize), Fault> {
    let times = bound.integer("repeats")?.and_then(|times| usize::try_from(times).ok());
    let axis = bound.integer("axis")?.and_then(|axis| axis_of(axis, rank));
    times.zip(axis).map(|(times, axis)| (axis, times)).ok_or_else(|| {
        Fault::unsupported("repeats that differ, or without an axis", "repeat along one axis")
    })
}

fn repeat(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = bound.value("x")?;
    let (axis, times) = repeats(bound, x.rank())?;
    let taller = to.unsqueeze(x, &[axis + 1]);
    let mut list = vec![1i64; taller.rank()];
    list[axis + 1] = times as i64;
    let list = to.emitter.integers("repeats", &list);
    let name = to.op("Tile", &[&taller.name, &list]);
    let mut dims = taller.dims.clone();
    dims[axis + 1] = Dim::Fixed(times);
    let tiled = to.value(name, dims, x.element_type);
    let sizes: Vec<Size> = (0..x.rank())
        .map(|at| match at {
            at if at < axis => Size::Axis(at),
            at if at == axis => Size::Product(axis, axis + 1),
            at => Size::Axis(at + 1),
        })
        .collect();
    Ok(vec![to.reshape(&tiled, &sizes)])
}

fn flipped<V>(bound: &Bound<V>, rank: usize) -> Result<Vec<usize>, Fault> {
    match bound.integers("axis")? {
        Some(axes) => places(&axes, rank),
        None => Ok((0..rank).collect()),
    }
}

/// In front and behind on each axis: one number, a pair for all, or a pair each.
fn pads<V>(bound: &Bound<V>, rank: usize) -> Result<Vec<(i64, i64)>, Fault> {
    let json = bound.json("pad_width")?;
    let wrong = || Fault::malformed(format!("expected pairs as 'pad_width', found {json:?}"));
    let json = json.as_ref().ok_or_else(wrong)?;
    let number = crate::keras::config::integer;
    let pair = |item: &serde_json::Value| match item {
        serde_json::Value::Array(items) if items.len() == 2 => {
            Some((number(&items[0])?, number(&items[1])?))
        }
        serde_json::Value::Array(items) if items.len() == 1 => {
            number(&items[0]).map(|one| (one, one))
        }
        other => number(other).map(|one| (one, one)),
    };
    let found: Option<Vec<(i64, i64)>> = match json {
        serde_json::Value::Array(items)
            if items.len() == 2 && items.iter().all(|item| !item.is_array()) =>
        {
            pair(json).map(|pair| vec![pair; rank])
        }
        serde_json::Value::Array(items) if items.len() == rank => items.iter().map(pair).collect(),
        serde_json::Value::Array(items) if items.len() == 1 => {
            pair(&items[0]).map(|pair| vec![pair; rank])
        }
        other => pair(other).map(|pair| vec![pair; rank]),
    };
    found.filter(|pads| pads.iter().all(|pad| pad.0 >= 0 && pad.1 >= 0)).ok_or_else(wrong)
}

fn mode<V>(bound: &Bound<V>) -> Result<String, Fault> {
    let mode = bound.text("mode")?.unwrap_or_else(|| "constant".into()).to_lowercase();
    match mode.as_str() {
        "constant" | "reflect" | "edge" => Ok(mode),
        _ => Err(Fault::unsupported(
            format!("padding mode '{mode}'"),
            "use 'constant', 'reflect' or 'edge'",
        )),
    }
}

fn pad(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = bound.value("x")?;
    let pads = pads(bound, x.rank())?;
    let mode = mode(bound)?;
    let list: Vec<i64> = pads.iter().map(|pad| pad.0).chain(pads.iter().map(|pad| pad.1)).collect();
    let mut inputs = vec![x.name.clone(), to.emitter.integers("pads", &list)];
    if let Some(number) = bound.number("constant_values")?.filter(|&number| number != 0.0) {
        let number = to.scalar(number as f32);
        inputs.push(to.cast(&number, x.element_type).name);
    }
    let name = to.add(node("Pad", &inputs).with("mode", mode.as_str()));
    let dims = x.dims.iter().zip(&pads).map(|(dim, &(before, after))| match before + after {
        0 => dim.clone(),
        more => derived(dim, |size| size.checked_add(usize::try_from(more).ok()?)),
    });
    let dims = dims.collect();
    Ok(vec![to.value(name, dims, x.element_type)])
}
