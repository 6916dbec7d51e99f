//! `Reshape` with MXNet's codes, `Flatten`, `reshape_like`.
//!
//! | code | means |
//! |---|---|
//! | 0 | this size of the input |
//! | -1 | what is left |
//! | -2 | all sizes that are left |
//! | -3 | the product of two sizes |
//! | -4 | a size split into the two that follow, one of which may be -1 |

use super::super::site::{Site, Size};
use super::{Info, Op, Operator, Problem, at, info};

pub(super) const RESHAPE: Operator = Operator {
    names: &["Reshape", "reshape", "_np_reshape"],
    infer: |op, inputs| {
        let input = info(inputs, 0)?;
        Ok(vec![Info { dims: sizes(&target(op, &input.dims)?), kind: input.kind }])
    },
    convert,
    evaluate: |op, inputs| {
        let input = at(inputs, 0)?;
        let target = target(op, input.dims())?;
        Ok(vec![input.clone().reshaped(&sizes(&target))?])
    },
};

pub(super) const FLATTEN: Operator = Operator {
    names: &["Flatten", "flatten"],
    infer: |_, inputs| {
        let input = info(inputs, 0)?;
        Ok(vec![Info { dims: flat(&input.dims), kind: input.kind }])
    },
    convert: |site| {
        let x = site.input(0)?;
        Ok(vec![site.reshape(&x, &[0, -1])])
    },
    evaluate: |_, inputs| {
        let input = at(inputs, 0)?;
        Ok(vec![input.clone().reshaped(&flat(input.dims()))?])
    },
};

pub(super) const LIKE: Operator = Operator {
    names: &["reshape_like"],
    infer: |op, inputs| {
        let (left, right) = (info(inputs, 0)?, info(inputs, 1)?);
        let [from, to] = like(op, left.rank(), right.rank())?;
        let (before, after) = (&left.dims[..from.start], &left.dims[from.end..]);
        let dims = [before, &right.dims[to], after].concat();
        let found = Info { dims, kind: left.kind };
        match found.len()? == left.len()? {
            true => Ok(vec![found]),
            false => Err(Problem::shape(format!("{:?} as {:?}", left.dims, found.dims))),
        }
    },
    convert: convert_like,
    evaluate: |op, inputs| {
        let (left, right) = (at(inputs, 0)?, at(inputs, 1)?);
        let [from, to] = like(op, left.rank(), right.rank())?;
        let (before, after) = (&left.dims()[..from.start], &left.dims()[from.end..]);
        let dims = [before, &right.dims()[to], after].concat();
        Ok(vec![left.clone().reshaped(&dims)?])
    },
};

fn flat(dims: &[usize]) -> Vec<usize> {
    match dims {
        [rows, rest @ ..] => vec![*rows, rest.iter().product()],
        [] => vec![1, 1],
    }
}

/// One size of the result: how large it is, and the product of which sizes of the input it is;
/// none where it is not known from the code alone.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    size: usize,
    axes: Vec<usize>,
}

fn sizes(target: &[Target]) -> Vec<usize> {
    target.iter().map(|target| target.size).collect()
}

/// The codes applied to a shape.
fn target(op: &Op<'_>, dims: &[usize]) -> Result<Vec<Target>, Problem> {
    let key = if op.operator == "_np_reshape" { "newshape" } else { "shape" };
    let codes = op.attributes.ints(key)?.unwrap_or_default();
    if codes.is_empty() {
        return legacy(op, dims);
    }
    let total = dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim));
    let total = total.ok_or_else(|| Problem::shape("an input that is too large"))?;
    match op.attributes.flag_or("reverse", false)? {
        false => coded(&codes, dims, total),
        true => {
            let turned: Vec<usize> = dims.iter().rev().copied().collect();
            let codes: Vec<i64> = codes.iter().rev().copied().collect();
            let mut found = coded(&codes, &turned, total)?;
            found.reverse();
            for target in &mut found {
                target.axes.iter_mut().for_each(|axis| *axis = dims.len() - 1 - *axis);
            }
            Ok(found)
        }
    }
}

