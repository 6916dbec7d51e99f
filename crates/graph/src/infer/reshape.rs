//! Operators that arrange the same elements anew. No FLOPs.

use modelyard_tensor::Shape;

use super::elementwise::stretched;
use super::fact::{Answer, Fact, Op, Rule, axes, axis, pick, product, strides};
use crate::ElementType;

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "Identity" => identity,
        "Reshape" => reshape,
        "Flatten" => flatten,
        "Squeeze" => squeeze,
        "Unsqueeze" => unsqueeze,
        "Transpose" => transpose,
        "Expand" => expand,
        "Tile" => tile,
        "DepthToSpace" => |op| blocks(op, true),
        "SpaceToDepth" => |op| blocks(op, false),
        "Shape" => shape,
        "Size" => size,
        _ => return None,
    })
}

fn identity(op: &Op<'_>) -> Option<Answer> {
    Some(Answer::one(op.input(0)?.clone()))
}

/// The same elements in another shape.
fn arranged(input: &Fact, dims: &[usize]) -> Option<Answer> {
    let same = Shape::new(dims).elements()? as u64 == input.elements();
    same.then(|| Answer::one(input.with_dims(dims).with_values(input.values.clone())))
}

fn reshape(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let wanted = op.list("shape", 1)??;
    let keep_zero = op.int("allowzero", 0) != 0;
    let mut dims = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (index, &size) in wanted.iter().enumerate() {
        dims.push(match size {
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            0 if !keep_zero => *input.dims.get(index)?,
            size => usize::try_from(size).ok()?,
        });
    }
    if let Some(index) = open {
        let rest = product(&dims);
        let whole = input.elements();
        if rest == 0 || whole % rest != 0 {
            return None;
        }
        dims[index] = usize::try_from(whole / rest).ok()?;
    }
    arranged(input, &dims)
}

fn flatten(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let rank = input.dims.len();
    let at = match op.int("axis", 1) {
        at if at == rank as i64 => rank,
        at => axis(at, rank)?,
    };
    let (rows, columns) = input.dims.split_at(at);
    let dims = [usize::try_from(product(rows)).ok()?, usize::try_from(product(columns)).ok()?];
    arranged(input, &dims)
}

fn squeeze(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let stated = op.list("axes", 1)?;
    let gone = stated.map(|list| axes(&list, input.dims.len()));
    let keep = |(index, dim): (usize, &usize)| {
        let goes = match &gone {
            Some(Some(axes)) => axes.contains(&index),
            _ => *dim == 1,
        };
        (!goes).then_some(*dim)
    };
    if gone == Some(None) {
        return None;
    }
    let dims: Vec<usize> = input.dims.iter().enumerate().filter_map(keep).collect();
    arranged(input, &dims)
}

fn unsqueeze(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let list = op.list("axes", 1)??;
    let rank = input.dims.len().checked_add(list.len())?;
    let new = axes(&list, rank)?;
    let mut old = input.dims.iter();
    let dims: Vec<usize> = (0..rank)
        .map(|index| if new.contains(&index) { Some(1) } else { old.next().copied() })
        .collect::<Option<_>>()?;
    arranged(input, &dims)
}

fn transpose(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let rank = input.dims.len();
    let order = match op.node.ints("perm") {
        Some(order) => axes(order, rank)?,
        None => (0..rank).rev().collect(),
    };
    let dims: Vec<usize> = order.iter().map(|&axis| input.dims[axis]).collect();
    let values = input.values.as_ref().and_then(|values| {
        let strides = strides(&input.dims);
        let axes = order.iter().map(|&axis| (strides[axis], (0..input.dims[axis]).collect()));
        pick(values, &axes.collect::<Vec<_>>())
    });
    (order.len() == rank).then(|| Answer::one(input.with_dims(&dims).with_values(values)))
}

fn expand(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let wanted: Vec<usize> = sizes(&op.integers(1)?)?;
    let dims = stretched([input.dims.as_slice(), &wanted], op.is_trusting())?;
    let values = input
        .values
        .as_ref()
        .filter(|values| values.len() == 1 && product(&dims) <= super::fact::MOST_VALUES as u64)
        .map(|values| vec![values[0]; product(&dims) as usize]);
    Some(Answer::one(input.with_dims(&dims).with_values(values)))
}

fn tile(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let repeats = sizes(&op.integers(1)?)?;
    if repeats.len() != input.dims.len() {
        return None;
    }
    let dims: Vec<usize> = input
        .dims
        .iter()
        .zip(repeats)
        .map(|(dim, repeat)| dim.checked_mul(repeat))
        .collect::<Option<_>>()?;
    Some(Answer::one(input.with_dims(&dims)))
}

fn blocks(op: &Op<'_>, to_space: bool) -> Option<Answer> {
    let input = op.input(0)?;
    let block = usize::try_from(op.node.int("blocksize")?).ok().filter(|block| *block > 0)?;
    let &[batch, channels, height, width] = input.dims.as_slice() else { return None };
    let area = block.checked_mul(block)?;
    let dims = if to_space {
        [batch, channels / area, height.checked_mul(block)?, width.checked_mul(block)?]
    } else {
        [batch, channels.checked_mul(area)?, height / block, width / block]
    };
    arranged(input, &dims)
}

fn shape(op: &Op<'_>) -> Option<Answer> {
    let dims = op.dims(0)?;
    let rank = dims.len() as i64;
    let bound = |position: i64| {
        (if position < 0 { position.saturating_add(rank) } else { position }).clamp(0, rank)
            as usize
    };
    let (start, end) = (bound(op.int("start", 0)), bound(op.int("end", rank)));
    let part = dims.get(start..end).unwrap_or(&[]);
    Some(Answer::one(Fact::integers(part.iter().map(|&dim| dim as f64).collect())))
}

fn size(op: &Op<'_>) -> Option<Answer> {
    let elements = op.input(0)?.elements() as f64;
    Some(Answer::one(Fact::new(ElementType::Int64, &[]).with_values(Some(vec![elements]))))
}

/// Sizes, none of them negative.
pub(super) fn sizes(list: &[i64]) -> Option<Vec<usize>> {
    list.iter().map(|&size| usize::try_from(size).ok()).collect()
}
