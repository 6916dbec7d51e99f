//! Reductions: many elements become one.

use modelyard_graph::ElementType;

use super::array::is_integer;
use super::shape::transpose;
use super::{Array, Data, layout};
use crate::EvaluateError;

/// What is reduced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over<'a> {
    /// These axes (none: each element stays by itself); all of them if absent.
    pub(crate) axes: Option<&'a [i64]>,
    /// Whether reduced axes stay as 1.
    pub(crate) keep_dims: bool,
}

impl<'a> Over<'a> {
    /// All axes; the result has no dimensions.
    pub(crate) const ALL: Over<'static> = Over { axes: None, keep_dims: false };

    /// These axes, which disappear.
    pub(crate) fn axes(axes: &'a [i64]) -> Over<'a> {
        Over { axes: Some(axes), keep_dims: false }
    }

    /// These axes, which stay as 1.
    pub(crate) fn kept(axes: &'a [i64]) -> Over<'a> {
        Over { axes: Some(axes), keep_dims: true }
    }
}

/// An array whose last elements are reduced: rows of `width` elements.
struct Rows {
    array: Array,
    width: usize,
    count: usize,
    dims: Vec<usize>,
}

fn rows(array: &Array, over: Over<'_>) -> Result<Rows, EvaluateError> {
    let rank = array.rank();
    let reduced = match over.axes {
        Some(axes) => layout::axes(axes, rank)?,
        None => (0..rank).collect(),
    };
    let kept: Vec<usize> = (0..rank).filter(|axis| !reduced.contains(axis)).collect();
    let order: Vec<usize> = kept.iter().chain(&reduced).copied().collect();
    let size = |axes: &[usize]| {
        layout::elements(&axes.iter().map(|&axis| array.dims()[axis]).collect::<Vec<_>>())
    };
    let (width, count) = (size(&reduced)?, size(&kept)?);
    let mut dims = Vec::new();
    for (axis, &dim) in array.dims().iter().enumerate() {
        match (reduced.contains(&axis), over.keep_dims) {
            (false, _) => dims.push(dim),
            (true, true) => dims.push(1),
            (true, false) => {}
        }
    }
    let array = if order.is_sorted() { array.clone() } else { transpose(array, &order)? };
    Ok(Rows { array, width, count, dims })
}

impl Rows {
    /// One number of each row.
    fn each<T, U>(&self, values: &[T], f: impl Fn(&[T]) -> U) -> Vec<U> {
        let row = |index: usize| &values[index * self.width..(index + 1) * self.width];
        (0..self.count).map(|index| f(row(index))).collect()
    }

    /// One float of each row, by a function of its elements in double precision; of the type of
    /// the array.
    fn numbers(
        &self,
        f: impl Fn(&mut dyn Iterator<Item = f64>) -> f64,
    ) -> Result<Array, EvaluateError> {
        let values = match self.array.data() {
            Data::Floats(values) => {
                self.each(values, |row| f(&mut row.iter().map(|&value| f64::from(value))))
            }
            Data::Doubles(values) => self.each(values, |row| f(&mut row.iter().copied())),
            _ => {
                let values = self.array.to_f64s()?;
                self.each(&values, |row| f(&mut row.iter().copied()))
            }
        };
        Array::from_f64s(self.array.element_type(), &self.dims, values)
    }

    fn not_empty(self, what: &str) -> Result<Rows, EvaluateError> {
        if self.width == 0 && self.count > 0 {
            return Err(EvaluateError::new(format!("the {what} of no elements does not exist")));
        }
        Ok(self)
    }
}

/// Sums; of integers wrapped to the type.
pub(crate) fn sum(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    match rows.array.data() {
        Data::Floats(values) => {
            let sum = |row: &[f32]| row.iter().map(|&value| f64::from(value)).sum::<f64>() as f32;
            let data = Data::Floats(rows.each(values, sum));
            Array::new(array.element_type(), &rows.dims, data)
        }
        Data::Ints(values) => {
            let sum = |row: &[i64]| row.iter().fold(0i64, |sum, &value| sum.wrapping_add(value));
            Array::new(array.element_type(), &rows.dims, Data::Ints(rows.each(values, sum)))
        }
        _ => rows.numbers(|row| row.sum()),
    }
}

/// Means; of no elements NaN. Those of integers are cut off.
pub(crate) fn mean(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    let width = rows.width as f64;
    rows.numbers(|row| row.sum::<f64>() / width)
}

/// Products; of integers wrapped to the type.
pub(crate) fn prod(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    match rows.array.data() {
        Data::Ints(values) => {
            let product =
                |row: &[i64]| row.iter().fold(1i64, |all, &value| all.wrapping_mul(value));
            Array::new(array.element_type(), &rows.dims, Data::Ints(rows.each(values, product)))
        }
        _ => rows.numbers(|row| row.product()),
    }
}

/// Largest elements; NaN wins.
pub(crate) fn max(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    extreme(array, over, true)
}

/// Smallest elements; NaN wins.
pub(crate) fn min(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    extreme(array, over, false)
}

fn extreme(array: &Array, over: Over<'_>, largest: bool) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?.not_empty(if largest { "largest" } else { "smallest" })?;
    let data = match rows.array.data() {
        Data::Floats(values) => {
            Data::Floats(rows.each(values, |row| row[best(row, largest, Tie::First)]))
        }
        Data::Doubles(values) => {
            Data::Doubles(rows.each(values, |row| row[best(row, largest, Tie::First)]))
        }
        Data::Ints(values) if array.element_type() == ElementType::Uint64 => {
            let of = |row: &[i64]| {
                let all = row.iter().map(|&value| value as u64);
                (if largest { all.max() } else { all.min() }).unwrap_or(0) as i64
            };
            Data::Ints(rows.each(values, of))
        }
        Data::Ints(values) => {
            Data::Ints(rows.each(values, |row| row[best(row, largest, Tie::First)]))
        }
        Data::Bools(values) => {
            Data::Bools(rows.each(values, |row| row.contains(&largest) == largest))
        }
        Data::Strings(_) => return Err(EvaluateError::new("strings have no largest one")),
    };
    Array::new(array.element_type(), &rows.dims, data)
}

/// Which of several equal elements is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    First,
    Last,
}

/// Where the largest or smallest element of a row that is not empty stands; the first NaN wins.
fn best<T: PartialOrd + Copy>(row: &[T], largest: bool, tie: Tie) -> usize {
    let mut found = 0;
    for (at, value) in row.iter().enumerate() {
        let champion = row[found];
        if champion.partial_cmp(&champion).is_none() {
            return found;
        }
        let better = match value.partial_cmp(&champion) {
            None => true,
            Some(order) if order.is_eq() => tie == Tie::Last,
            Some(order) => order.is_gt() == largest,
        };
        if better {
            found = at;
        }
    }
    found
}

/// Where the largest elements along an axis stand, as 64-bit integers.
pub(crate) fn arg_max(
    array: &Array,
    axis: i64,
    keep_dims: bool,
    tie: Tie,
) -> Result<Array, EvaluateError> {
    arg(array, Over { axes: Some(&[axis]), keep_dims }, true, tie)
}

/// Where the smallest elements along an axis stand, as 64-bit integers.
pub(crate) fn arg_min(
    array: &Array,
    axis: i64,
    keep_dims: bool,
    tie: Tie,
) -> Result<Array, EvaluateError> {
    arg(array, Over { axes: Some(&[axis]), keep_dims }, false, tie)
}

fn arg(array: &Array, over: Over<'_>, largest: bool, tie: Tie) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?.not_empty("position")?;
    let found = match rows.array.data() {
        Data::Floats(values) => rows.each(values, |row| best(row, largest, tie) as i64),
        Data::Ints(values) if array.element_type() != ElementType::Uint64 => {
            rows.each(values, |row| best(row, largest, tie) as i64)
        }
        Data::Bools(values) => rows.each(values, |row| best(row, largest, tie) as i64),
        _ => {
            let values = rows.array.to_f64s()?;
            rows.each(&values, |row| best(row, largest, tie) as i64)
        }
    };
    Array::ints(&rows.dims, found)
}

/// Whether any element is true.
pub(crate) fn any(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    let values = rows.each(rows.array.as_bools()?, |row| row.contains(&true));
    Array::bools(&rows.dims, values)
}

/// Whether all elements are true.
pub(crate) fn all(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    let values = rows.each(rows.array.as_bools()?, |row| !row.contains(&false));
    Array::bools(&rows.dims, values)
}

/// Sums of absolute values.
pub(crate) fn norm_l1(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    rows(array, over)?.numbers(|row| row.map(f64::abs).sum())
}

/// Roots of sums of squares.
pub(crate) fn norm_l2(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    rows(array, over)?.numbers(|row| row.map(|value| value * value).sum::<f64>().sqrt())
}

/// `(Σ |x|^p)^(1/p)`; for an infinite `p` the largest or smallest magnitude, for 0 the number of
/// elements that are not 0.
pub(crate) fn norm(array: &Array, p: f64, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    rows.numbers(|row| {
        let magnitudes = row.map(f64::abs);
        if p == f64::INFINITY {
            magnitudes.fold(0.0, f64::max)
        } else if p == f64::NEG_INFINITY {
            magnitudes.fold(f64::INFINITY, f64::min)
        } else if p == 0.0 {
            magnitudes.filter(|&value| value != 0.0).count() as f64
        } else {
            magnitudes.map(|value| value.powf(p)).sum::<f64>().powf(p.recip())
        }
    })
}

/// Sums of squares.
pub(crate) fn sum_of_squares(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    rows(array, over)?.numbers(|row| row.map(|value| value * value).sum())
}

/// Logarithms of sums of exponentials, without overflow.
pub(crate) fn log_sum_exp(array: &Array, over: Over<'_>) -> Result<Array, EvaluateError> {
    let rows = rows(array, over)?;
    rows.numbers(|row| {
        let values: Vec<f64> = row.collect();
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest.is_infinite() {
            return if values.iter().any(|value| value.is_nan()) { f64::NAN } else { largest };
        }
        largest + values.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
    })
}

/// Mean squared distances from the mean; divided by the number of elements less `correction`.
pub(crate) fn variance(
    array: &Array,
    correction: f64,
    over: Over<'_>,
) -> Result<Array, EvaluateError> {
    if is_integer(array.element_type()) {
        return Err(EvaluateError::new("expected floats for a variance, found integers"));
    }
    let rows = rows(array, over)?;
    let width = rows.width as f64;
    rows.numbers(|row| {
        let values: Vec<f64> = row.collect();
        let mean = values.iter().sum::<f64>() / width;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        squares / (width - correction).max(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> Array {
        Array::floats(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()
    }

    fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[f32]) {
        let found = found.unwrap();
        assert_eq!(found.dims(), dims);
        for (found, expected) in found.to_f64s().unwrap().iter().zip(values) {
            assert!((found - f64::from(*expected)).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn axes_disappear_or_stay() {
        check(sum(&matrix(), Over::axes(&[0])), &[3], &[5.0, 7.0, 9.0]);
        check(sum(&matrix(), Over::kept(&[-1])), &[2, 1], &[6.0, 15.0]);
        check(sum(&matrix(), Over::ALL), &[], &[21.0]);
        check(sum(&matrix(), Over::axes(&[])), &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(sum(&matrix(), Over::axes(&[2])).is_err());
    }

    #[test]
    fn each_reduction_knows_its_answer() {
        check(mean(&matrix(), Over::axes(&[1])), &[2], &[2.0, 5.0]);
        check(prod(&matrix(), Over::axes(&[1])), &[2], &[6.0, 120.0]);
        check(max(&matrix(), Over::axes(&[0])), &[3], &[4.0, 5.0, 6.0]);
        check(min(&matrix(), Over::ALL), &[], &[1.0]);
        check(norm_l1(&matrix(), Over::ALL), &[], &[21.0]);
        check(norm_l2(&matrix(), Over::axes(&[1])), &[2], &[14.0f32.sqrt(), 77.0f32.sqrt()]);
        check(norm(&matrix(), f64::INFINITY, Over::ALL), &[], &[6.0]);
        check(sum_of_squares(&matrix(), Over::ALL), &[], &[91.0]);
        check(variance(&matrix(), 0.0, Over::axes(&[1])), &[2], &[2.0 / 3.0, 2.0 / 3.0]);
        check(variance(&matrix(), 1.0, Over::axes(&[1])), &[2], &[1.0, 1.0]);
        let large = Array::floats(&[2], vec![1000.0, 1000.0]).unwrap();
        check(log_sum_exp(&large, Over::ALL), &[], &[1000.0 + 2.0f32.ln()]);
    }

    #[test]
    fn ties_are_broken_as_asked() {
        let values = Array::floats(&[4], vec![1.0, 3.0, 3.0, 0.0]).unwrap();
        check(arg_max(&values, 0, false, Tie::First), &[], &[1.0]);
        check(arg_max(&values, 0, true, Tie::Last), &[1], &[2.0]);
        check(arg_min(&values, -1, false, Tie::First), &[], &[3.0]);
        let with_nan = Array::floats(&[3], vec![1.0, f32::NAN, 3.0]).unwrap();
        check(arg_max(&with_nan, 0, false, Tie::First), &[], &[1.0]);
        assert!(max(&with_nan, Over::ALL).unwrap().as_floats().unwrap()[0].is_nan());
    }

    #[test]
    fn nothing_has_a_sum_but_no_largest() {
        let empty = Array::floats(&[2, 0], Vec::new()).unwrap();
        check(sum(&empty, Over::axes(&[1])), &[2], &[0.0, 0.0]);
        assert!(max(&empty, Over::axes(&[1])).is_err());
        assert!(arg_max(&empty, 1, false, Tie::First).is_err());
        let none = Array::bools(&[0], Vec::new()).unwrap();
        assert_eq!(all(&none, Over::ALL).unwrap().as_bools().unwrap(), [true]);
        assert_eq!(any(&none, Over::ALL).unwrap().as_bools().unwrap(), [false]);
    }
}
