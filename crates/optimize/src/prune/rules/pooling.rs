//! What goes over space and leaves channels alone.

use modelyard_tensor::Dim;

use super::super::site::{Ruled, Site};
use super::super::space::Place;

const SPACE: &str = "it is a dimension of space";

/// Channels stay what they are.
pub(super) fn pool(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    if site.node.output(1).is_some() {
        return Err(format!("{} gives positions too", site.node));
    }
    site.rank(x)?;
    site.rank(y)?;
    site.space.tie((x, 0), (y, 0));
    site.space.tie((x, 1), (y, 1));
    site.freeze_from(x, 2, SPACE);
    site.freeze_from(y, 2, SPACE);
    Ok(())
}

/// Axes that keep their size are copied.
pub(super) fn resize(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    if site.node.string("coordinate_transformation_mode") == Some("tf_crop_and_resize") {
        return Err(format!("{} crops", site.node));
    }
    let (before, after) = (site.dims(x)?, site.dims(y)?);
    if before.len() != after.len() {
        return Err(format!("'{x}' and '{y}' differ in rank"));
    }
    for (axis, (one, two)) in before.iter().zip(&after).enumerate() {
        match one == two && matches!(one, Dim::Fixed(_)) {
            true => site.space.tie((x, axis), (y, axis)),
            false => {
                site.space.freeze((x, axis), SPACE);
                site.space.freeze((y, axis), SPACE);
            }
        }
    }
    let Some(sizes) = site.node.input(3) else { return Ok(()) };
    if site.integers(3).is_none() {
        return Err(format!("'{sizes}' of {} is computed", site.node));
    }
    let axes = match site.node.ints("axes") {
        Some(axes) => {
            axes.iter().map(|&axis| site.axis(axis, before.len())).collect::<Result<_, _>>()?
        }
        None => (0..before.len()).collect::<Vec<usize>>(),
    };
    for (position, axis) in axes.into_iter().enumerate() {
        if before[axis] == after[axis] {
            site.counts(Place::Input(3, position), (y, axis), 1);
        }
    }
    Ok(())
}
