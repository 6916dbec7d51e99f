//! The largest or the mean element of windows. Channels come first; what is reduced over all of an
//! image is a reduction.

use rayon::prelude::*;

use super::convolution::{Axis, Convolution, each_row};
use super::layout::{each_run, elements, strides};
use super::{Array, Data};
use crate::EvaluateError;

/// A window that walks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// Size of the window.
    pub(crate) size: Vec<usize>,
    /// Empty: 1.
    pub(crate) strides: Vec<usize>,
    /// Empty: 1.
    pub(crate) dilations: Vec<usize>,
    /// Empty: 0.
    pub(crate) pads_begin: Vec<usize>,
    /// Empty: 0.
    pub(crate) pads_end: Vec<usize>,
    /// More positions behind the end, because a size is rounded up. Unlike the pads they are never
    /// counted as elements of a window. Empty: 0.
    pub(crate) beyond: Vec<usize>,
}

impl Pool {
    fn axes(&self, spatial: &[usize]) -> Result<Vec<Axis>, EvaluateError> {
        let rank = spatial.len();
        if self.size.len() != rank || !(self.beyond.is_empty() || self.beyond.len() == rank) {
            let size = &self.size;
            let message = format!("a window of {size:?} does not walk over {spatial:?}");
            return Err(EvaluateError::new(message));
        }
        elements(&self.size)?;
        let after = |axis: usize| {
            let at = |list: &[usize]| list.get(axis).copied().unwrap_or(0);
            at(&self.pads_end).saturating_add(at(&self.beyond))
        };
        let walk = Convolution {
            strides: self.strides.clone(),
            dilations: self.dilations.clone(),
            pads_begin: self.pads_begin.clone(),
            pads_end: (0..rank).map(after).collect(),
            groups: 1,
        };
        let sizes = spatial.iter().zip(&self.size);
        walk.spatial(rank)?
            .into_iter()
            .zip(sizes)
            .map(|(axis, (&input, &size))| axis.sized(input, size))
            .collect()
    }
}

/// Windows over the images of one array.
struct Windows {
    axes: Vec<Axis>,
    dims: Vec<usize>,
    input: usize,
    output: usize,
}

fn windows(array: &Array, pool: &Pool) -> Result<Windows, EvaluateError> {
    let [batch, channels, spatial @ ..] = array.dims() else {
        let found = array.dims();
        let message = format!("expected batch, channels and spatial dimensions, found {found:?}");
        return Err(EvaluateError::new(message));
    };
    let axes = pool.axes(spatial)?;
    let mut dims = vec![*batch, *channels];
    dims.extend(axes.iter().map(|axis| axis.output));
    elements(&dims)?;
    Ok(Windows { input: elements(spatial)?, output: elements(&dims[2..])?, axes, dims })
}

impl Windows {
    /// One value a window: `of(image, places)`, where `places` are those of its elements that lie
    /// within the image, in order.
    fn each<T: Sync, U: Send>(
        &self,
        values: &[T],
        of: impl Fn(&[T], &[usize]) -> U + Sync,
    ) -> Vec<U> {
        if self.input == 0 || self.output == 0 {
            return Vec::new();
        }
        let images = values.par_chunks_exact(self.input);
        let each = images.flat_map_iter(|image| {
            let mut out = Vec::with_capacity(self.output);
            let mut places = Vec::new();
            let mut position = vec![0; self.axes.len()];
            for _ in 0..self.output {
                self.places(&position, &mut places);
                out.push(of(image, &places));
                for (at, axis) in position.iter_mut().zip(&self.axes).rev() {
                    *at += 1;
                    if *at < axis.output {
                        break;
                    }
                    *at = 0;
                }
            }
            out
        });
        each.collect()
    }

    fn places(&self, position: &[usize], places: &mut Vec<usize>) {
        places.clear();
        places.push(0);
        for (axis, &at) in self.axes.iter().zip(position) {
            let start = at * axis.stride;
            let seen = |kernel: &usize| {
                let place = start + kernel * axis.dilation;
                place >= axis.before && place - axis.before < axis.input
            };
            let first = (0..axis.kernel).find(seen).unwrap_or(axis.kernel);
            let end = (first..axis.kernel).find(|kernel| !seen(kernel)).unwrap_or(axis.kernel);
            let outer = std::mem::take(places);
            places.reserve(outer.len() * (end - first));
            for base in outer {
                places.extend((first..end).map(|kernel| {
                    base * axis.input + start + kernel * axis.dilation - axis.before
                }));
            }
        }
    }
}

