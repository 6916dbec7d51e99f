//! Normalizations.

use super::layout::{self, elements};
use super::{Array, elementwise, shape};
use crate::EvaluateError;

/// What normalized elements are multiplied by and what is added; both broadcast to the array.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Affine<'a> {
    pub(crate) scale: Option<&'a Array>,
    pub(crate) bias: Option<&'a Array>,
}

impl Affine<'_> {
    fn applied(self, array: Array) -> Result<Array, EvaluateError> {
        let array = match self.scale {
            Some(scale) => elementwise::mul(&array, scale)?,
            None => array,
        };
        match self.bias {
            Some(bias) => elementwise::add(&array, bias),
            None => Ok(array),
        }
    }
}

/// The array minus its mean, divided by its standard deviation, over all of the last axes from
/// `axis` on; scale and bias have the shape of these axes.
pub(crate) fn layer_norm(
    array: &Array,
    axis: i64,
    epsilon: f64,
    affine: Affine<'_>,
) -> Result<Array, EvaluateError> {
    let axis = layout::axis(axis, array.rank())?;
    let (outer, inner) = (elements(&array.dims()[..axis])?, elements(&array.dims()[axis..])?);
    let rows = array.clone().reshaped(&[outer, inner])?;
    let normal = super::softmax::along(&rows, 1, |row| standardize(row, epsilon))?;
    affine.applied(normal.reshaped(array.dims())?)
}

fn standardize(row: &mut [f64], epsilon: f64) {
    let count = row.len() as f64;
    let mean = row.iter().sum::<f64>() / count;
    let variance = row.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    let factor = (variance + epsilon).sqrt().recip();
    row.iter_mut().for_each(|value| *value = (*value - mean) * factor);
}

/// The array divided by the root of its mean square over the last axes from `axis` on.
pub(crate) fn rms_norm(
    array: &Array,
    axis: i64,
    epsilon: f64,
    affine: Affine<'_>,
) -> Result<Array, EvaluateError> {
    let axis = layout::axis(axis, array.rank())?;
    let (outer, inner) = (elements(&array.dims()[..axis])?, elements(&array.dims()[axis..])?);
    let rows = array.clone().reshaped(&[outer, inner])?;
    let normal = super::softmax::along(&rows, 1, |row| {
        let square = row.iter().map(|value| value * value).sum::<f64>() / row.len() as f64;
        let factor = (square + epsilon).sqrt().recip();
        row.iter_mut().for_each(|value| *value *= factor);
    })?;
    affine.applied(normal.reshaped(array.dims())?)
}

/// Each image's groups of channels by themselves, as [`layer_norm`]; channels are the second axis,
/// and scale and bias have one element a channel. As many groups as channels is instance
/// normalization.
pub(crate) fn group_norm(
    array: &Array,
    groups: usize,
    epsilon: f64,
    affine: Affine<'_>,
) -> Result<Array, EvaluateError> {
    let &[batch, channels, ..] = array.dims() else { return Err(no_channels(array)) };
    if groups == 0 || !channels.is_multiple_of(groups) {
        let message = format!("{channels} channels cannot be in {groups} groups");
        return Err(EvaluateError::new(message));
    }
    let inner = elements(&array.dims()[2..])?.saturating_mul(channels / groups);
    let rows = array.clone().reshaped(&[batch, groups, inner])?;
    let normal = layer_norm(&rows, 2, epsilon, Affine::default())?.reshaped(array.dims())?;
    let scale = affine.scale.map(|scale| across(scale, array.rank(), 1)).transpose()?;
    let bias = affine.bias.map(|bias| across(bias, array.rank(), 1)).transpose()?;
    Affine { scale: scale.as_ref(), bias: bias.as_ref() }.applied(normal)
}

