//! What cuts tensors.

use super::super::site::{Ruled, Site};
use super::super::space::Place;

/// Pieces along an axis.
pub(super) fn split(site: &mut Site<'_, '_>) -> Ruled {
    let x = site.input(0)?;
    let rank = site.rank(x)?;
    let axis = site.axis(site.node.int("axis").unwrap_or(0), rank)?;
    let total = site.size((x, axis))?;
    let names: Vec<&str> = site.node.outputs.iter().map(String::as_str).collect();
    let Some(sizes) = site.list("split", 1)? else {
        return Err(format!("{} does not state its sizes", site.node));
    };
    let sizes: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    let sizes =
        sizes.filter(|sizes| sizes.len() == names.len() && sizes.iter().sum::<usize>() == total);
    let sizes = sizes.ok_or_else(|| format!("the sizes of {} do not add up", site.node))?;
    let of_attribute = site.node.ints("split").is_some();
    let mut start = 0;
    for (position, (name, size)) in names.into_iter().zip(sizes).enumerate() {
        if name.is_empty() || site.size((name, axis))? != size {
            return Err(format!("an output of {} has another size than stated", site.node));
        }
        (0..rank)
            .filter(|other| *other != axis)
            .for_each(|other| site.space.tie((x, other), (name, other)));
        site.space.tie_at(((x, axis), start), ((name, axis), 0), size);
        let place = match of_attribute {
            true => Place::Member("split", position),
            false => Place::Input(1, position),
        };
        site.counts(place, (name, axis), 1);
        start += size;
    }
    Ok(())
}

/// A piece along some axes.
pub(super) fn slice(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let rank = site.rank(x)?;
    let of_attribute = site.node.ints("starts").is_some();
    let axes = match site.list("axes", 3)? {
        Some(axes) => {
            axes.iter().map(|&axis| site.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..site.list("starts", 1)?.map_or(rank, |starts| starts.len())).collect(),
    };
    (0..rank)
        .filter(|axis| !axes.contains(axis))
        .for_each(|axis| site.space.tie((x, axis), (y, axis)));
    let (starts, ends) = (site.list("starts", 1), site.list("ends", 2));
    let steps = site.list("steps", 4);
    for (position, axis) in axes.into_iter().enumerate() {
        let at = |list: &Result<Option<Vec<i64>>, String>| {
            list.as_ref().ok()?.as_ref()?.get(position).copied()
        };
        let step = match &steps {
            Ok(None) => Some(1),
            steps => at(steps),
        };
        let piece = site.space.size((x, axis)).zip(at(&starts).zip(at(&ends)));
        let piece = piece.filter(|_| step == Some(1));
        let piece =
            piece.map(|(size, (start, end))| (size, bounded(start, size), bounded(end, size)));
        match piece.filter(|(_, start, end)| {
            start < end && site.space.size((y, axis)) == Some(end - start)
        }) {
            Some((size, start, end)) => {
                site.space.tie_at(((x, axis), start), ((y, axis), 0), end - start);
                let place = |name, index| match of_attribute {
                    true => Place::Member(name, position),
                    false => Place::Input(index, position),
                };
                if start > 0 {
                    site.counts_to(place("starts", 1), ((x, axis), start), 1);
                }
                if end < size {
                    site.counts_to(place("ends", 2), ((x, axis), end), 1);
                }
            }
            None => {
                let reason = format!("{} takes a piece that cannot be followed", site.node);
                site.space.freeze((x, axis), &reason);
                site.space.freeze((y, axis), &reason);
            }
        }
    }
    Ok(())
}

/// A position in an axis, negative ones from its end.
fn bounded(position: i64, size: usize) -> usize {
    let size = size as i64;
    let position = if position < 0 { position.saturating_add(size) } else { position };
    position.clamp(0, size) as usize
}
