//! Products of matrices, tables, and recurrent layers.

use super::super::site::{Ruled, Site};
use super::super::space::{Axis, Role};

/// `y[M,N] = a[M,K] b[K,N] + c`, each transposed or not.
pub(super) fn gemm(site: &mut Site<'_, '_>) -> Ruled {
    let (a, b, y) = (site.input(0)?, site.input(1)?, site.output()?);
    let is_set = |name| usize::from(site.node.int(name).unwrap_or(0) != 0);
    let (rows, inner) = (is_set("transA"), 1 - is_set("transA"));
    let (depth, columns) = (is_set("transB"), 1 - is_set("transB"));
    for name in [a, b, y] {
        site.rank(name)?;
    }
    site.space.tie((a, inner), (b, depth));
    site.space.tie((a, rows), (y, 0));
    site.space.tie((b, columns), (y, 1));
    weight(site, (b, columns), (b, depth));
    weight(site, (a, rows), (a, inner));
    match site.node.input(2) {
        Some(bias) => site.tie_stretched(bias, y),
        None => Ok(()),
    }
}

/// `y[…,M,N] = a[…,M,K] b[…,K,N]`; a vector has no `M` or no `N`.
pub(super) fn matmul(site: &mut Site<'_, '_>) -> Ruled {
    let (a, b, y) = (site.input(0)?, site.input(1)?, site.output()?);
    let (of_a, of_b, of_y) = (site.rank(a)?, site.rank(b)?, site.rank(y)?);
    let depth = of_b.saturating_sub(2);
    let Some(inner) = of_a.checked_sub(1) else { return Err(format!("'{a}' is a number")) };
    site.space.tie((a, inner), (b, depth));
    let (has_rows, has_columns) = (of_a > 1, of_b > 1);
    let matrix = usize::from(has_rows) + usize::from(has_columns);
    let Some(lead) = of_y.checked_sub(matrix) else {
        return Err(format!("'{y}' has {of_y} dimensions"));
    };
    if has_rows {
        site.space.tie((a, of_a - 2), (y, lead));
        weight(site, (a, of_a - 2), (a, inner));
    }
    if has_columns {
        site.space.tie((b, of_b - 1), (y, of_y - 1));
        weight(site, (b, of_b - 1), (b, depth));
    }
    for (name, rank) in [(a, of_a), (b, of_b)] {
        stacked(site, (name, rank.saturating_sub(2)), (y, lead))?;
    }
    Ok(())
}

/// Dimensions before those of the matrices, which may be stretched.
fn stacked(site: &mut Site<'_, '_>, (name, own): Axis<'_>, (y, all): Axis<'_>) -> Ruled {
    let skipped =
        all.checked_sub(own).ok_or_else(|| format!("'{name}' has too many dimensions"))?;
    for axis in 0..own {
        if site.space.size((name, axis)) != Some(1) {
            site.space.tie((name, axis), (y, axis + skipped));
        }
    }
    Ok(())
}

fn weight(site: &mut Site<'_, '_>, out: Axis<'_>, into: Axis<'_>) {
    site.role(out, Role::Out);
    site.role(into, Role::In);
}

/// Rows of a table: `y[…before, …indices, …after]`.
pub(super) fn gather(site: &mut Site<'_, '_>) -> Ruled {
    let (data, indices, y) = (site.input(0)?, site.input(1)?, site.output()?);
    let (rank, picked) = (site.rank(data)?, site.rank(indices)?);
    let axis = site.axis(site.node.int("axis").unwrap_or(0), rank)?;
    if site.rank(y)? + 1 != rank + picked {
        return Err(format!("'{y}' has {} dimensions", site.rank(y)?));
    }
    let reason = format!("{} picks among it", site.node);
    site.space.freeze((data, axis), &reason);
    site.space.freeze_all(indices, &reason);
    for own in (0..rank).filter(|own| *own != axis) {
        let given = if own < axis { own } else { own + picked - 1 };
        site.space.tie((data, own), (y, given));
        site.role((data, own), Role::Out);
    }
    (axis..axis + picked).for_each(|given| site.space.freeze((y, given), &reason));
    Ok(())
}

/// What a recurrent layer takes can be narrowed, its state not.
pub(super) fn recurrent(site: &mut Site<'_, '_>) -> Ruled {
    let (x, w) = (site.input(0)?, site.input(1)?);
    if site.rank(x)? != 3 || site.rank(w)? != 3 {
        return Err(format!("'{x}' or '{w}' has not 3 dimensions"));
    }
    site.space.tie((x, 2), (w, 2));
    site.role((w, 2), Role::In);
    let reason = format!("{} keeps its state", site.node);
    for axis in 0..2 {
        site.space.freeze((x, axis), &reason);
        site.space.freeze((w, axis), &reason);
    }
    for name in site.node.inputs.iter().skip(2).chain(&site.node.outputs) {
        site.space.freeze_all(name, &reason);
    }
    Ok(())
}
