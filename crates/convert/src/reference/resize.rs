//! Images in another size.

use super::layout::elements;
use super::{Array, Data};
use crate::EvaluateError;

/// Where an element of the output lies in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Coordinates {
    /// `(i + 0.5) * scale - 0.5`: elements are areas.
    HalfPixel,
    /// As `HalfPixel`, but 0 where there is a single output.
    HalfPixelOrZero,
    /// The outermost elements of both are in the same place.
    AlignCorners,
    /// `i * scale`
    Asymmetric,
    /// `(i + 0.5) * scale`: half a pixel, for nearest elements rounded down.
    HalfPixelForNearest,
}

/// Which element is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Floor,
    Ceil,
    /// To the nearest, halves down.
    HalfDown,
    /// To the nearest, halves up.
    HalfUp,
}

/// How elements between elements are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Interpolation {
    Nearest(Rounding),
    Linear,
    /// Keys' kernel with this coefficient (-0.75 in PyTorch, -0.5 in TensorFlow); `inside` leaves
    /// out what lies outside of the image instead of repeating its border.
    Cubic {
        coefficient: f32,
        inside: bool,
    },
    /// The mean of what an element of the output covers.
    Area,
}

/// How an image is resized.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resize {
    pub(crate) interpolation: Interpolation,
    pub(crate) coordinates: Coordinates,
    /// Whether the filter is widened where an image becomes smaller.
    pub(crate) antialias: bool,
}

/// One axis that changes its size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sized {
    pub(crate) axis: usize,
    pub(crate) size: usize,
    /// Elements of the input an element of the output, where it is not the quotient of the sizes.
    pub(crate) scale: Option<f32>,
}

/// What an element of the output is made of: elements of the input and their weights.
type Taps = Vec<(usize, f32)>;

/// Taps that one axis may have.
const MOST_TAPS: usize = 1 << 22;

/// Products that one axis may take: a mistake of a model would take hours.
const MOST_WORK: usize = 1 << 28;

/// Bytes that the result of one axis may take.
const MOST_BYTES: usize = 1 << 28;

/// The array with some axes in another size, one after the other.
pub(crate) fn resize(array: &Array, sizes: &[Sized], how: Resize) -> Result<Array, EvaluateError> {
    let mut found = array.clone();
    for sized in sizes {
        let Some(&input) = found.dims().get(sized.axis) else {
            let message = format!("there is no axis {} in shape {:?}", sized.axis, found.dims());
            return Err(EvaluateError::new(message));
        };
        if input == 0 && sized.size > 0 {
            return Err(EvaluateError::new("nothing cannot be resized to something"));
        }
        if input == sized.size && sized.scale.is_none_or(|scale| scale == 1.0) {
            continue;
        }
        let filter = Filter::new(sized, input, how)?;
        found = apply(&found, sized.axis, &filter)?;
    }
    Ok(found)
}

/// The taps of all elements along one axis.
struct Filter {
    /// Of one element after the other.
    taps: Taps,
    /// Where those of each end.
    ends: Vec<usize>,
}

impl Filter {
    fn new(sized: &Sized, input: usize, how: Resize) -> Result<Filter, EvaluateError> {
        let scale = sized.scale.unwrap_or(input as f32 / sized.size as f32);
        let mut filter = Filter { taps: Vec::new(), ends: Vec::new() };
        for at in 0..sized.size {
            filter.taps.extend(taps(at, (input, sized.size), scale, how));
            filter.ends.push(filter.taps.len());
            if filter.taps.len() > MOST_TAPS {
                let message = format!(
                    "resizing {input} elements to {} takes more than {MOST_TAPS} weights",
                    sized.size
                );
                return Err(EvaluateError::new(message));
            }
        }
        Ok(filter)
    }

    fn each(&self) -> impl Iterator<Item = &[(usize, f32)]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.taps[start..end])
    }
}