/// Mean and variance of each channel, as found in training.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statistics<'a> {
    pub(crate) mean: &'a Array,
    pub(crate) variance: &'a Array,
    pub(crate) epsilon: f64,
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, one number a channel along `axis`.
pub(crate) fn batch_norm(
    array: &Array,
    axis: i64,
    statistics: Statistics<'_>,
    affine: Affine<'_>,
) -> Result<Array, EvaluateError> {
    let axis = layout::axis(axis, array.rank())?;
    let channels = array.dims()[axis];
    let given = [Some(statistics.mean), Some(statistics.variance), affine.scale, affine.bias];
    if let Some(wrong) = given.into_iter().flatten().find(|list| list.dims() != [channels]) {
        let (one, two) = (wrong.dims(), array.dims());
        let message = format!("statistics of {one:?} do not fit axis {axis} of shape {two:?}");
        return Err(EvaluateError::new(message));
    }
    let (mean, variance) = (statistics.mean.to_f64s()?, statistics.variance.to_f64s()?);
    let numbers = |list: Option<&Array>, default| match list {
        Some(list) => list.to_f64s(),
        None => Ok(vec![default; channels]),
    };
    let (scale, bias) = (numbers(affine.scale, 1.0)?, numbers(affine.bias, 0.0)?);
    // One product and one sum an element, prepared in double precision.
    let factors: Vec<f64> = variance
        .iter()
        .zip(&scale)
        .map(|(variance, scale)| scale / (variance + statistics.epsilon).sqrt())
        .collect();
    let shifts = mean.iter().zip(&factors).zip(&bias);
    let shifts: Vec<f64> = shifts.map(|((mean, factor), bias)| bias - mean * factor).collect();
    let list = |values: Vec<f64>| {
        across(&Array::from_f64s(array.element_type(), &[channels], values)?, array.rank(), axis)
    };
    elementwise::add(&elementwise::mul(array, &list(factors)?)?, &list(shifts)?)
}

/// A list as an array that broadcasts along one axis.
fn across(list: &Array, rank: usize, axis: usize) -> Result<Array, EvaluateError> {
    let mut dims = vec![1; rank];
    dims[axis] = list.len();
    list.clone().reshaped(&dims)
}

/// The array divided by its norm along an axis: `x / max(norm, epsilon)`.
pub(crate) fn lp_normalize(
    array: &Array,
    axis: i64,
    p: f64,
    epsilon: f64,
) -> Result<Array, EvaluateError> {
    super::softmax::along(array, axis, |row| {
        let norm = if p == 2.0 {
            row.iter().map(|value| value * value).sum::<f64>().sqrt()
        } else {
            row.iter().map(|value| value.abs().powf(p)).sum::<f64>().powf(p.recip())
        };
        let norm = norm.max(epsilon);
        row.iter_mut().for_each(|value| *value /= norm);
    })
}

/// How much neighbouring channels dampen each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalResponse {
    /// Channels before the channel itself.
    pub(crate) before: usize,
    /// Channels behind it.
    pub(crate) after: usize,
    pub(crate) bias: f64,
    /// Factor of the sum of squares (where a framework divides by the size, it is divided).
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
}

/// `x / (bias + alpha * Σ x²)^beta`, where the sum goes over neighbours along an axis.
pub(crate) fn local_response(
    array: &Array,
    axis: i64,
    how: LocalResponse,
) -> Result<Array, EvaluateError> {
    super::softmax::along(array, axis, |row| {
        let squares: Vec<f64> = row.iter().map(|value| value * value).collect();
        for (at, value) in row.iter_mut().enumerate() {
            let end = at.saturating_add(how.after).saturating_add(1).min(squares.len());
            let sum: f64 = squares[at.saturating_sub(how.before)..end].iter().sum();
            *value /= (how.bias + how.alpha * sum).powf(how.beta);
        }
    })
}

/// The array with its channels moved to the second axis, as convolutions want them, from the last.
pub(crate) fn channels_first(array: &Array) -> Result<Array, EvaluateError> {
    let rank = array.rank();
    if rank < 2 {
        return Err(no_channels(array));
    }
    let order: Vec<usize> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    shape::transpose(array, &order)
}

/// The array with its channels moved from the second axis to the last.
pub(crate) fn channels_last(array: &Array) -> Result<Array, EvaluateError> {
    let rank = array.rank();
    if rank < 2 {
        return Err(no_channels(array));
    }
    let order: Vec<usize> = [0].into_iter().chain(2..rank).chain([1]).collect();
    shape::transpose(array, &order)
}

