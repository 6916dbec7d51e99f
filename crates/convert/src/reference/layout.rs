//! Where elements lie: sizes that are checked, strides, axes, broadcasting.

use super::Array;
use crate::EvaluateError;

/// Elements that one array may have. More is a mistake of a model, not a model.
pub(crate) const MAX_ELEMENTS: usize = 1 << 31;

/// How many elements a shape has; an error where they are more than [`MAX_ELEMENTS`].
pub(crate) fn elements(dims: &[usize]) -> Result<usize, EvaluateError> {
    if dims.contains(&0) {
        return Ok(0);
    }
    let count = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    count.filter(|&count| count <= MAX_ELEMENTS).ok_or_else(|| {
        EvaluateError::new(format!("shape {dims:?} has more than {MAX_ELEMENTS} elements"))
    })
}

/// How far apart neighbours along each axis are in a dense array of this shape.
pub(crate) fn strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; dims.len()];
    for axis in (1..dims.len()).rev() {
        // Only the strides of arrays that have elements are used, and those do not wrap.
        strides[axis - 1] = strides[axis].wrapping_mul(dims[axis].max(1) as isize);
    }
    strides
}

/// An axis counted from the front; negative ones count from the back.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize, EvaluateError> {
    let counted = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    usize::try_from(counted).ok().filter(|&found| found < rank).ok_or_else(|| {
        EvaluateError::new(format!("there is no axis {axis} among {rank} dimensions"))
    })
}

/// Several axes counted from the front, sorted; an error where one comes twice.
pub(crate) fn axes(wanted: &[i64], rank: usize) -> Result<Vec<usize>, EvaluateError> {
    let mut found =
        wanted.iter().map(|&item| axis(item, rank)).collect::<Result<Vec<usize>, _>>()?;
    found.sort_unstable();
    if found.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(EvaluateError::new(format!("axes {wanted:?} name the same one twice")));
    }
    Ok(found)
}

/// The shape of two arrays that are used together, as numpy broadcasts.
pub(crate) fn broadcast(one: &[usize], two: &[usize]) -> Result<Vec<usize>, EvaluateError> {
    let rank = one.len().max(two.len());
    let at = |dims: &[usize], axis: usize| match (axis + dims.len()).checked_sub(rank) {
        Some(index) => dims[index],
        None => 1,
    };
    let mut dims = Vec::with_capacity(rank);
    for axis in 0..rank {
        dims.push(match (at(one, axis), at(two, axis)) {
            (a, b) if a == b => a,
            (1, b) => b,
            (a, 1) => a,
            _ => {
                let message = format!("shapes {one:?} and {two:?} do not broadcast");
                return Err(EvaluateError::new(message));
            }
        });
    }
    elements(&dims)?;
    Ok(dims)
}

/// Strides of an array of shape `from` seen as the shape `to` that it broadcasts to: 0 where its
/// elements are repeated.
pub(crate) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<isize> {
    let ahead = to.len().saturating_sub(from.len());
    let own = strides(from);
    let repeated = |axis: usize| from[axis] == 1 && to[ahead + axis] != 1;
    let inner = (0..from.len()).map(|axis| if repeated(axis) { 0 } else { own[axis] });
    std::iter::repeat_n(0, ahead).chain(inner).collect()
}

/// A view of some elements: those at `offset + Σ index * stride`.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) dims: Vec<usize>,
    pub(crate) strides: Vec<isize>,
    pub(crate) offset: isize,
}

impl View {
    /// Whether all of it lies within `len` elements.
    fn fits(&self, len: usize) -> bool {
        if self.dims.contains(&0) {
            return true;
        }
        let mut ends = (self.offset as i128, self.offset as i128);
        for (&dim, &stride) in self.dims.iter().zip(&self.strides) {
            let reach = (dim as i128 - 1) * stride as i128;
            if reach < 0 { ends.0 += reach } else { ends.1 += reach }
        }
        self.dims.len() == self.strides.len() && ends.0 >= 0 && ends.1 < len as i128
    }

    /// The same view with axes joined where their elements follow each other, so that the innermost
    /// runs are long.
    fn joined(&self) -> View {
        let mut dims: Vec<usize> = Vec::new();
        let mut strides: Vec<isize> = Vec::new();
        for (&dim, &stride) in self.dims.iter().zip(&self.strides).filter(|(dim, _)| **dim != 1) {
            match (dims.last_mut(), strides.last_mut()) {
                (Some(last), Some(apart)) if *apart == stride.wrapping_mul(dim as isize) => {
                    *last *= dim;
                    *apart = stride;
                }
                _ => {
                    dims.push(dim);
                    strides.push(stride);
                }
            }
        }
        View { dims, strides, offset: self.offset }
    }
}

