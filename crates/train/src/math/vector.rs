//! Loops over slices, compiled for the widest vectors of the processor that they run on.

use pulp::Arch;
use rten_simd::SimdUnaryOp;

/// Runs `work` as compiled for this processor's vectors. For plain loops over slices: the compiler
/// does the rest.
#[inline(always)]
pub(crate) fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    Arch::new().dispatch(work)
}

/// `sum += addend`, element by element. Both are of one length.
pub(crate) fn add(sum: &mut [f32], addend: &[f32]) {
    vectorized(|| sum.iter_mut().zip(addend).for_each(|(sum, addend)| *sum += addend));
}

/// `values *= factors`, element by element.
pub(crate) fn multiply(values: &mut [f32], factors: &[f32]) {
    vectorized(|| values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor));
}

/// `values *= factor`.
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    vectorized(|| values.iter_mut().for_each(|value| *value *= factor));
}

/// `out[i] = function(input[i])`.
#[inline(always)]
pub(crate) fn map(out: &mut [f32], input: &[f32], function: impl Fn(f32) -> f32) {
    vectorized(
        #[inline(always)]
        || out.iter_mut().zip(input).for_each(|(out, &input)| *out = function(input)),
    );
}

/// `out[i] = function(input[i])` for a function that is written in vectors.
pub(crate) fn map_by(out: &mut [f32], input: &[f32], function: impl SimdUnaryOp<f32>) {
    // In pieces, so that what was copied is still in the nearest cache.
    for (out, input) in out.chunks_mut(1024).zip(input.chunks(1024)) {
        out.copy_from_slice(input);
        function.map_mut(out);
    }
}

/// `gradient[i] *= slope(x[i], f(before(x[i])))` for a function `f` that is written in vectors.
#[inline(always)]
pub(crate) fn chain_by(
    gradient: &mut [f32],
    kept: &[f32],
    (function, before): (impl SimdUnaryOp<f32>, impl Fn(f32) -> f32),
    slope: impl Fn(f32, f32) -> f32,
) {
    let mut scratch = [0f32; 256];
    for (gradient, kept) in gradient.chunks_mut(256).zip(kept.chunks(256)) {
        let values = &mut scratch[..kept.len()];
        map(values, kept, &before);
        function.map_mut(values);
        vectorized(
            #[inline(always)]
            || {
                let pairs = kept.iter().zip(values.iter());
                gradient.iter_mut().zip(pairs).for_each(|(gradient, (&kept, &value))| {
                    *gradient *= slope(kept, value);
                });
            },
        );
    }
}

/// `out[i] = function(one[i], two[i])`.
#[inline(always)]
pub(crate) fn map2(out: &mut [f32], one: &[f32], two: &[f32], function: impl Fn(f32, f32) -> f32) {
    vectorized(
        #[inline(always)]
        || {
            let pairs = one.iter().zip(two);
            out.iter_mut().zip(pairs).for_each(|(out, (&one, &two))| *out = function(one, two));
        },
    );
}

/// The sum. In strands, so that it can use vectors, and several that do not wait for each other;
/// the order of additions is fixed.
pub(crate) fn sum(values: &[f32]) -> f32 {
    vectorized(
        #[inline(always)]
        || {
            let (blocks, rest) = values.as_chunks::<32>();
            let mut wide = [0f32; 32];
            for block in blocks {
                for (strand, value) in wide.iter_mut().zip(block) {
                    *strand += value;
                }
            }
            let (chunks, rest) = rest.as_chunks::<8>();
            let mut strands = [0f32; 8];
            for chunk in wide.as_chunks::<8>().0.iter().chain(chunks) {
                for (strand, value) in strands.iter_mut().zip(chunk) {
                    *strand += value;
                }
            }
            strands.iter().sum::<f32>() + rest.iter().sum::<f32>()
        },
    )
}

/// The sum of products, in the manner of [`sum`].
pub(crate) fn dot(one: &[f32], two: &[f32]) -> f32 {
    vectorized(|| {
        let (ones, rest_of_one) = one.as_chunks::<8>();
        let (twos, rest_of_two) = two.as_chunks::<8>();
        let mut strands = [0f32; 8];
        for (one, two) in ones.iter().zip(twos) {
            for strand in 0..8 {
                strands[strand] += one[strand] * two[strand];
            }
        }
        let rest = rest_of_one.iter().zip(rest_of_two);
        strands.iter().sum::<f32>() + rest.map(|(one, two)| one * two).sum::<f32>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_take_every_element() {
        let values: Vec<f32> = (0..83).map(|value| value as f32).collect();
        assert_eq!(sum(&values), 3403.0);
        let values = &values[..19];
        assert_eq!(sum(values), 171.0);
        assert_eq!(dot(values, &[2.0; 19]), 342.0);
    }
}
