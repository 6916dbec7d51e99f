//! Normalizations.

use super::super::site::{Ruled, Site};
use super::super::space::{Place, Role};

const STATISTICS: &str = "statistics are taken over it";

/// Each channel has numbers of its own.
pub(super) fn batch(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    if site.node.outputs.len() > 1 {
        return Err(format!("{} gives statistics too", site.node));
    }
    site.tie_all(x, y)?;
    for name in site.node.inputs.iter().skip(1) {
        site.space.tie((name, 0), (x, 1));
    }
    site.role((site.input(1)?, 0), Role::Scale);
    Ok(())
}

/// Statistics are over space, of each channel by itself.
pub(super) fn instance(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    site.tie_all(x, y)?;
    site.freeze_from(x, 2, STATISTICS);
    for name in site.node.inputs.iter().skip(1) {
        site.space.tie((name, 0), (x, 1));
    }
    Ok(())
}

/// Statistics are over groups of channels: these go whole.
pub(super) fn group(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    let channels = site.size((x, 1))?;
    let groups = site.node.int("num_groups").and_then(|count| usize::try_from(count).ok());
    let groups = groups.filter(|groups| *groups > 0 && channels.is_multiple_of(*groups));
    let groups = groups.ok_or_else(|| format!("{channels} channels are in no equal groups"))?;
    let size = channels / groups;
    site.tie_all(x, y)?;
    site.freeze_from(x, 2, STATISTICS);
    let Some(first) = site.space.base((x, 1)) else { return Err(format!("'{x}' is open")) };
    for index in 0..channels {
        site.space.unite(first + index / size * size, first + index);
    }
    for name in site.node.inputs.iter().skip(1) {
        match (site.size((name, 0))?, site.space.base((name, 0))) {
            (found, _) if found == channels => site.space.tie((name, 0), (x, 1)),
            (found, Some(base)) if found == groups => {
                (0..groups).for_each(|group| site.space.unite(base + group, first + group * size));
            }
            _ => return Err(format!("'{name}' has neither a number a channel nor one a group")),
        }
    }
    site.counts(Place::Attribute("num_groups"), (x, 1), size);
    Ok(())
}

/// Statistics are over all axes from one on.
pub(super) fn layer(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    if site.node.outputs.len() > 1 {
        return Err(format!("{} gives statistics too", site.node));
    }
    let rank = site.rank(x)?;
    let first = site.axis(site.node.int("axis").unwrap_or(-1), rank)?;
    site.tie_all(x, y)?;
    for name in site.node.inputs.iter().skip(1).filter(|name| !name.is_empty()) {
        site.tie_stretched(name, x)?;
    }
    narrow(site, x, first);
    Ok(())
}

/// The same after a sum: of x, what skips and a bias.
pub(super) fn skip_layer(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    if [1, 2].iter().any(|&index| site.node.output(index).is_some()) {
        return Err(format!("{} gives statistics too", site.node));
    }
    let last = site.rank(x)?.saturating_sub(1);
    site.tie_all(x, y)?;
    if let Some(sum) = site.node.output(3) {
        site.tie_all(x, sum)?;
    }
    for name in site.node.inputs.iter().skip(1).filter(|name| !name.is_empty()) {
        site.tie_stretched(name, x)?;
    }
    narrow(site, x, last);
    Ok(())
}

/// Fewer channels are normalized as those that are left: not what the whole would give without the
/// others, so that it has to be asked for.
fn narrow(site: &mut Site<'_, '_>, x: &str, first: usize) {
    for axis in first..site.space.dims(x).map_or(0, <[_]>::len) {
        if site.space.narrows && axis + 1 == site.space.dims(x).map_or(0, <[_]>::len) {
            site.space.mark_inexact((x, axis));
        } else {
            let reason =
                format!("{} takes mean and variance over it (--narrow allows it)", site.node);
            site.space.freeze((x, axis), &reason);
        }
    }
}

/// Neighbouring channels see each other.
pub(super) fn over_channels(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    site.tie_all(x, y)?;
    let reason = format!("{} looks at neighbouring channels", site.node);
    site.space.freeze((x, 1), &reason);
    Ok(())
}