/// Calls `run` with where each innermost run begins in each of several arrays, outer axes in
/// order.
pub(crate) fn each_run<const N: usize>(
    dims: &[usize],
    strides: [&[isize]; N],
    mut at: [isize; N],
    mut run: impl FnMut([isize; N]),
) {
    if dims.contains(&0) {
        return;
    }
    let mut index = vec![0usize; dims.len()];
    loop {
        run(at);
        let mut axis = dims.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            for (place, stride) in at.iter_mut().zip(strides) {
                *place += stride[axis];
            }
            if index[axis] < dims[axis] {
                break;
            }
            index[axis] = 0;
            for (place, stride) in at.iter_mut().zip(strides) {
                *place -= stride[axis] * dims[axis] as isize;
            }
        }
    }
}

/// Copies the elements of a view, row-major; an error where it reaches outside `values`.
pub(crate) fn copied<T: Clone>(values: &[T], view: &View) -> Result<Vec<T>, EvaluateError> {
    let count = elements(&view.dims)?;
    if !view.fits(values.len()) {
        let View { dims, strides, offset } = view;
        return Err(EvaluateError::new(format!(
            "a view of shape {dims:?} with strides {strides:?} from {offset} reaches outside {} \
             elements",
            values.len()
        )));
    }
    let mut out = Vec::with_capacity(count);
    if count == 0 {
        return Ok(out);
    }
    let View { dims, strides, offset } = view.joined();
    let (&last, outer) = dims.split_last().unwrap_or((&1, &[]));
    let (&stride, outer_strides) = strides.split_last().unwrap_or((&1, &[]));
    each_run(outer, [outer_strides], [offset], |[at]| match stride {
        1 => out.extend_from_slice(&values[at as usize..at as usize + last]),
        0 => out.extend(std::iter::repeat_n(&values[at as usize], last).cloned()),
        _ => {
            out.extend((0..last as isize).map(|step| values[(at + step * stride) as usize].clone()))
        }
    });
    Ok(out)
}

/// Runs an expression on the elements whatever their kind, and gives elements of the same kind.
macro_rules! each_kind {
    ($data:expr, $values:ident => $result:expr) => {{
        use $crate::reference::Data;
        match $data {
            Data::Floats($values) => Data::Floats($result),
            Data::Doubles($values) => Data::Doubles($result),
            Data::Ints($values) => Data::Ints($result),
            Data::Bools($values) => Data::Bools($result),
            Data::Strings($values) => Data::Strings($result),
        }
    }};
}
pub(crate) use each_kind;

/// An array of the elements of a view.
pub(crate) fn view(array: &Array, view: &View) -> Result<Array, EvaluateError> {
    let data = each_kind!(array.data(), values => copied(values, view)?);
    Array::new(array.element_type(), &view.dims, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(elements(&[2, 3]), Ok(6));
        assert_eq!(elements(&[]), Ok(1));
        assert_eq!(elements(&[0, usize::MAX, usize::MAX]), Ok(0));
        assert!(elements(&[1 << 20, 1 << 12]).is_err());
        assert!(elements(&[usize::MAX, 2]).is_err());
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(axis(-1, 3), Ok(2));
        assert_eq!(
            axis(i64::MIN, 3).unwrap_err().0,
            format!("there is no axis {} among 3 dimensions", i64::MIN)
        );
        assert_eq!(axes(&[-1, 0], 3), Ok(vec![0, 2]));
        assert!(axes(&[1, -2], 3).is_err());
    }

    #[test]
    fn shapes_broadcast_as_in_numpy() {
        assert_eq!(broadcast(&[4, 1, 3], &[2, 1]), Ok(vec![4, 2, 3]));
        assert_eq!(broadcast(&[0], &[1]), Ok(vec![0]));
        let error = broadcast(&[2], &[3]).unwrap_err();
        assert_eq!(error.0, "shapes [2] and [3] do not broadcast");
    }

    #[test]
    fn views_are_copied_within_bounds() {
        let values = [0, 1, 2, 3, 4, 5];
        let transposed = View { dims: vec![3, 2], strides: vec![1, 3], offset: 0 };
        assert_eq!(copied(&values, &transposed), Ok(vec![0, 3, 1, 4, 2, 5]));
        let backwards = View { dims: vec![3], strides: vec![-2], offset: 5 };
        assert_eq!(copied(&values, &backwards), Ok(vec![5, 3, 1]));
        let repeated = View { dims: vec![2, 2], strides: vec![0, 1], offset: 4 };
        assert_eq!(copied(&values, &repeated), Ok(vec![4, 5, 4, 5]));
        let outside = View { dims: vec![4], strides: vec![2], offset: 0 };
        assert!(copied(&values, &outside).is_err());
        let before = View { dims: vec![2], strides: vec![-1], offset: 0 };
        assert!(copied(&values, &before).is_err());
    }
}
