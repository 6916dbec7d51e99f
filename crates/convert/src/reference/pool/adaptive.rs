//! Pooling to a size of the output.

use super::super::Array;
use super::super::layout::{each_run, elements, strides};
use crate::EvaluateError;

/// Averages over as many windows as asked for, which divide each axis as evenly as can be: window
/// `i` of `n` covers `floor(i * size / n)` up to `ceil((i + 1) * size / n)`.
pub(crate) fn adaptive_average_pool(
    array: &Array,
    sizes: &[usize],
) -> Result<Array, EvaluateError> {
    adaptive(array, sizes, |values| values.iter().sum::<f64>() / values.len() as f64)
}

/// As [`adaptive_average_pool`], the largest element.
pub(crate) fn adaptive_max_pool(array: &Array, sizes: &[usize]) -> Result<Array, EvaluateError> {
    adaptive(array, sizes, |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

fn adaptive(
    array: &Array,
    sizes: &[usize],
    of: impl Fn(&[f64]) -> f64,
) -> Result<Array, EvaluateError> {
    let Some(outer) = array.rank().checked_sub(sizes.len()) else {
        let found = array.dims();
        return Err(EvaluateError::new(format!("windows {sizes:?} do not fit shape {found:?}")));
    };
    let (outer, spatial) = array.dims().split_at(outer);
    let dims = [outer, sizes].concat();
    elements(&dims)?;
    let (input, steps) = (elements(spatial)?, strides(spatial));
    if input == 0 && elements(&dims)? > 0 {
        return Err(EvaluateError::new("a window stands on nothing"));
    }
    let values = array.to_f64s()?;
    let mut out = Vec::new();
    for image in values.chunks_exact(input.max(1)) {
        let mut index = vec![0usize; sizes.len()];
        for _ in 0..elements(sizes)? {
            let bound = |at: usize| {
                let start = index[at] * spatial[at] / sizes[at];
                (start, ((index[at] + 1) * spatial[at]).div_ceil(sizes[at]))
            };
            let bounds: Vec<(usize, usize)> = (0..sizes.len()).map(bound).collect();
            let spans: Vec<usize> = bounds.iter().map(|(start, end)| end - start).collect();
            let first =
                bounds.iter().zip(&steps).map(|(bound, step)| bound.0 as isize * step).sum();
            let mut window = Vec::new();
            each_run(&spans, [&steps], [first], |[at]| window.push(image[at as usize]));
            out.push(of(&window));
            for (at, &size) in index.iter_mut().zip(sizes).rev() {
                *at += 1;
                if *at < size {
                    break;
                }
                *at = 0;
            }
        }
    }
    Array::from_f64s(array.element_type(), &dims, out)
}