fn taps(at: usize, (input, output): (usize, usize), scale: f32, how: Resize) -> Taps {
    let place = match how.coordinates {
        Coordinates::HalfPixel => (at as f32 + 0.5) * scale - 0.5,
        Coordinates::HalfPixelOrZero if output == 1 => 0.0,
        Coordinates::HalfPixelOrZero => (at as f32 + 0.5) * scale - 0.5,
        Coordinates::AlignCorners if output == 1 => 0.0,
        Coordinates::AlignCorners => at as f32 * ((input - 1) as f32 / (output - 1) as f32),
        Coordinates::Asymmetric => at as f32 * scale,
        Coordinates::HalfPixelForNearest => (at as f32 + 0.5) * scale,
    };
    // Far outside is outside.
    let place = place.clamp(-1e9, 1e9);
    let last = input - 1;
    match how.interpolation {
        Interpolation::Nearest(rounding) => {
            let rounded = match rounding {
                Rounding::Floor => place.floor(),
                Rounding::Ceil => place.ceil(),
                Rounding::HalfDown => (place - 0.5).ceil(),
                Rounding::HalfUp => (place + 0.5).floor(),
            };
            vec![((rounded.max(0.0) as usize).min(last), 1.0)]
        }
        Interpolation::Area => area(at, scale, last),
        Interpolation::Linear if how.antialias && scale > 1.0 => {
            widened(place, scale, last, (1.0, |x: f32| (1.0 - x.abs()).max(0.0)))
        }
        Interpolation::Linear => {
            let place = place.clamp(0.0, last as f32);
            let first = place.floor();
            let share = place - first;
            let first = first as usize;
            vec![(first, 1.0 - share), ((first + 1).min(last), share)]
        }
        Interpolation::Cubic { coefficient, .. } if how.antialias && scale > 1.0 => {
            widened(place, scale, last, (2.0, |x: f32| keys(x, coefficient)))
        }
        Interpolation::Cubic { coefficient, inside } => cubic(place, last, coefficient, inside),
    }
}

fn area(at: usize, scale: f32, last: usize) -> Taps {
    let (start, end) = (at as f32 * scale, (at as f32 + 1.0) * scale);
    let first = (start.floor() as usize).min(last);
    let behind = (end.ceil() as usize).clamp(first + 1, last + 1);
    let share = |place: usize| ((place + 1) as f32).min(end) - (place as f32).max(start);
    normalized((first..behind).map(|place| (place, share(place).max(0.0))).collect())
}

/// Keys' cubic convolution kernel.
fn keys(x: f32, a: f32) -> f32 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

fn cubic(place: f32, last: usize, coefficient: f32, inside: bool) -> Taps {
    let first = place.floor();
    let weight = |step: i64| keys(place - first - step as f32, coefficient);
    let all = (-1..=2).map(|step| (first as i64 + step, weight(step)));
    let within = |place: i64| (0..=last as i64).contains(&place);
    if inside {
        let kept = all.filter(|(place, _)| within(*place));
        return normalized(kept.map(|(place, weight)| (place as usize, weight)).collect());
    }
    all.map(|(place, weight)| (place.clamp(0, last as i64) as usize, weight)).collect()
}

/// A filter of some reach that covers `scale` times as much.
fn widened(
    place: f32,
    scale: f32,
    last: usize,
    (reach, filter): (f32, impl Fn(f32) -> f32),
) -> Taps {
    let first = (place - reach * scale).ceil().max(0.0) as usize;
    let end = ((place + reach * scale).floor() as usize).min(last);
    let weight = |at: usize| filter((at as f32 - place) / scale);
    normalized((first.min(end)..=end).map(|at| (at, weight(at))).collect())
}

fn normalized(taps: Taps) -> Taps {
    let sum: f32 = taps.iter().map(|tap| tap.1).sum();
    taps.into_iter().map(|(place, weight)| (place, weight / sum)).collect()
}

