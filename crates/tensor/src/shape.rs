//! Concrete shapes.

use std::fmt;
use std::ops::Deref;

use smallvec::SmallVec;

use crate::DataType;

/// The dimensions of a tensor, outermost first, row-major. A scalar has none.
///
/// Products are checked: a shape from the wire may multiply past `usize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape(SmallVec<[usize; 6]>);

impl Shape {
    /// A shape with these dimensions.
    pub fn new(dims: &[usize]) -> Self {
        Shape(SmallVec::from_slice(dims))
    }

    /// The dimensions as a slice.
    pub fn dims(&self) -> &[usize] {
        &self.0
    }

    /// Appends an innermost dimension.
    pub fn push(&mut self, dim: usize) {
        self.0.push(dim);
    }

    /// Number of elements, or `None` when the product does not fit `usize`.
    pub fn elements(&self) -> Option<usize> {
        elements(&self.0)
    }

    /// Bytes that a tensor of this shape takes, or `None` when that overflows or `data_type` is
    /// [`DataType::Bytes`].
    pub fn byte_len(&self, data_type: DataType) -> Option<usize> {
        self.elements()?.checked_mul(data_type.size()?)
    }

    /// The same shape with another outermost dimension. A scalar stays a scalar.
    pub fn with_rows(&self, rows: usize) -> Shape {
        let mut shape = self.clone();
        if let Some(first) = shape.0.first_mut() {
            *first = rows;
        }
        shape
    }
}

/// Number of elements of a shape given as a slice; `None` on overflow.
///
/// A zero anywhere makes the answer zero, even beside dimensions whose product overflows.
pub(crate) fn elements(dims: &[usize]) -> Option<usize> {
    if dims.contains(&0) {
        return Some(0);
    }
    dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

impl Deref for Shape {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Self {
        Shape(dims.into_iter().collect())
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape::new(&dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, dim) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{dim}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_checked() {
        assert_eq!(Shape::from([]).elements(), Some(1));
        assert_eq!(Shape::from([2, 3]).elements(), Some(6));
        assert_eq!(Shape::from([usize::MAX, 2]).elements(), None);
        assert_eq!(Shape::from([usize::MAX, 2, 0]).elements(), Some(0));
        assert_eq!(Shape::from([usize::MAX / 2]).byte_len(DataType::Fp32), None);
        assert_eq!(Shape::from([2, 3]).byte_len(DataType::Bytes), None);
    }

    #[test]
    fn shows_like_json() {
        assert_eq!(Shape::from([1, 784]).to_string(), "[1,784]");
        assert_eq!(Shape::from([]).to_string(), "[]");
    }
}
