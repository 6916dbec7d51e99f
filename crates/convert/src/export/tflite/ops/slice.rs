//! `STRIDED_SLICE`: a begin, an end and a step for each axis.

use modelyard_graph::Node;

use super::super::super::graph::axis;
use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{INT32, Id, Writer};
use super::unary::ends;

/// The most dimensions that can be cut.
const MOST_DIMS: usize = 5;

pub(super) fn write<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let rank = cx.known_dims(input)?.len();
    if rank > MOST_DIMS {
        let way_out = format!("TensorFlow Lite cuts up to {MOST_DIMS} dimensions");
        return Err(refused(format!("{rank} dimensions"), way_out));
    }
    let starts = cx.facts.integers(node, 1);
    let stops = cx.facts.integers(node, 2);
    let count =
        node.input(1).and_then(|name| cx.facts.sizes(name)).and_then(|dims| dims.first().copied());
    let count = count.ok_or_else(|| refused("an unknown number of axes", ""))?;
    let axes: Option<Vec<usize>> = match node.input(3) {
        None => Some((0..count).collect()),
        Some(_) => {
            let stated = cx.facts.integers(node, 3);
            stated.and_then(|list| list.iter().map(|&item| axis(item, rank)).collect())
        }
    };
    let axes = axes.ok_or_else(|| refused("axes that are computed", "state them as constants"))?;
    let steps = match node.input(4) {
        None => Some(vec![1; count]),
        Some(_) => cx.facts.integers(node, 4),
    };
    let steps =
        steps.ok_or_else(|| refused("steps that are computed", "state them as constants"))?;
    if axes.len() != count || steps.len() != count {
        return Err(refused("lists of different lengths", "the model is damaged"));
    }
    let cut = Cut { rank, axes, steps };
    let begin = cut.bound(cx, starts, node.input(1), true)?;
    let end = cut.bound(cx, stops, node.input(2), false)?;
    let (value, made) = cx.through(input, output)?;
    let mut steps = vec![1; rank];
    for (&axis, &step) in cut.axes.iter().zip(&cut.steps) {
        steps[axis] = step.clamp(-i64::from(i32::MAX), i64::from(i32::MAX)) as i32;
    }
    let steps = cx.list(&steps);
    let options = options::strided_slice(begin.mask, end.mask);
    let inputs = [Some(value), Some(begin.list), Some(end.list), Some(steps)];
    cx.with("STRIDED_SLICE", &inputs, &[made], Some(options));
    Ok(())
}

/// Which axes are cut.
struct Cut {
    rank: usize,
    axes: Vec<usize>,
    steps: Vec<i64>,
}

/// Where the cut begins or ends along all axes, and on which axes that does not matter.
struct Bound {
    list: Id,
    mask: i32,
}

impl Cut {
    fn bound(
        &self,
        cx: &mut Writer<'_>,
        known: Option<Vec<i64>>,
        name: Option<&str>,
        is_begin: bool,
    ) -> Result<Bound, Stop> {
        let mut mask: i32 =
            (0..self.rank).filter(|axis| !self.axes.contains(axis)).map(|axis| 1 << axis).sum();
        if let Some(known) = known {
            let mut list = vec![0i32; self.rank];
            for ((&axis, &step), &value) in self.axes.iter().zip(&self.steps).zip(&known) {
                // What is far out is "from the very end on" or "to the very end".
                let far = i64::from(i32::MAX) - 1;
                let is_open = match (is_begin, step > 0) {
                    (true, true) => value <= -far,
                    (true, false) => value >= far,
                    (false, true) => value >= far,
                    (false, false) => value <= -far,
                };
                if is_open {
                    mask |= 1 << axis;
                } else {
                    list[axis] = value.clamp(-far, far) as i32;
                }
            }
            return Ok(Bound { list: cx.list(&list), mask });
        }
        // Computed: between what does not matter.
        let first = self.axes.first().copied().unwrap_or(0);
        let in_a_row = self.axes.iter().enumerate().all(|(index, &axis)| axis == first + index);
        let (Some(name), true) = (name, in_a_row) else {
            return Err(refused("bounds that are computed, of axes that are not in a row", ""));
        };
        let computed = cx.narrow(name)?;
        let mut parts = Vec::new();
        if first > 0 {
            parts.push(cx.list(&vec![0; first]));
        }
        parts.push(computed);
        let rest = self.rank.saturating_sub(first + self.axes.len());
        if rest > 0 {
            parts.push(cx.list(&vec![0; rest]));
        }
        if parts.len() == 1 {
            return Ok(Bound { list: computed, mask });
        }
        let list = cx.typed("bounds", INT32, &[Some(self.rank)]);
        let inputs: Vec<Option<Id>> = parts.into_iter().map(Some).collect();
        cx.with("CONCATENATION", &inputs, &[list], Some(options::concatenation(0)));
        Ok(Bound { list, mask })
    }
}