fn apply(array: &Array, axis: usize, filter: &Filter) -> Result<Array, EvaluateError> {
    let mut dims = array.dims().to_vec();
    let own = std::mem::replace(&mut dims[axis], filter.ends.len());
    let (count, rows) = (elements(&dims)?, elements(&dims[..axis])?);
    let size = (own, elements(&dims[axis + 1..])?);
    let exact = filter.ends.iter().enumerate().all(|(at, &end)| end == at + 1);
    let is_lean = exact || matches!(array.data(), Data::Floats(_));
    let width = match array.data() {
        // Once as 64-bit numbers, once as what they become.
        _ if !is_lean => 16,
        Data::Floats(_) => 4,
        Data::Bools(_) => 1,
        _ => 8,
    };
    let work = rows.checked_mul(filter.taps.len()).and_then(|work| work.checked_mul(size.1));
    if work.is_none_or(|work| work > MOST_WORK) {
        let message = format!("resizing to shape {dims:?} takes more than {MOST_WORK} products");
        return Err(EvaluateError::new(message));
    }
    if count.checked_mul(width).is_none_or(|bytes| bytes > MOST_BYTES) {
        let message = format!("resizing to shape {dims:?} takes more than {MOST_BYTES} bytes");
        return Err(EvaluateError::new(message));
    }
    let data = match array.data() {
        Data::Floats(values) if exact => Data::Floats(copied(values, filter, (count, size))),
        Data::Doubles(values) if exact => Data::Doubles(copied(values, filter, (count, size))),
        Data::Ints(values) if exact => Data::Ints(copied(values, filter, (count, size))),
        Data::Bools(values) if exact => Data::Bools(copied(values, filter, (count, size))),
        Data::Floats(values) => {
            Data::Floats(mixed(values, filter, (count, size), |sum| sum as f32))
        }
        _ => {
            let values = array.to_f64s()?;
            let mixed = mixed(&values, filter, (count, size), |sum| sum);
            return Array::from_f64s(array.element_type(), &dims, mixed);
        }
    };
    Array::new(array.element_type(), &dims, data)
}

/// Each element of the output is one of the input. The result has `count` elements; the input has
/// `own` along the axis, of `inner` elements each.
fn copied<T: Copy>(
    values: &[T],
    filter: &Filter,
    (count, (own, inner)): (usize, (usize, usize)),
) -> Vec<T> {
    let mut out = Vec::with_capacity(count);
    for row in values.chunks_exact((own * inner).max(1)) {
        for &(at, _) in &filter.taps {
            out.extend_from_slice(&row[at * inner..(at + 1) * inner]);
        }
    }
    out
}

