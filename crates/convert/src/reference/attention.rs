//! Attention.

use super::elementwise::{add, map_floats, select};
use super::matmul::matmul;
use super::shape::swap_axes;
use super::softmax::softmax;
use super::{Array, Data};
use crate::EvaluateError;

/// What queries may look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attention<'a> {
    /// Booleans (true: may be looked at) or floats that are added to the scores; broadcast.
    pub(crate) mask: Option<&'a Array>,
    /// Whether query `i` sees keys up to `i` only.
    pub(crate) causal: bool,
    /// Factor of the scores; `1 / sqrt(width of the queries)` if absent.
    pub(crate) scale: Option<f64>,
}

/// `softmax(q kᵀ * scale + mask) v` over the last two dimensions; the others broadcast.
pub(crate) fn attention(
    query: &Array,
    key: &Array,
    value: &Array,
    how: Attention<'_>,
) -> Result<Array, EvaluateError> {
    if query.rank() < 2 {
        let found = query.dims();
        return Err(EvaluateError::new(format!("queries of shape {found:?} are no matrix")));
    }
    let width = query.dims().last().copied().unwrap_or(1);
    let scale = how.scale.unwrap_or_else(|| (width as f64).sqrt().recip());
    // As the frameworks, whose kernels scale the queries.
    let query = map_floats(query, |value| value * scale as f32)?;
    let mut scores = matmul(&query, &swap_axes(key, -1, -2)?)?;
    let hidden = Array::from_f64s(scores.element_type(), &[], vec![f64::NEG_INFINITY])?;
    if how.causal {
        let size = &scores.dims()[scores.rank() - 2..];
        let (rows, columns) = (size[0], size[1]);
        let seen = (0..rows).flat_map(|row| (0..columns).map(move |column| column <= row));
        let seen = Array::bools(&[rows, columns], seen.collect())?;
        scores = select(&seen, &scores, &hidden)?;
    }
    match how.mask {
        Some(mask) if matches!(mask.data(), Data::Bools(_)) => {
            scores = select(mask, &scores, &hidden)?;
        }
        Some(mask) => scores = add(&scores, mask)?,
        None => {}
    }
    matmul(&softmax(&scores, -1)?, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(how: Attention<'_>, expected: &[f32]) {
        let query = Array::floats(&[1, 2, 1], vec![0.0, 1.0]).unwrap();
        let key = Array::floats(&[1, 2, 1], vec![0.0, 3f32.ln()]).unwrap();
        let value = Array::floats(&[1, 2, 1], vec![1.0, 5.0]).unwrap();
        let found = attention(&query, &key, &value, how).unwrap();
        for (found, expected) in found.as_floats().unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn scores_weigh_values() {
        check(Attention::default(), &[3.0, 4.0]);
        check(Attention { scale: Some(0.0), ..Attention::default() }, &[3.0, 3.0]);
    }

    #[test]
    fn what_is_hidden_weighs_nothing() {
        check(Attention { causal: true, ..Attention::default() }, &[1.0, 4.0]);
        let mask = Array::bools(&[1, 2], vec![false, true]).unwrap();
        check(Attention { mask: Some(&mask), ..Attention::default() }, &[5.0, 5.0]);
        let mask = Array::floats(&[2], vec![3f32.ln(), 0.0]).unwrap();
        check(Attention { mask: Some(&mask), ..Attention::default() }, &[2.0, 3.0]);
    }
}
