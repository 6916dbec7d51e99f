//! Where the heads of an array are: `[N, heads, rows, width]`, `[N, rows, heads * width]`, or a
//! part of the columns of the latter.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::matmul::Matrix;
use crate::operator::Scope;

/// Heads inside an array: for each sample and head a matrix of `rows` times `width`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
    offset: usize,
    /// Between samples, heads and rows.
    strides: [usize; 3],
}

impl Place {
    /// Heads that follow each other: `[N, heads, rows, width]`.
    pub(super) fn plain([batch, heads, rows, width]: [usize; 4]) -> Place {
        let strides = [heads * rows * width, rows * width, width];
        Place { batch, heads, rows, width, offset: 0, strides }
    }

    /// Heads side by side in columns from `offset` on: `[N, rows, columns]`.
    pub(super) fn columns(
        [batch, rows, columns]: [usize; 3],
        offset: usize,
        (heads, width): (usize, usize),
    ) -> Place {
        let strides = [rows * columns, width, columns];
        Place { batch, heads, rows, width, offset, strides }
    }

    /// The heads of an array of 4 dimensions, or of 3, where their number must be known.
    pub(super) fn of(name: &str, shape: &Shape, heads: Option<usize>) -> Result<Place, OpError> {
        let place = match (shape.dims(), heads) {
            (&[batch, heads, rows, width], _) => Place::plain([batch, heads, rows, width]),
            (&[batch, rows, columns], Some(heads)) if heads > 0 && columns % heads == 0 => {
                Place::columns([batch, rows, columns], 0, (heads, columns / heads))
            }
            (&[_, _, _], Some(heads)) => {
                return Err(OpError::new(format!(
                    "{name} of shape {shape} does not hold {heads} heads of one width"
                )));
            }
            (&[_, _, _], None) => {
                return Err(OpError::new(format!(
                    "{name} has shape {shape}, and no attribute says how many heads that is"
                )));
            }
            _ => {
                return Err(OpError::new(format!(
                    "{name} has shape {shape}, expected 3 or 4 dimensions"
                )));
            }
        };
        Ok(place)
    }

    /// Elements of all heads.
    pub(super) fn len(&self) -> usize {
        self.batch * self.heads * self.rows * self.width
    }

    fn start(&self, sample: usize, head: usize) -> usize {
        self.offset + sample * self.strides[0] + head * self.strides[1]
    }

    /// One head of `data`.
    pub(super) fn matrix<'a>(&self, data: &'a [f32], sample: usize, head: usize) -> Matrix<'a> {
        let data = data.get(self.start(sample, head)..).unwrap_or_default();
        Matrix { data, rows: self.rows, columns: self.width, strides: (self.strides[2], 1) }
    }

    /// Copies heads that follow each other in `from` to where they belong in `to`.
    pub(super) fn scatter(&self, to: &mut [f32], from: &[f32]) {
        let mut rows = from.chunks_exact(self.width.max(1));
        for sample in 0..self.batch {
            for head in 0..self.heads {
                let start = self.start(sample, head);
                for row in 0..self.rows {
                    let Some(from) = rows.next() else { return };
                    to[start + row * self.strides[2]..][..self.width].copy_from_slice(from);
                }
            }
        }
    }
}

/// Puts heads that follow each other where they belong in an array of `shape`.
pub(super) fn arranged(
    scope: &mut Scope<'_>,
    heads: Vec<f32>,
    place: Place,
    shape: &Shape,
) -> Array {
    let plain = Place::plain([place.batch, place.heads, place.rows, place.width]);
    if place == plain {
        return Array::floats(shape.clone(), heads);
    }
    let mut out = scope.buffers.take(heads.len());
    place.scatter(&mut out, &heads);
    scope.buffers.give(heads);
    Array::floats(shape.clone(), out)
}
