//! RotaryEmbedding came with 23: pairs of elements turned by the angle of their position.

use super::{Adapter, adapter};
use crate::Node;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("RotaryEmbedding", 23, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let input = site.required(0)?;
    let rank = site.rank(&input)?;
    let heads = site.node.int("num_heads").unwrap_or(0);
    // From here on `[batch, length, heads, size]`.
    let apart = match rank {
        4 => swapped(site, &input),
        3 if heads > 0 => {
            let apart = site.ints("apart", &[0, 0, heads, -1]);
            site.add("Reshape", &[&input, &apart])
        }
        _ => return refuse(format!("{rank} dimensions with num_heads {heads}")),
    };
    let size = match rank {
        4 => site.fixed_dim(&input, 3),
        _ => site.fixed_dim(&input, 2).map(|hidden| hidden / heads as usize),
    };
    let Some(size) = size.and_then(|size| i64::try_from(size).ok()) else {
        return refuse("the size of a head is not fixed");
    };
    let turned_part = match site.node.int("rotary_embedding_dim").unwrap_or(0) {
        0 => size,
        part => part,
    };
    let interleaved = site.node.int("interleaved").unwrap_or(0) != 0;
    let turned = cut(site, &apart, (0, turned_part), 1);
    let (one, two) = match interleaved {
        true => (cut(site, &turned, (0, i64::MAX), 2), cut(site, &turned, (1, i64::MAX), 2)),
        false => {
            let half = turned_part / 2;
            (cut(site, &turned, (0, half), 1), cut(site, &turned, (half, i64::MAX), 1))
        }
    };
    let (cosine, sine) = (angle(site, 1)?, angle(site, 2)?);
    let product = |site: &mut Site<'_>, one: &str, two: &str| site.add("Mul", &[one, two]);
    let (a, b) = (product(site, &cosine, &one), product(site, &sine, &two));
    let real = site.add("Sub", &[&a, &b]);
    let (a, b) = (product(site, &sine, &one), product(site, &cosine, &two));
    let imaginary = site.add("Add", &[&a, &b]);
    let mut result = join(site, &real, &imaginary, interleaved, turned_part);
    if turned_part < size {
        let rest = cut(site, &apart, (turned_part, i64::MAX), 1);
        let both = Node::new("Concat", &[&result, &rest], &[]).with("axis", -1);
        result = site.add_node(both);
    }
    if rank == 4 {
        site.replace(Node::new("Transpose", &[&result], &[]).with("perm", [0, 2, 1, 3]));
    } else {
        let together = site.ints("together", &[0, 0, -1]);
        site.replace_by("Reshape", &[&result, &together]);
    }
    Ok(())
}

fn swapped(site: &mut Site<'_>, name: &str) -> String {
    site.add_node(Node::new("Transpose", &[name], &[]).with("perm", [0, 2, 1, 3]))
}

/// A part of the last dimension.
fn cut(site: &mut Site<'_>, name: &str, (start, end): (i64, i64), step: i64) -> String {
    let (start, end) = (site.ints("start", &[start]), site.ints("end", &[end]));
    let (axis, step) = (site.ints("axis", &[-1]), site.ints("step", &[step]));
    site.add("Slice", &[name, &start, &end, &axis, &step])
}

/// Cosines or sines as `[batch, length, 1, size / 2]`.
fn angle(site: &mut Site<'_>, index: usize) -> Result<String, Refusal> {
    let table = site.required(index)?;
    let angles = match site.node.input(3).map(str::to_owned) {
        Some(positions) => {
            site.add_node(Node::new("Gather", &[&table, &positions], &[]).with("axis", 0))
        }
        None => table,
    };
    let axis = site.ints("axis", &[2]);
    Ok(site.add("Unsqueeze", &[&angles, &axis]))
}

/// Both parts of the pairs, side by side or one after the other.
fn join(site: &mut Site<'_>, real: &str, imaginary: &str, interleaved: bool, size: i64) -> String {
    if !interleaved {
        return site.add_node(Node::new("Concat", &[real, imaginary], &[]).with("axis", -1));
    }
    let axis = site.ints("axis", &[-1]);
    let real = site.add("Unsqueeze", &[real, &axis]);
    let imaginary = site.add("Unsqueeze", &[imaginary, &axis]);
    let pairs = site.add_node(Node::new("Concat", &[&real, &imaginary], &[]).with("axis", -1));
    let shape = site.ints("shape", &[0, 0, 0, size]);
    site.add("Reshape", &[&pairs, &shape])
}