/// Each element of the output is a sum of weighted ones; sizes as for [`copied`].
fn mixed<T: Copy + Into<f64>>(
    values: &[T],
    filter: &Filter,
    (count, (own, inner)): (usize, (usize, usize)),
    put: impl Fn(f64) -> T,
) -> Vec<T> {
    let mut out = Vec::with_capacity(count);
    let mut sums = vec![0.0; inner];
    for row in values.chunks_exact((own * inner).max(1)) {
        for taps in filter.each() {
            sums.fill(0.0);
            for &(at, weight) in taps {
                for (sum, &value) in sums.iter_mut().zip(&row[at * inner..]) {
                    *sum += f64::from(weight) * value.into();
                }
            }
            out.extend(sums.iter().map(|&sum| put(sum)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f32], size: usize, how: Resize, expected: &[f32]) {
        let array = Array::floats(&[1, values.len()], values.to_vec()).unwrap();
        let found = resize(&array, &[Sized { axis: 1, size, scale: None }], how).unwrap();
        assert_eq!(found.dims(), [1, size]);
        for (found, expected) in found.as_floats().unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    fn how(interpolation: Interpolation, coordinates: Coordinates) -> Resize {
        Resize { interpolation, coordinates, antialias: false }
    }

    #[test]
    fn the_nearest_depends_on_the_rounding() {
        let nearest = |rounding| how(Interpolation::Nearest(rounding), Coordinates::Asymmetric);
        check(&[1.0, 2.0], 4, nearest(Rounding::Floor), &[1.0, 1.0, 2.0, 2.0]);
        check(&[1.0, 2.0], 4, nearest(Rounding::Ceil), &[1.0, 2.0, 2.0, 2.0]);
        check(&[1.0, 2.0], 4, nearest(Rounding::HalfDown), &[1.0, 1.0, 2.0, 2.0]);
        check(&[1.0, 2.0], 4, nearest(Rounding::HalfUp), &[1.0, 2.0, 2.0, 2.0]);
        let half = how(Interpolation::Nearest(Rounding::Floor), Coordinates::HalfPixelForNearest);
        check(&[1.0, 2.0, 3.0], 2, half, &[1.0, 3.0]);
    }

    #[test]
    fn lines_between_elements() {
        let linear = |coordinates| how(Interpolation::Linear, coordinates);
        check(&[0.0, 4.0], 4, linear(Coordinates::HalfPixel), &[0.0, 1.0, 3.0, 4.0]);
        check(&[0.0, 4.0], 4, linear(Coordinates::Asymmetric), &[0.0, 2.0, 4.0, 4.0]);
        check(&[0.0, 3.0], 4, linear(Coordinates::AlignCorners), &[0.0, 1.0, 2.0, 3.0]);
        check(&[0.0, 4.0], 1, linear(Coordinates::HalfPixel), &[2.0]);
        check(&[0.0, 4.0], 1, linear(Coordinates::HalfPixelOrZero), &[0.0]);
        let smooth = Resize { antialias: true, ..linear(Coordinates::HalfPixel) };
        check(&[0.0, 4.0, 8.0, 12.0], 2, smooth, &[2.857_143, 9.142_857]);
    }

    #[test]
    fn cubics_and_areas() {
        let cubic = Interpolation::Cubic { coefficient: -0.75, inside: false };
        // As torch.nn.functional.interpolate has it.
        check(
            &[1.0, 2.0, 4.0],
            6,
            how(cubic, Coordinates::HalfPixel),
            &[0.894_531, 1.156_25, 1.562_5, 2.558_594, 3.582_031, 4.210_938],
        );
        check(
            &[1.0, 2.0, 4.0],
            2,
            how(Interpolation::Area, Coordinates::HalfPixel),
            &[4.0 / 3.0, 10.0 / 3.0],
        );
    }

    /// A mistake of a model takes no memory to speak of before it is refused.
    #[test]
    fn what_takes_too_much_is_refused() {
        let linear = how(Interpolation::Linear, Coordinates::HalfPixel);
        let refused =
            |array: &Array, sized: Sized| resize(array, &[sized], linear).unwrap_err().to_string();
        // 268 million floats take a gigabyte and no more than a product each.
        let nearest = how(Interpolation::Nearest(Rounding::Floor), Coordinates::Asymmetric);
        let wide = Array::floats(&[1, 1 << 14], vec![1.0; 1 << 14]).unwrap();
        let sized = Sized { axis: 0, size: 1 << 14, scale: None };
        let error = resize(&wide, &[sized], nearest).unwrap_err().to_string();
        assert!(error.contains("bytes"), "{error}");
        let one = Array::floats(&[1], vec![1.0]).unwrap();
        let error = refused(&one, Sized { axis: 0, size: 1 << 30, scale: None });
        assert!(error.contains("weights"), "{error}");
        let error = refused(&wide, Sized { axis: 0, size: 1 << 15, scale: None });
        assert!(error.contains("products"), "{error}");
        // Each element is the mean of all, by a scale that the model says.
        let smooth = Resize { antialias: true, ..linear };
        let sized = Sized { axis: 1, size: 1 << 14, scale: Some(1e9) };
        let error = resize(&wide, &[sized], smooth).unwrap_err().to_string();
        assert!(error.contains("weights"), "{error}");
    }

    #[test]
    fn integers_are_copied() {
        let array = Array::ints(&[2, 1], vec![1, i64::MAX]).unwrap();
        let nearest = how(Interpolation::Nearest(Rounding::Floor), Coordinates::Asymmetric);
        let sizes =
            [Sized { axis: 0, size: 3, scale: None }, Sized { axis: 1, size: 2, scale: None }];
        let found = resize(&array, &sizes, nearest).unwrap();
        assert_eq!(found.as_ints().unwrap(), [1, 1, 1, 1, i64::MAX, i64::MAX]);
        assert!(resize(&array, &[Sized { axis: 2, size: 1, scale: None }], nearest).is_err());
    }
}
