//! New shapes for the same elements.
//!
//! The dimensions of both shapes are cut into the smallest blocks that hold the same elements. In a block
//! one axis before and one after follow the channels, the others stay whole. With e the number of an
//! element in the block, index i(e) of the one and j(e) of the other can only go together; once all of
//! these are tied, what is left of both is the same elements in the same order.
//!
//! Which axis follows is a choice: of `[B, S, 768] → [B, S, 12, 64]` the heads (12) can be removed, or the
//! same places in each head (64), not both. The outermost axis is tried first; where that leads nowhere
//! the next one is (see `Site::choice`): `[B, S, 2304] → [B, S, 3, 12, 64]`.

use modelyard_tensor::Dim;

use super::super::site::{Ruled, Site};
use super::super::space::Place;

/// Elements of a block that are followed at most.
const MOST_ELEMENTS: usize = 1 << 22;

const WHOLE: &str =
    "it is reshaped together with another dimension that is removed from, or could be";

/// Axes of both shapes that hold the same elements.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    before: std::ops::Range<usize>,
    after: std::ops::Range<usize>,
}

/// Reshape, Flatten, Squeeze and Unsqueeze.
pub(super) fn reshape(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let (before, after) = (site.dims(x)?, site.dims(y)?);
    for block in blocks(&before, &after) {
        follow(site, (x, &before), (y, &after), &block);
    }
    if !site.node.is("Reshape") {
        return Ok(());
    }
    let Some(stated) = site.integers(1) else {
        return Err(format!("the shape '{}' of {} is computed", site.input(1)?, site.node));
    };
    for (axis, &size) in stated.iter().enumerate() {
        if size > 0 && site.space.size((y, axis)).is_some() {
            site.counts(Place::Input(1, axis), (y, axis), 1);
        }
    }
    Ok(())
}

/// The smallest blocks from the front, then from the back; what is left is one.
fn blocks(before: &[Dim], after: &[Dim]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let (mut one, mut two) = (0, 0);
    while let Some((length, other)) = front(&before[one..], &after[two..]) {
        blocks.push(Block { before: one..one + length, after: two..two + other });
        (one, two) = (one + length, two + other);
    }
    let (mut end, mut stop) = (before.len(), after.len());
    let reversed = |dims: &[Dim]| dims.iter().rev().cloned().collect::<Vec<Dim>>();
    while let Some((length, other)) =
        front(&reversed(&before[one..end]), &reversed(&after[two..stop]))
    {
        blocks.push(Block { before: end - length..end, after: stop - other..stop });
        (end, stop) = (end - length, stop - other);
    }
    if one < end || two < stop {
        blocks.push(Block { before: one..end, after: two..stop });
    }
    blocks
}

/// How many of the first dimensions hold the same elements, at least one of each.
fn front(before: &[Dim], after: &[Dim]) -> Option<(usize, usize)> {
    let (first, second) = (before.first()?, after.first()?);
    if let (Dim::Symbol(one), Dim::Symbol(two)) = (first, second) {
        return (one == two).then_some((1, 1));
    }
    let fixed = |dim: Option<&Dim>| match dim {
        Some(Dim::Fixed(size)) if *size > 0 => Some(*size),
        _ => None,
    };
    let (mut one, mut two) = (1, 1);
    let (mut left, mut right) = (fixed(Some(first))?, fixed(Some(second))?);
    while left != right {
        if left < right {
            left = left.checked_mul(fixed(before.get(one))?)?;
            one += 1;
        } else {
            right = right.checked_mul(fixed(after.get(two))?)?;
            two += 1;
        }
    }
    Some((one, two))
}

