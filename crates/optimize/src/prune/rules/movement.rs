//! What moves, joins and repeats elements.

use modelyard_tensor::Dim;

use super::super::site::{Ruled, Site};
use super::super::space::Place;

/// Axes in another order.
pub(super) fn transpose(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let rank = site.rank(x)?;
    let perm = match site.node.ints("perm") {
        Some(perm) => {
            perm.iter().map(|&axis| site.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..rank).rev().collect(),
    };
    if perm.len() != rank || site.rank(y)? != rank {
        return Err(format!("{} orders {} of {rank} dimensions", site.node, perm.len()));
    }
    for (given, axis) in perm.into_iter().enumerate() {
        site.space.tie((x, axis), (y, given));
    }
    Ok(())
}

/// One after the other along an axis.
pub(super) fn concat(site: &mut Site<'_, '_>) -> Ruled {
    let y = site.output()?;
    let rank = site.rank(y)?;
    let axis = site.axis(site.node.int("axis").unwrap_or(1), rank)?;
    let names: Vec<&str> = site.node.inputs.iter().map(String::as_str).collect();
    let mut offset = Some(0);
    for name in names {
        if site.rank(name)? != rank {
            return Err(format!("'{name}' has not {rank} dimensions"));
        }
        (0..rank)
            .filter(|other| *other != axis)
            .for_each(|other| site.space.tie((name, other), (y, other)));
        let size = site.space.size((name, axis));
        match (offset, size, site.space.size((y, axis))) {
            (Some(start), Some(size), Some(_)) => {
                site.space.tie_at(((name, axis), 0), ((y, axis), start), size);
            }
            _ => {
                let reason = format!("{} joins it with an open dimension", site.node);
                site.space.freeze((name, axis), &reason);
                site.space.freeze((y, axis), &reason);
            }
        }
        offset = offset.zip(size).map(|(start, size)| start + size);
    }
    Ok(())
}

/// Stretched to a shape.
pub(super) fn expand(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    site.tie_stretched(x, y)?;
    let Some(stated) = site.integers(1) else {
        return Err(format!("the shape '{}' of {} is computed", site.input(1)?, site.node));
    };
    let lead = site.rank(y)?.saturating_sub(stated.len());
    for (position, &size) in stated.iter().enumerate() {
        if size > 1 {
            site.counts(Place::Input(1, position), (y, position + lead), 1);
        }
    }
    Ok(())
}

/// Axes that nothing is added to stay what they are.
pub(super) fn pad(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let rank = site.rank(x)?;
    let pads = site.list("pads", 1)?.unwrap_or_default();
    let axes = match site.node.input(3) {
        Some(name) => {
            let axes = site.integers(3).ok_or_else(|| format!("'{name}' is computed"))?;
            axes.iter().map(|&axis| site.axis(axis, rank)).collect::<Result<Vec<_>, _>>()?
        }
        None => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() || site.rank(y)? != rank {
        return Err(format!("{} has {} numbers for {} axes", site.node, pads.len(), axes.len()));
    }
    for axis in 0..rank {
        let at = axes.iter().position(|&padded| padded == axis);
        match at.is_none_or(|at| pads[at] == 0 && pads[at + axes.len()] == 0) {
            true => site.space.tie((x, axis), (y, axis)),
            false => freeze_both(site, (x, y), axis),
        }
    }
    Ok(())
}

/// Axes that are not repeated stay what they are.
pub(super) fn tile(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let repeats =
        site.integers(1).ok_or_else(|| format!("{} repeats by a computed number", site.node))?;
    if repeats.len() != site.rank(x)? || repeats.len() != site.rank(y)? {
        return Err(format!("{} repeats {} axes", site.node, repeats.len()));
    }
    for (axis, &times) in repeats.iter().enumerate() {
        match times == 1 {
            true => site.space.tie((x, axis), (y, axis)),
            false => freeze_both(site, (x, y), axis),
        }
    }
    Ok(())
}

fn freeze_both(site: &mut Site<'_, '_>, (x, y): (&str, &str), axis: usize) {
    let reason = format!("{} changes it", site.node);
    site.space.freeze((x, axis), &reason);
    site.space.freeze((y, axis), &reason);
}

/// A size that flows on as a number is followed no further. Open ones are no matter.
pub(super) fn shape(site: &mut Site<'_, '_>) -> Ruled {
    let x = site.input(0)?;
    let dims = site.dims(x)?;
    let reason = format!("{} takes its size as a number", site.node);
    for (axis, dim) in dims.iter().enumerate() {
        if matches!(dim, Dim::Fixed(_)) {
            site.space.freeze((x, axis), &reason);
        }
    }
    Ok(())
}
