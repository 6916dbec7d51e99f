//! Windows over an input, one after the other.

use rayon::prelude::*;

use super::super::Array;
use super::super::convolution::{Axis, each_row};
use super::super::layout::elements;
use super::Pool;
use crate::EvaluateError;

/// Windows over the images of one array.
pub(super) struct Windows {
    pub(super) axes: Vec<Axis>,
    pub(super) dims: Vec<usize>,
    pub(super) input: usize,
    pub(super) output: usize,
}

pub(super) fn windows(array: &Array, pool: &Pool) -> Result<Windows, EvaluateError> {
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
    pub(super) fn each<T: Sync, U: Send>(
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

    pub(super) fn places(&self, position: &[usize], places: &mut Vec<usize>) {
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
    pub(super) fn fold<T, U>(&self, values: &[T], start: U, f: impl Fn(U, T) -> U + Sync) -> Vec<U>
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
    pub(super) fn counts(&self, along: impl Fn(usize, usize) -> usize) -> Vec<usize> {
        self.axes.iter().enumerate().fold(vec![1], |outer, (at, axis)| {
            let own: Vec<usize> = (0..axis.output).map(|position| along(at, position)).collect();
            outer.iter().flat_map(|count| own.iter().map(move |own| count * own)).collect()
        })
    }

    /// How many places of the kernel see an element of the image.
    pub(super) fn seen(&self, at: usize, position: usize) -> usize {
        let axis = &self.axes[at];
        let within = |kernel: &usize| {
            (position * axis.stride + kernel * axis.dilation)
                .checked_sub(axis.before)
                .is_some_and(|place| place < axis.input)
        };
        (0..axis.kernel).filter(within).count()
    }
}