fn no_channels(array: &Array) -> EvaluateError {
    let found = array.dims();
    EvaluateError::new(format!("expected batch and channels, found shape {found:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(dims: &[usize], values: &[f32]) -> Array {
        Array::floats(dims, values.to_vec()).unwrap()
    }

    fn check(found: Result<Array, EvaluateError>, values: &[f32]) {
        let found = found.unwrap();
        assert_eq!(found.len(), values.len());
        for (found, expected) in found.as_floats().unwrap().iter().zip(values) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn rows_lose_mean_and_deviation() {
        let array = floats(&[2, 2], &[1.0, 3.0, 10.0, 30.0]);
        check(layer_norm(&array, -1, 0.0, Affine::default()), &[-1.0, 1.0, -1.0, 1.0]);
        let (scale, bias) = (floats(&[2], &[2.0, 3.0]), floats(&[2], &[0.5, 0.0]));
        let affine = Affine { scale: Some(&scale), bias: Some(&bias) };
        check(layer_norm(&array, 1, 0.0, affine), &[-1.5, 3.0, -1.5, 3.0]);
        check(
            layer_norm(&array, 1, 3.0, Affine::default())
                .map(|array| shape::narrow(&array, 0, 0, 1).unwrap()),
            &[-0.5, 0.5],
        );
        check(rms_norm(&floats(&[1, 2], &[1.0, 7.0]), 1, 0.0, Affine::default()), &[0.2, 1.4]);
    }

    #[test]
    fn groups_of_channels_are_apart() {
        let array = floats(&[1, 4, 1], &[1.0, 3.0, 10.0, 30.0]);
        check(group_norm(&array, 2, 0.0, Affine::default()), &[-1.0, 1.0, -1.0, 1.0]);
        let scale = floats(&[4], &[1.0, 2.0, 3.0, 4.0]);
        let affine = Affine { scale: Some(&scale), bias: None };
        check(group_norm(&array, 2, 0.0, affine), &[-1.0, 2.0, -3.0, 4.0]);
        assert!(group_norm(&array, 3, 0.0, Affine::default()).is_err());
    }

    #[test]
    fn channels_have_statistics() {
        let (mean, variance) = (floats(&[2], &[1.0, 0.0]), floats(&[2], &[3.0, 0.0]));
        let statistics = Statistics { mean: &mean, variance: &variance, epsilon: 1.0 };
        let bias = floats(&[2], &[0.0, 0.5]);
        let affine = Affine { scale: None, bias: Some(&bias) };
        let array = floats(&[1, 2, 2], &[1.0, 3.0, 4.0, 5.0]);
        check(batch_norm(&array, 1, statistics, affine), &[0.0, 1.0, 4.5, 5.5]);
        check(batch_norm(&array, -1, statistics, affine), &[0.0, 3.5, 1.5, 5.5]);
        assert!(batch_norm(&floats(&[1, 3], &[0.0; 3]), 1, statistics, affine).is_err());
    }

    #[test]
    fn norms_and_neighbours() {
        check(lp_normalize(&floats(&[2], &[3.0, -4.0]), 0, 2.0, 0.0), &[0.6, -0.8]);
        check(lp_normalize(&floats(&[2], &[3.0, -1.0]), 0, 1.0, 0.0), &[0.75, -0.25]);
        check(lp_normalize(&floats(&[1], &[0.0]), 0, 2.0, 1e-12), &[0.0]);
        let how = LocalResponse { before: 1, after: 0, bias: 1.0, alpha: 1.0, beta: 1.0 };
        check(local_response(&floats(&[1, 2], &[1.0, 2.0]), 1, how), &[0.5, 2.0 / 6.0]);
    }

    #[test]
    fn channels_move() {
        let array = floats(&[1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        check(channels_first(&array), &[1.0, 3.0, 2.0, 4.0]);
        assert_eq!(channels_last(&channels_first(&array).unwrap()).unwrap(), array);
        assert!(channels_first(&floats(&[1], &[1.0])).is_err());
    }
}
