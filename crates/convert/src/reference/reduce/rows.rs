//! The elements that are reduced together.

use super::super::shape::transpose;
use super::super::{Array, Data, layout};
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
pub(super) struct Rows {
    pub(super) array: Array,
    pub(super) width: usize,
    pub(super) count: usize,
    pub(super) dims: Vec<usize>,
}

pub(super) fn rows(array: &Array, over: Over<'_>) -> Result<Rows, EvaluateError> {
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
    pub(super) fn each<T, U>(&self, values: &[T], f: impl Fn(&[T]) -> U) -> Vec<U> {
        let row = |index: usize| &values[index * self.width..(index + 1) * self.width];
        (0..self.count).map(|index| f(row(index))).collect()
    }

    /// One float of each row, by a function of its elements in double precision; of the type of
    /// the array.
    pub(super) fn numbers(
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

    pub(super) fn not_empty(self, what: &str) -> Result<Rows, EvaluateError> {
        if self.width == 0 && self.count > 0 {
            return Err(EvaluateError::new(format!("the {what} of no elements does not exist")));
        }
        Ok(self)
    }
}