fn follow(
    site: &mut Site<'_, '_>,
    (x, before): (&str, &[Dim]),
    (y, after): (&str, &[Dim]),
    block: &Block,
) {
    let Some((sources, targets)) =
        sizes(before, block.before.clone()).zip(sizes(after, block.after.clone()))
    else {
        let reason = format!("{} puts it together with an open dimension", site.node);
        block.before.clone().for_each(|axis| site.space.freeze((x, axis), &reason));
        block.after.clone().for_each(|axis| site.space.freeze((y, axis), &reason));
        return;
    };
    let elements: Option<usize> =
        sources.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
    let Some(elements) = elements.filter(|elements| *elements <= MOST_ELEMENTS) else {
        block.before.clone().for_each(|axis| site.space.freeze((x, axis), WHOLE));
        block.after.clone().for_each(|axis| site.space.freeze((y, axis), WHOLE));
        return;
    };
    // What still can be removed, where there is something; else it does not matter.
    let free =
        |axis: &usize| sources[*axis] > 1 && site.space.is_free((x, block.before.start + axis));
    let source = (0..sources.len()).find(free);
    let options: Vec<usize> = match source {
        Some(source) => options(&sources, &targets, source, elements),
        None => Vec::new(),
    };
    let chosen = source.zip(options.get(site.choice.min(options.len().saturating_sub(1))).copied());
    for (axis, _) in
        sources.iter().enumerate().filter(|(axis, _)| chosen.is_none_or(|(own, _)| own != *axis))
    {
        site.space.freeze((x, block.before.start + axis), WHOLE);
    }
    for (axis, _) in
        targets.iter().enumerate().filter(|(axis, _)| chosen.is_none_or(|(_, own)| own != *axis))
    {
        site.space.freeze((y, block.after.start + axis), WHOLE);
    }
    let Some((source, target)) = chosen else { return };
    let (from, to) = ((x, block.before.start + source), (y, block.after.start + target));
    if let (Some(first), Some(second)) = (site.space.base(from), site.space.base(to)) {
        let (one, two) = (place(&sources, source), place(&targets, target));
        let step = gcd(one.0, two.0);
        for element in (0..elements).step_by(step) {
            site.space.unite(first + element / one.0 % one.1, second + element / two.0 % two.1);
        }
    }
    if options.len() > 1 {
        site.choices = Some((options.len(), (from.0.to_owned(), from.1)));
    }
}

/// Axes after the reshape that may follow, those that leave more than one class.
fn options(sources: &[usize], targets: &[usize], source: usize, elements: usize) -> Vec<usize> {
    let one = place(sources, source);
    let leaves = |target: &usize| {
        let two = place(targets, *target);
        two.1 > 1 && classes(one, two, elements) > 1
    };
    (0..targets.len()).filter(leaves).collect()
}

/// How many classes remain when the indices of two axes are tied.
fn classes(one: (usize, usize), two: (usize, usize), elements: usize) -> usize {
    let mut parents: Vec<usize> = (0..one.1 + two.1).collect();
    fn root(parents: &mut [usize], mut index: usize) -> usize {
        while parents[index] != index {
            parents[index] = parents[parents[index]];
            index = parents[index];
        }
        index
    }
    let mut count = parents.len();
    for element in (0..elements).step_by(gcd(one.0, two.0)) {
        let left = root(&mut parents, element / one.0 % one.1);
        let right = root(&mut parents, one.1 + element / two.0 % two.1);
        if left != right {
            parents[right] = left;
            count -= 1;
        }
    }
    count
}

/// Elements from one index of an axis to the next, and its size.
fn place(sizes: &[usize], axis: usize) -> (usize, usize) {
    (sizes[axis + 1..].iter().product(), sizes[axis])
}

fn sizes(dims: &[Dim], range: std::ops::Range<usize>) -> Option<Vec<usize>> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => Some(*size),
        _ => None,
    };
    dims[range].iter().map(size).collect()
}

fn gcd(one: usize, two: usize) -> usize {
    if two == 0 { one.max(1) } else { gcd(two, one % two) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dims(text: &str) -> Vec<Dim> {
        let dim = |word: &str| match word.parse() {
            Ok(size) => Dim::Fixed(size),
            Err(_) if word == "?" => Dim::Free,
            Err(_) => Dim::Symbol(word.into()),
        };
        text.split_whitespace().map(dim).collect()
    }

    #[test]
    fn blocks_are_as_small_as_they_can_be() {
        let check =
            |before: &str,
             after: &str,
             expected: &[(std::ops::Range<usize>, std::ops::Range<usize>)]| {
                let found = blocks(&dims(before), &dims(after));
                let found: Vec<_> =
                    found.into_iter().map(|block| (block.before, block.after)).collect();
                assert_eq!(found, expected, "{before} -> {after}");
            };
        check("n s 768", "n s 12 64", &[(0..1, 0..1), (1..2, 1..2), (2..3, 2..4)]);
        check("n 32 7 7", "n 1568", &[(0..1, 0..1), (1..4, 1..2)]);
        check("n s 768", "? 768", &[(2..3, 1..2), (0..2, 0..1)]);
        check("n 12 s 64", "? s 64", &[(3..4, 2..3), (2..3, 1..2), (0..2, 0..1)]);
        check("n 16 h w", "n 16 ?", &[(0..1, 0..1), (1..2, 1..2), (2..4, 2..3)]);
        check("1 8", "8", &[(0..2, 0..1)]);
    }

    #[test]
    fn heads_are_tried_first() {
        assert_eq!(options(&[768], &[12, 64], 0, 768), [0, 1]);
        assert_eq!(options(&[2304], &[3, 12, 64], 0, 2304), [0, 1, 2]);
        assert_eq!(options(&[32, 7, 7], &[1568], 0, 1568), [0]);
        // Neither side of a transposed order remains in classes.
        assert_eq!(options(&[6], &[1, 6], 0, 6), [1]);
    }
}
