//! The seam of recurrent cells: one step of a lane, forward and back.

use std::fmt::Debug;

use crate::error::OpError;
use crate::math::matmul::{self, ADDED, Matrix, PLAIN, Packed, Product};
use crate::math::vector;

/// A recurrent cell.
///
/// A step turns the hidden state h (and the state c, where there is one) of `rows` sequences into
/// the next. Its gates come as the product of the step's input with W, biases added, `GATES`
/// blocks of `hidden` columns a row, and are left activated; what else the way back needs goes
/// to `extra`.
pub(super) trait Cell: Debug + Send + Sync + 'static {
    /// Blocks of `hidden` columns in the gates.
    const GATES: usize;

    /// Blocks of `hidden` rows of R that are multiplied together; as many as gates in all.
    const PARTS: &'static [usize];

    /// Whether there is a second state.
    const HAS_C: bool;

    /// Blocks of `hidden` columns in `extra`.
    const EXTRA: usize;

    /// The bias to add to the products with the input, from those of W and R.
    fn input_bias(&self, of_w: &[f32], of_r: &[f32]) -> Vec<f32> {
        of_w.iter().zip(of_r).map(|(one, two)| one + two).collect()
    }

    /// One step.
    fn step(&self, with: &Recurrence<'_>, at: Step<'_>) -> Result<(), OpError>;

    /// One step back: leaves the gradients by the gates before activation in `gates`.
    fn back(&self, with: &Recurrence<'_>, at: BackStep<'_>) -> Result<(), OpError>;

    /// Adds the gradients by R and its bias, from those by the gates of all steps.
    fn by_recurrence(&self, at: &Steps<'_>, out: ByRecurrence<'_>) -> Result<(), OpError> {
        matmul::multiply(out.r, at.gates::<Self>().transposed(), at.states(), ADDED)?;
        add_columns(out.bias, at.gates);
        Ok(())
    }
}

/// What all steps of a lane share.
pub(super) struct Recurrence<'a> {
    pub(super) rows: usize,
    pub(super) hidden: usize,
    /// The parts of R: as they are on the way back, transposed on the way forward.
    parts: Vec<Packed>,
    /// The bias of R: `GATES * hidden`.
    pub(super) bias: &'a [f32],
}

/// A step forward.
pub(super) struct Step<'a> {
    pub(super) gates: &'a mut [f32],
    pub(super) extra: &'a mut [f32],
    pub(super) h: &'a [f32],
    pub(super) c: &'a [f32],
    pub(super) next_h: &'a mut [f32],
    pub(super) next_c: &'a mut [f32],
}

/// A step back.
pub(super) struct BackStep<'a> {
    pub(super) gates: &'a mut [f32],
    pub(super) extra: &'a mut [f32],
    /// The states before the step.
    pub(super) h: &'a [f32],
    pub(super) c: &'a [f32],
    /// The gradients by the states after the step, to be replaced by those before.
    pub(super) by_h: &'a mut [f32],
    pub(super) by_c: &'a mut [f32],
}

/// All steps of a lane after the way back.
pub(super) struct Steps<'a> {
    /// Steps times rows.
    pub(super) rows: usize,
    pub(super) hidden: usize,
    /// Gradients by the gates.
    pub(super) gates: &'a [f32],
    pub(super) extra: &'a [f32],
    /// Hidden states before the steps.
    pub(super) h: &'a [f32],
}

/// Gradients to add to.
pub(super) struct ByRecurrence<'a> {
    pub(super) r: &'a mut [f32],
    pub(super) bias: &'a mut [f32],
}

impl<'a> Recurrence<'a> {
    /// For a cell whose R is `r`: `GATES * hidden` rows of `hidden` columns.
    pub(super) fn new<C: Cell>(
        (rows, hidden): (usize, usize),
        r: &[f32],
        bias: &'a [f32],
        forward: bool,
    ) -> Result<Recurrence<'a>, OpError> {
        let mut rest = r;
        let mut parts = Vec::with_capacity(C::PARTS.len());
        for blocks in C::PARTS {
            let (part, tail) = rest.split_at(blocks * hidden * hidden);
            rest = tail;
            let part = Matrix::new(part, blocks * hidden, hidden);
            parts.push(Packed::new(part.transposed_if(forward))?);
        }
        Ok(Recurrence { rows, hidden, parts, bias })
    }

    /// The product of a matrix with a part of R.
    pub(super) fn multiply(
        &self,
        out: &mut [f32],
        with: Matrix<'_>,
        part: usize,
        product: Product<'_>,
    ) -> Result<(), OpError> {
        matmul::multiply_packed(out, with, &self.parts[part], product)
    }

    /// `gates += h Rᵀ`, for cells where that is all.
    pub(super) fn add_products(&self, gates: &mut [f32], h: &[f32]) -> Result<(), OpError> {
        self.multiply(gates, Matrix::new(h, self.rows, self.hidden), 0, ADDED)
    }

    /// `by_h = gates R`, for cells where that is all.
    pub(super) fn products_back(&self, gates: &[f32], by_h: &mut [f32]) -> Result<(), OpError> {
        let columns = gates.len() / self.rows.max(1);
        self.multiply(by_h, Matrix::new(gates, self.rows, columns), 0, PLAIN)
    }
}

impl Steps<'_> {
    /// The gates of a cell as a matrix.
    pub(super) fn gates<C: Cell + ?Sized>(&self) -> Matrix<'_> {
        Matrix::new(self.gates, self.rows, C::GATES * self.hidden)
    }

    /// The states as a matrix.
    pub(super) fn states(&self) -> Matrix<'_> {
        Matrix::new(self.h, self.rows, self.hidden)
    }
}

/// Blocks of columns of a row-major matrix with `all` blocks of `width` columns.
pub(super) fn blocks(
    data: &[f32],
    (rows, width, all): (usize, usize, usize),
    (first, count): (usize, usize),
) -> Matrix<'_> {
    let data = data.get(first * width..).unwrap_or_default();
    Matrix { data, rows, columns: count * width, strides: (all * width, 1) }
}

/// Adds the rows of a matrix to `sums`.
pub(super) fn add_columns(sums: &mut [f32], matrix: &[f32]) {
    if !sums.is_empty() {
        matrix.chunks_exact(sums.len()).for_each(|row| vector::add(sums, row));
    }
}
