//! Convolutions, and what moves channels into space and back.

use super::super::site::{Ruled, Site};
use super::super::space::{Axis, Place, Role};

const SPACE: &str = "it is a dimension of space";
const WITHIN: &str = "a group of a convolution goes as a whole";

/// How the channels of a grouped convolution are tied.
struct Groups {
    count: usize,
    /// Channels of a group.
    size: usize,
}

/// `y[N,M,…] = conv(x[N,C,…], w[M,C/g,…]) + b[M]`.
pub(super) fn conv(site: &mut Site<'_, '_>) -> Ruled {
    let (x, w, y) = (site.input(0)?, site.input(1)?, site.output()?);
    let count = groups(site)?;
    let (outputs, inputs) = (site.size((w, 0))?, site.size((w, 1))?);
    around(site, (x, w, y), (y, (w, 0)))?;
    site.role((w, 0), Role::Out);
    if count == 1 {
        site.space.tie((x, 1), (w, 1));
        site.role((w, 1), Role::In);
        return Ok(());
    }
    check(site, (x, 1), count * inputs)?;
    let of_x = Groups { count, size: inputs };
    let of_w = Groups { count, size: outputs / count };
    if count >= inputs {
        whole(site, (&of_x, (x, 1)), (&of_w, (w, 0)))?;
        site.space.freeze((w, 1), WITHIN);
    } else {
        site.role((w, 1), Role::In);
        alike(site, &of_x, (x, 1), Some((w, 1)))?;
        alike(site, &of_w, (w, 0), None)?;
    }
    Ok(())
}

/// `y[N,M,…] = convᵀ(x[N,C,…], w[C,M/g,…]) + b[M]`.
pub(super) fn conv_transpose(site: &mut Site<'_, '_>) -> Ruled {
    let (x, w, y) = (site.input(0)?, site.input(1)?, site.output()?);
    let count = groups(site)?;
    let (inputs, outputs) = (site.size((w, 0))?, site.size((w, 1))?);
    if count == 1 {
        around(site, (x, w, y), (y, (w, 1)))?;
        site.space.tie((x, 1), (w, 0));
        site.role((w, 0), Role::In);
        site.role((w, 1), Role::Out);
        return Ok(());
    }
    check(site, (y, 1), count * outputs)?;
    around(site, (x, w, y), (y, (y, 1)))?;
    site.space.tie((x, 1), (w, 0));
    let of_w = Groups { count, size: inputs / count };
    let of_y = Groups { count, size: outputs };
    if count >= of_w.size {
        whole(site, (&of_w, (w, 0)), (&of_y, (y, 1)))?;
        site.role((w, 0), Role::Out);
        site.space.freeze((w, 1), WITHIN);
    } else {
        site.role((w, 0), Role::In);
        site.role((w, 1), Role::Out);
        alike(site, &of_w, (w, 0), None)?;
        alike(site, &of_y, (y, 1), Some((w, 1)))?;
    }
    Ok(())
}

fn groups(site: &Site<'_, '_>) -> Result<usize, String> {
    let count = site.node.int("group").unwrap_or(1);
    usize::try_from(count).ok().filter(|count| *count > 0).ok_or(format!("it has {count} groups"))
}

fn check(site: &Site<'_, '_>, axis: Axis<'_>, expected: usize) -> Ruled {
    let found = site.size(axis)?;
    if found == expected {
        return Ok(());
    }
    Err(format!("'{}' has {found} channels, its groups {expected}", axis.0))
}

/// Batch, space, bias, and the channels that come out.
fn around(
    site: &mut Site<'_, '_>,
    (x, w, y): (&str, &str, &str),
    (given, filters): (&str, Axis<'_>),
) -> Ruled {
    site.rank(x)?;
    site.rank(y)?;
    site.space.tie((x, 0), (y, 0));
    site.space.tie((given, 1), filters);
    for name in [x, w, y] {
        site.freeze_from(name, 2, SPACE);
    }
    if let Some(bias) = site.node.input(2) {
        site.space.tie((bias, 0), (y, 1));
    }
    Ok(())
}

/// Groups come and go whole: all channels of a group on both sides are one. So does a depthwise
/// convolution.
fn whole(
    site: &mut Site<'_, '_>,
    (of_one, one): (&Groups, Axis<'_>),
    (of_two, two): (&Groups, Axis<'_>),
) -> Ruled {
    let (first, second) = (base(site, one)?, base(site, two)?);
    for group in 0..of_one.count {
        let start = first + group * of_one.size;
        let other = second + group * of_two.size;
        (start..start + of_one.size).for_each(|index| site.space.unite(start, index));
        (other..other + of_two.size).for_each(|index| site.space.unite(start, index));
    }
    site.counts(Place::Attribute("group"), one, of_one.size);
    Ok(())
}

/// Groups stay, each loses the channels of the same places in it. `within` is the axis of the weight that
/// counts these places.
fn alike(
    site: &mut Site<'_, '_>,
    groups: &Groups,
    axis: Axis<'_>,
    within: Option<Axis<'_>>,
) -> Ruled {
    let first = base(site, axis)?;
    let places = match within {
        Some(within) => base(site, within)?,
        None => first,
    };
    for index in 0..groups.count * groups.size {
        site.space.unite(places + index % groups.size, first + index);
    }
    Ok(())
}

fn base(site: &Site<'_, '_>, axis: Axis<'_>) -> Result<usize, String> {
    site.space.base(axis).ok_or_else(|| format!("dimension {} of '{}' is open", axis.1, axis.0))
}

/// Channels become places of blocks.
pub(super) fn depth_to_space(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    blocks(site, x, y, site.node.string("mode") == Some("CRD"))
}

/// Places of blocks become channels.
pub(super) fn space_to_depth(site: &mut Site<'_, '_>) -> Ruled {
    let (x, y) = (site.input(0)?, site.output()?);
    blocks(site, y, x, false)
}

fn blocks(site: &mut Site<'_, '_>, deep: &str, wide: &str, channels_first: bool) -> Ruled {
    let (many, few) = (site.size((deep, 1))?, site.size((wide, 1))?);
    if few == 0 || many % few != 0 {
        return Err(format!("'{deep}' has {many} channels, '{wide}' {few}"));
    }
    let (first, second) = (base(site, (deep, 1))?, base(site, (wide, 1))?);
    for index in 0..many {
        let channel = if channels_first { index / (many / few) } else { index % few };
        site.space.unite(first + index, second + channel);
    }
    site.space.tie((deep, 0), (wide, 0));
    site.freeze_from(deep, 2, SPACE);
    site.freeze_from(wide, 2, SPACE);
    Ok(())
}
