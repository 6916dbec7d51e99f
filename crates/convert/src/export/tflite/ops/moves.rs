//! Operators that change no element: only shapes and the order of axes.

use modelyard_graph::Node;

use super::super::super::graph::axis;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{Id, UNKNOWN_SHAPE, Writer};
use super::unary::ends;

pub(super) fn identity<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let (value, made) = cx.through(input, output)?;
    let dims = cx.tensor(made).dims.clone();
    cx.reshape_into(value, made, &dims)
}

pub(super) fn reshape<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let stated = cx.facts.integers(node, 1);
    let (value, made) = cx.through(input, output)?;
    match (stated, node.input(1)) {
        (Some(shape), _) => {
            let shape = super::super::constants::narrowed(&shape);
            cx.reshape_to(value, made, &shape);
        }
        (None, Some(shape)) => {
            let shape = cx.narrow(shape)?;
            cx.with("RESHAPE", &[Some(value), Some(shape)], &[made], options::none("RESHAPE"));
        }
        (None, None) => return Err(refused("no shape", "")),
    }
    Ok(())
}

/// Axes that an input lists, counted from the front in a shape of `rank` dimensions.
fn listed(cx: &Writer<'_>, node: &Node, rank: usize) -> Result<Vec<usize>, Stop> {
    let stated = cx.facts.integers(node, 1);
    let stated =
        stated.ok_or_else(|| refused("axes that are computed", "state them as constants"))?;
    let axes: Option<Vec<usize>> = stated.iter().map(|&item| axis(item, rank)).collect();
    axes.ok_or_else(|| refused("axes that are not there", ""))
}

pub(super) fn squeeze<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let dims = cx.known_dims(input)?;
    let mut axes = match node.input(1) {
        Some(_) => listed(cx, node, dims.len())?,
        None => (0..dims.len()).filter(|&axis| dims[axis] == Some(1)).collect(),
    };
    axes.sort_unstable();
    let (value, made) = cx.through(input, output)?;
    let axes: Vec<i32> = axes.into_iter().map(|axis| axis as i32).collect();
    cx.with("SQUEEZE", &[Some(value)], &[made], Some(options::squeeze(&axes)));
    Ok(())
}

pub(super) fn unsqueeze<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let dims = cx.known_dims(input)?;
    let count = cx.facts.integers(node, 1).map_or(0, |axes| axes.len());
    let mut axes = listed(cx, node, dims.len() + count)?;
    axes.sort_unstable();
    let (value, made) = cx.through(input, output)?;
    let wide = cx.tensor(made).dims.clone();
    if wide.iter().filter(|dim| dim.is_none()).count() <= 1 && wide.len() == dims.len() + count {
        return cx.reshape_into(value, made, &wide);
    }
    let (mut value, mut dims) = (value, dims);
    for (index, &axis) in axes.iter().enumerate() {
        dims.insert(axis.min(dims.len()), Some(1));
        let is_last = index + 1 == axes.len();
        let next = if is_last { made } else { cx.between("EXPAND_DIMS", value, &dims) };
        let place = cx.ints(&[], &[axis as i32]);
        cx.plain("EXPAND_DIMS", &[value, place], next);
        value = next;
    }
    Ok(())
}

pub(super) fn transpose<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len();
    let order: Vec<i32> = match node.ints("perm") {
        Some(order) => super::super::constants::narrowed(order),
        None => (0..rank as i32).rev().collect(),
    };
    if rank > 6 {
        let way_out = "TensorFlow Lite transposes up to 6 dimensions";
        return Err(refused(format!("{rank} dimensions"), way_out));
    }
    let (value, made) = cx.through(input, output)?;
    let order = cx.list(&order);
    cx.plain("TRANSPOSE", &[value, order], made);
    Ok(())
}

pub(super) fn tile<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let repeats = node.input(1).ok_or_else(|| refused("no repeats", ""))?;
    let (value, made) = cx.through(input, output)?;
    let repeats = cx.narrow(repeats)?;
    cx.plain("TILE", &[value, repeats], made);
    Ok(())
}

impl Writer<'_> {
    /// Writes a `RESHAPE` to this shape, in which -1 stands for an open size.
    pub(super) fn reshape_to(&mut self, value: Id, made: Id, shape: &[i32]) {
        let list = self.list(shape);
        let options = options::reshape(shape);
        self.with("RESHAPE", &[Some(value), Some(list)], &[made], Some(options));
    }

    /// Writes a `RESHAPE` to sizes of which at most one is open; more are taken from the value, if
    /// it has the same.
    pub(super) fn reshape_into(
        &mut self,
        value: Id,
        made: Id,
        dims: &[Option<usize>],
    ) -> Result<(), Stop> {
        if dims.iter().filter(|dim| dim.is_none()).count() <= 1 {
            let shape: Vec<i32> =
                dims.iter().map(|dim| dim.map_or(-1, |size| size as i32)).collect();
            self.reshape_to(value, made, &shape);
            return Ok(());
        }
        if self.tensor(value).dims != dims {
            return Err(refused("a shape of several open sizes", UNKNOWN_SHAPE));
        }
        let sizes = self.sizes_of(value);
        self.with("RESHAPE", &[Some(value), Some(sizes)], &[made], options::none("RESHAPE"));
        Ok(())
    }

    /// A value with other sizes, of which at most one is open.
    pub(super) fn reshaped(&mut self, value: Id, dims: &[Option<usize>]) -> Id {
        let made = self.between("RESHAPE", value, dims);
        let shape: Vec<i32> = dims.iter().map(|dim| dim.map_or(-1, |size| size as i32)).collect();
        self.reshape_to(value, made, &shape);
        made
    }
}
