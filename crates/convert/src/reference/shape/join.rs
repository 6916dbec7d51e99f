//! Arrays joined and taken apart.

use super::super::layout::{self, elements};
use super::super::{Array, Data};
use super::slice::narrow;
use super::{expand_dims, squeeze};
use crate::EvaluateError;

/// Arrays of one type one behind the other along an axis.
pub(crate) fn concat(arrays: &[&Array], axis: i64) -> Result<Array, EvaluateError> {
    let Some((first, others)) = arrays.split_first() else {
        return Err(EvaluateError::new("nothing to concatenate"));
    };
    let axis = layout::axis(axis, first.rank())?;
    let mut dims = first.dims().to_vec();
    for other in others {
        let same = other.rank() == first.rank()
            && (0..first.rank()).all(|at| at == axis || other.dims()[at] == first.dims()[at])
            && other.element_type() == first.element_type();
        if !same {
            return Err(EvaluateError::new(format!(
                "{} {:?} and {} {:?} cannot be joined along axis {axis}",
                first.element_type(),
                first.dims(),
                other.element_type(),
                other.dims()
            )));
        }
        dims[axis] = dims[axis].saturating_add(other.dims()[axis]);
    }
    elements(&dims)?;
    let outer = elements(&dims[..axis])?;
    macro_rules! joined {
        ($kind:path) => {{
            let mut out = Vec::new();
            for row in 0..outer {
                for array in arrays {
                    let $kind(values) = array.data() else { continue };
                    let width = values.len() / outer;
                    out.extend_from_slice(&values[row * width..(row + 1) * width]);
                }
            }
            $kind(out)
        }};
    }
    let data = match first.data() {
        Data::Floats(_) => joined!(Data::Floats),
        Data::Doubles(_) => joined!(Data::Doubles),
        Data::Ints(_) => joined!(Data::Ints),
        Data::Bools(_) => joined!(Data::Bools),
        Data::Strings(_) => joined!(Data::Strings),
    };
    Array::new(first.element_type(), &dims, data)
}

/// The array cut along an axis into parts of these sizes, which must be all of it.
pub(crate) fn split(
    array: &Array,
    axis: i64,
    sizes: &[usize],
) -> Result<Vec<Array>, EvaluateError> {
    let at = layout::axis(axis, array.rank())?;
    let total = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
    if total != Some(array.dims()[at]) {
        let found = array.dims();
        let message = format!("shape {found:?} cannot be cut into {sizes:?} along axis {at}");
        return Err(EvaluateError::new(message));
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(sizes.len());
    for &size in sizes {
        parts.push(narrow(array, axis, start, size)?);
        start += size;
    }
    Ok(parts)
}

/// Arrays of one shape side by side along a new axis.
pub(crate) fn stack(arrays: &[&Array], axis: i64) -> Result<Array, EvaluateError> {
    let rank = arrays.first().map_or(0, |first| first.rank());
    let at = layout::axis(axis, rank + 1)?;
    let taller: Result<Vec<Array>, EvaluateError> =
        arrays.iter().map(|array| expand_dims(array, &[at as i64])).collect();
    concat(&taller?.iter().collect::<Vec<_>>(), at as i64)
}

/// The arrays along an axis, which disappears.
pub(crate) fn unstack(array: &Array, axis: i64) -> Result<Vec<Array>, EvaluateError> {
    let at = layout::axis(axis, array.rank())?;
    let parts = split(array, axis, &vec![1; array.dims()[at]])?;
    parts.into_iter().map(|part| squeeze(&part, Some(&[axis]))).collect()
}