fn coded(codes: &[i64], dims: &[usize], total: usize) -> Result<Vec<Target>, Problem> {
    let wrong = || Problem::shape(format!("codes {codes:?} for shape {dims:?}"));
    let mut found: Vec<Target> = Vec::new();
    let mut open = None;
    let mut axis = 0;
    let mut codes_left = codes.iter();
    while let Some(&code) = codes_left.next() {
        match code {
            0 => {
                let size = *dims.get(axis).ok_or_else(wrong)?;
                found.push(Target { size, axes: vec![axis] });
                axis += 1;
            }
            -1 => {
                if open.replace(found.len()).is_some() {
                    return Err(wrong());
                }
                found.push(Target { size: 1, axes: Vec::new() });
                axis += 1;
            }
            -2 => {
                let rest = dims.iter().enumerate().skip(axis);
                found.extend(rest.map(|(axis, &size)| Target { size, axes: vec![axis] }));
                axis = dims.len();
            }
            -3 => {
                let pair = dims.get(axis..axis + 2).ok_or_else(wrong)?;
                found.push(Target { size: pair.iter().product(), axes: vec![axis, axis + 1] });
                axis += 2;
            }
            -4 => {
                let size = *dims.get(axis).ok_or_else(wrong)?;
                let (one, two) = codes_left.next().zip(codes_left.next()).ok_or_else(wrong)?;
                let (one, two) = split(size, *one, *two).ok_or_else(wrong)?;
                found.extend([one, two].map(|size| Target { size, axes: Vec::new() }));
                axis += 1;
            }
            size => {
                let size = usize::try_from(size).map_err(|_| wrong())?;
                found.push(Target { size, axes: Vec::new() });
                axis += 1;
            }
        }
        if found.len() > 64 {
            return Err(wrong());
        }
    }
    let product = |found: &[Target]| {
        found.iter().try_fold(1usize, |count, target| count.checked_mul(target.size))
    };
    let known = product(&found).ok_or_else(wrong)?;
    if let Some(open) = open.and_then(|open| found.get_mut(open)) {
        open.size = total.checked_div(known).ok_or_else(wrong)?;
    }
    if product(&found) == Some(total) { Ok(found) } else { Err(wrong()) }
}

fn split(size: usize, one: i64, two: i64) -> Option<(usize, usize)> {
    let (one, two) = match (usize::try_from(one), usize::try_from(two)) {
        (Ok(one), Ok(two)) => (one, two),
        (Ok(one), Err(_)) => (one, size.checked_div(one)?),
        (Err(_), Ok(two)) => (size.checked_div(two)?, two),
        (Err(_), Err(_)) => return None,
    };
    (one.checked_mul(two) == Some(size)).then_some((one, two))
}

/// Before the codes: `target_shape`, in which 0 is what is left, and `keep_highest`.
fn legacy(op: &Op<'_>, dims: &[usize]) -> Result<Vec<Target>, Problem> {
    let mut codes = op.attributes.need_ints("target_shape")?;
    for code in &mut codes {
        *code = if *code == 0 { -1 } else { *code };
    }
    if op.attributes.flag_or("keep_highest", false)?
        && let Some(first) = codes.first_mut()
    {
        *first = 0;
    }
    coded(&codes, dims, dims.iter().product())
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let x = site.input(0)?;
    // Only which axes are kept is of interest, so that any sizes do.
    let sizes = site.known(0)?.dims.clone();
    let known = site.output(0)?.dims.clone();
    let kept = kept(&site.op, &sizes, known.len());
    let unknown = |at: usize| known[at].is_none() && kept[at].is_empty();
    // One size can be left to be found out: best one of which nothing is known.
    let open = (0..known.len())
        .find(|&at| unknown(at))
        .or_else(|| (0..known.len()).find(|&at| known[at].is_none() && kept[at] != [at]));
    let mut list = Vec::new();
    for (at, size) in known.iter().enumerate() {
        list.push(match (size, kept[at].as_slice()) {
            (Some(size), _) => Size::Fixed(*size as i64),
            (None, [axis]) if *axis == at => Size::Fixed(0),
            (None, _) if open == Some(at) => Size::Fixed(-1),
            (None, []) => return Err(Problem::FreeSize("two sizes to find out".into())),
            (None, axes) => Size::Of(x.clone(), axes.to_vec()),
        });
    }
    // A size of 0 would be taken for the one of the input.
    if known.contains(&Some(0)) {
        return Err(Problem::refused("an array without elements", "say another --shape"));
    }
    let list = site.list(&list);
    Ok(vec![site.op("Reshape", &[&x, &list])])
}