impl Windows {
    /// All elements of each window taken together by `f`, from `start` on.
    fn fold<T, U>(&self, values: &[T], start: U, f: impl Fn(U, T) -> U + Sync) -> Vec<U>
    where
        T: Copy + Sync,
        U: Copy + Send + Sync,
    {
        let mut out = vec![start; self.dims[0] * self.dims[1] * self.output];
        if out.is_empty() || self.input == 0 {
            return out;
        }
        let kernel: usize = self.axes.iter().map(|axis| axis.kernel).product();
        let all = (0, self.axes.first().map_or(1, |axis| axis.output));
        let images = values.par_chunks_exact(self.input);
        out.par_chunks_exact_mut(self.output).zip(images).for_each(|(out, image)| {
            for place in 0..kernel {
                each_row(&self.axes, place, all, |to, from, (count, stride)| {
                    let seen = image[from..].iter().step_by(stride);
                    for (out, &value) in out[to..to + count].iter_mut().zip(seen) {
                        *out = f(*out, value);
                    }
                });
            }
        });
        out
    }

    /// How many elements each window counts: a product of what `along` says of each axis and
    /// position.
    fn counts(&self, along: impl Fn(usize, usize) -> usize) -> Vec<usize> {
        self.axes.iter().enumerate().fold(vec![1], |outer, (at, axis)| {
            let own: Vec<usize> = (0..axis.output).map(|position| along(at, position)).collect();
            outer.iter().flat_map(|count| own.iter().map(move |own| count * own)).collect()
        })
    }

    /// How many places of the kernel see an element of the image.
    fn seen(&self, at: usize, position: usize) -> usize {
        let axis = &self.axes[at];
        let within = |kernel: &usize| {
            (position * axis.stride + kernel * axis.dilation)
                .checked_sub(axis.before)
                .is_some_and(|place| place < axis.input)
        };
        (0..axis.kernel).filter(within).count()
    }
}

/// The largest element of each window; pads are never the largest, NaN always. An error where a
/// window has nothing but pads.
pub(crate) fn max_pool(array: &Array, pool: &Pool) -> Result<Array, EvaluateError> {
    let windows = windows(array, pool)?;
    if windows.counts(|at, position| windows.seen(at, position)).contains(&0) {
        return Err(only_pads());
    }
    let data = match array.data() {
        Data::Floats(values) => {
            Data::Floats(windows.fold(values, f32::NEG_INFINITY, |best, value| {
                if value > best || value.is_nan() { value } else { best }
            }))
        }
        Data::Doubles(values) => {
            Data::Doubles(windows.fold(values, f64::NEG_INFINITY, |best, value| {
                if value > best || value.is_nan() { value } else { best }
            }))
        }
        Data::Ints(values) => {
            Data::Ints(windows.fold(values, i64::MIN, |best, value| best.max(value)))
        }
        _ => return Err(EvaluateError::new("expected numbers to find the largest of")),
    };
    Array::new(array.element_type(), &windows.dims, data)
}

fn only_pads() -> EvaluateError {
    EvaluateError::new("a window stands on nothing but padding")
}

/// As [`max_pool`], and where in its image (row-major) the largest element stands: the first of
/// several.
pub(crate) fn max_pool_with_indices(
    array: &Array,
    pool: &Pool,
) -> Result<(Array, Array), EvaluateError> {
    fn largest<T: PartialOrd + Copy>(image: &[T], window: &[usize]) -> Option<usize> {
        let (&first, others) = window.split_first()?;
        let better = |found: usize, &place: &usize| {
            let (best, value) = (image[found], image[place]);
            let nan = |value: T| value.partial_cmp(&value).is_none();
            if value > best || (nan(value) && !nan(best)) { place } else { found }
        };
        Some(others.iter().fold(first, better))
    }
    let windows = windows(array, pool)?;
    let found = match array.data() {
        Data::Floats(values) => windows.each(values, largest),
        Data::Doubles(values) => windows.each(values, largest),
        Data::Ints(values) => windows.each(values, largest),
        _ => return Err(EvaluateError::new("expected numbers to find the largest of")),
    };
    let Some(places) = found.into_iter().collect::<Option<Vec<usize>>>() else {
        return Err(only_pads());
    };
    let full = |at: usize, place: usize| at / windows.output * windows.input + place;
    let all = places.iter().enumerate().map(|(at, &place)| full(at, place));
    let data = match array.data() {
        Data::Floats(values) => Data::Floats(all.map(|at| values[at]).collect()),
        Data::Doubles(values) => Data::Doubles(all.map(|at| values[at]).collect()),
        Data::Ints(values) => Data::Ints(all.map(|at| values[at]).collect()),
        _ => return Err(EvaluateError::new("expected numbers to find the largest of")),
    };
    let indices = places.iter().map(|&place| place as i64).collect();
    Ok((
        Array::new(array.element_type(), &windows.dims, data)?,
        Array::ints(&windows.dims, indices)?,
    ))
}