/// Which axes of the input each size of the result is.
fn kept(op: &Op<'_>, sizes: &[Option<usize>], rank: usize) -> Vec<Vec<usize>> {
    let guess: Vec<usize> = sizes.iter().map(|size| size.unwrap_or(1)).collect();
    match target(op, &guess) {
        Ok(found) if found.len() == rank => found.into_iter().map(|target| target.axes).collect(),
        _ => leading(op, rank),
    }
}

/// Where other sizes are needed to apply the codes: the zeros in front.
fn leading(op: &Op<'_>, rank: usize) -> Vec<Vec<usize>> {
    let codes = op.attributes.ints("shape").ok().flatten().unwrap_or_default();
    let reverse = op.attributes.flag_or("reverse", false).unwrap_or(true);
    let zeros = codes.iter().take_while(|&&code| code == 0 && !reverse).count();
    (0..rank).map(|axis| if axis < zeros { vec![axis] } else { Vec::new() }).collect()
}

/// The axes of the left that give way, and those of the right that take their place.
fn like(op: &Op<'_>, left: usize, right: usize) -> Result<[std::ops::Range<usize>; 2], Problem> {
    let range = |begin, end, rank: usize| {
        let place = |key, default: usize| {
            let found = op.attributes.int_or(key, default as i64)?;
            let counted = if found < 0 { found + rank as i64 } else { found };
            let place = usize::try_from(counted).ok().filter(|&place| place <= rank);
            place.ok_or_else(|| Problem::shape(format!("{key}={found} among {rank} axes")))
        };
        let (begin, end) = (place(begin, 0)?, place(end, rank)?);
        Ok(begin..end.max(begin))
    };
    Ok([range("lhs_begin", "lhs_end", left)?, range("rhs_begin", "rhs_end", right)?])
}

fn convert_like(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let (left, right) = (site.sizes_of(0)?, site.sizes_of(1)?);
    let [from, to] = like(&site.op, left.len(), right.len())?;
    let list = [&left[..from.start], &right[to], &left[from.end..]].concat();
    let (x, list) = (site.input(0)?, site.list(&list));
    Ok(vec![site.op("Reshape", &[&x, &list])])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codes: &[i64], dims: &[usize], expected: &[usize]) {
        let total = dims.iter().product();
        assert_eq!(sizes(&coded(codes, dims, total).unwrap()), expected, "{codes:?}");
    }

    /// The examples of MXNet's documentation.
    #[test]
    fn codes() {
        check(&[4, 0, 2], &[2, 3, 4], &[4, 3, 2]);
        check(&[2, 0, 0], &[2, 3, 4], &[2, 3, 4]);
        check(&[6, 1, -1], &[2, 3, 4], &[6, 1, 4]);
        check(&[3, -1, 8], &[2, 3, 4], &[3, 1, 8]);
        check(&[-2], &[2, 3, 4], &[2, 3, 4]);
        check(&[2, -2], &[2, 3, 4], &[2, 3, 4]);
        check(&[-2, 1, 1], &[2, 3, 4], &[2, 3, 4, 1, 1]);
        check(&[-3, 4], &[2, 3, 4], &[6, 4]);
        check(&[-3, -3], &[2, 3, 4, 5], &[6, 20]);
        check(&[0, -3], &[2, 3, 4], &[2, 12]);
        check(&[-3, -2], &[2, 3, 4], &[6, 4]);
        check(&[-4, 1, 2, -2], &[2, 3, 4], &[1, 2, 3, 4]);
        check(&[2, -4, -1, 3, -2], &[2, 3, 4], &[2, 1, 3, 4]);
        assert!(coded(&[5], &[2, 3], 6).is_err());
        assert!(coded(&[-1, -1], &[2, 3], 6).is_err());
        assert!(coded(&[-4, -1, -1], &[2, 3], 6).is_err());
        assert!(coded(&[-1, 0, 0], &[0, 0], 0).is_err());
    }
}