/// The mean of each window: of its elements alone, or (`count_pads`) of the pads as zeros too.
/// Integers are cut off.
pub(crate) fn average_pool(
    array: &Array,
    pool: &Pool,
    count_pads: bool,
) -> Result<Array, EvaluateError> {
    let windows = windows(array, pool)?;
    let beyond = |at: usize| pool.beyond.get(at).copied().unwrap_or(0);
    let counts = windows.counts(|at, position| {
        if !count_pads {
            return windows.seen(at, position);
        }
        let axis = &windows.axes[at];
        let end = axis.before + axis.input + axis.after - beyond(at);
        let start = position * axis.stride;
        (0..axis.kernel).filter(|kernel| start + kernel * axis.dilation < end).count()
    });
    let sums = match array.data() {
        Data::Floats(values) => windows.fold(values, 0.0, |sum, value| sum + f64::from(value)),
        Data::Doubles(values) => windows.fold(values, 0.0, |sum, value| sum + value),
        _ => windows.fold(&array.to_f64s()?, 0.0, |sum, value| sum + value),
    };
    let counts = counts.iter().cycle();
    let means = sums.into_iter().zip(counts).map(|(sum, &count)| sum / count as f64).collect();
    Array::from_f64s(array.element_type(), &windows.dims, means)
}

/// `(Σ |x|^p)^(1/p)` of each window.
pub(crate) fn lp_pool(array: &Array, pool: &Pool, p: f64) -> Result<Array, EvaluateError> {
    let windows = windows(array, pool)?;
    let powers = |sum: f64, value: f64| sum + value.abs().powf(p);
    let sums = windows.fold(&array.to_f64s()?, 0.0, powers);
    let norms = sums.into_iter().map(|sum| sum.powf(p.recip())).collect();
    Array::from_f64s(array.element_type(), &windows.dims, norms)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dims: &[usize]) -> Array {
        let count = dims.iter().product::<usize>();
        Array::floats(dims, (0..count).map(|value| value as f32).collect()).unwrap()
    }

    fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[f32]) {
        let found = found.unwrap();
        assert_eq!((found.dims(), found.as_floats().unwrap()), (dims, values));
    }

    fn padded() -> Pool {
        Pool {
            size: vec![2, 2],
            strides: vec![2, 2],
            pads_begin: vec![1, 1],
            pads_end: vec![0, 0],
            ..Pool::default()
        }
    }

    #[test]
    fn the_largest_of_each_window() {
        let image = counted(&[1, 1, 3, 3]);
        check(max_pool(&image, &padded()), &[1, 1, 2, 2], &[0.0, 2.0, 6.0, 8.0]);
        let (_, indices) = max_pool_with_indices(&counted(&[1, 2, 3, 3]), &padded()).unwrap();
        assert_eq!(indices.as_ints().unwrap(), [0, 2, 6, 8, 0, 2, 6, 8]);
        let dilated = Pool { size: vec![2], dilations: vec![2], ..Pool::default() };
        check(max_pool(&counted(&[1, 1, 4]), &dilated), &[1, 1, 2], &[2.0, 3.0]);
        let negative = Array::floats(&[1, 1, 2], vec![-2.0, -1.0]).unwrap();
        let pool = Pool { size: vec![2], pads_end: vec![1], ..Pool::default() };
        check(max_pool(&negative, &pool), &[1, 1, 2], &[-1.0, -1.0]);
    }

    #[test]
    fn pads_count_or_not() {
        let image = counted(&[1, 1, 3, 3]);
        check(average_pool(&image, &padded(), false), &[1, 1, 2, 2], &[0.0, 1.5, 4.5, 6.0]);
        check(average_pool(&image, &padded(), true), &[1, 1, 2, 2], &[0.0, 0.75, 2.25, 6.0]);
        // Three elements in windows of two, rounded up: the last has one element, pads or not.
        let ceil = Pool { size: vec![2], strides: vec![2], beyond: vec![1], ..Pool::default() };
        check(average_pool(&counted(&[1, 1, 3]), &ceil, true), &[1, 1, 2], &[0.5, 2.0]);
        let pool = Pool { size: vec![2], ..Pool::default() };
        check(
            lp_pool(&Array::floats(&[1, 1, 2], vec![3.0, -4.0]).unwrap(), &pool, 2.0),
            &[1, 1, 1],
            &[5.0],
        );
    }

    #[test]
    fn adaptive_windows_overlap_where_they_must() {
        check(adaptive_average_pool(&counted(&[1, 1, 5]), &[3]), &[1, 1, 3], &[0.5, 2.0, 3.5]);
        check(adaptive_max_pool(&counted(&[1, 1, 2, 4]), &[1, 2]), &[1, 1, 1, 2], &[5.0, 7.0]);
        assert!(adaptive_max_pool(&counted(&[2]), &[1, 1]).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = max_pool(&counted(&[1, 1, 3]), &padded()).unwrap_err();
        assert_eq!(error.0, "a window of [2, 2] does not walk over [3]");
        assert!(max_pool(&counted(&[3]), &padded()).is_err());
        let only_pads = Pool { size: vec![1], pads_begin: vec![1], ..Pool::default() };
        assert!(max_pool(&counted(&[1, 1, 2]), &only_pads).is_err());
    }
}
