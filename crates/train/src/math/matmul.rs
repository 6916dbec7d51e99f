//! Matrix products.

use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use crate::OpError;

/// A matrix of floats inside a slice: element (row, column) is at `row * strides.0 + column *
/// strides.1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) strides: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// A row-major matrix that fills `data`.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Matrix<'a> {
        Matrix { data, rows, columns, strides: (columns, 1) }
    }

    /// The transposed matrix; copies nothing.
    pub(crate) fn transposed(self) -> Matrix<'a> {
        Matrix {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            strides: (self.strides.1, self.strides.0),
        }
    }

    /// The transposed matrix where `transpose` says so.
    pub(crate) fn transposed_if(self, transpose: bool) -> Matrix<'a> {
        if transpose { self.transposed() } else { self }
    }

    fn view(self) -> Result<NdTensorView<'a, f32, 2>, OpError> {
        let (row, column) = self.strides;
        NdTensorView::from_data_with_strides([self.rows, self.columns], self.data, [row, column])
            .map_err(|error| {
                OpError::new(format!("matrix of {} x {}: {error:?}", self.rows, self.columns))
            })
    }
}

/// What is done with the product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    /// Factor of the product.
    pub(crate) alpha: f32,
    /// Factor of what `out` holds before; 0 ignores it, whatever it is.
    pub(crate) beta: f32,
    /// Added to every row: one element a column.
    pub(crate) bias: Option<&'a [f32]>,
}

/// Just the product.
pub(crate) const PLAIN: Product<'static> = Product { alpha: 1.0, beta: 0.0, bias: None };

/// Added to what is there.
pub(crate) const ADDED: Product<'static> = Product { alpha: 1.0, beta: 1.0, bias: None };

thread_local! {
    static EXECUTOR: GemmExecutor = GemmExecutor::new();
}

/// `out = alpha * a b + beta * out + bias`, where `out` is row-major.
pub(crate) fn multiply(
    out: &mut [f32],
    a: Matrix<'_>,
    b: Matrix<'_>,
    product: Product<'_>,
) -> Result<(), OpError> {
    run(out, a, (GemmInputB::Unpacked(b.view()?), [b.rows, b.columns]), product)
}

/// A right-hand matrix in the order in which products read it: for several products with one
/// matrix.
pub(crate) struct Packed {
    matrix: PackedBMatrix<f32>,
    size: [usize; 2],
}

impl Packed {
    /// Packs a matrix.
    pub(crate) fn new(b: Matrix<'_>) -> Result<Packed, OpError> {
        let view = b.view()?;
        let matrix = EXECUTOR.with(|executor| executor.prepack_b(view));
        Ok(Packed { matrix, size: [b.rows, b.columns] })
    }
}

/// [`multiply`] with a packed matrix.
pub(crate) fn multiply_packed(
    out: &mut [f32],
    a: Matrix<'_>,
    b: &Packed,
    product: Product<'_>,
) -> Result<(), OpError> {
    run(out, a, (GemmInputB::Packed(&b.matrix), b.size), product)
}

fn run(
    out: &mut [f32],
    a: Matrix<'_>,
    (b, [rows, columns]): (GemmInputB<'_, f32>, [usize; 2]),
    product: Product<'_>,
) -> Result<(), OpError> {
    let options = GemmOptions {
        alpha: product.alpha,
        beta: product.beta,
        bias: product.bias.map(BiasVector::Row),
        ..GemmOptions::default()
    };
    let left = GemmInputA::Unpacked(a.view()?);
    EXECUTOR.with(|executor| executor.gemm(out, left, b, options)).map_err(|error| {
        OpError::new(format!(
            "cannot multiply {} x {} by {rows} x {columns}: {error}",
            a.rows, a.columns
        ))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_with_every_option() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 1.0, 0.0, 3.0];
        let mut out = [1.0; 4];
        multiply(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 2), PLAIN).unwrap();
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        let bias = [1.0, -1.0];
        let product = Product { alpha: 2.0, beta: 0.0, bias: Some(&bias) };
        let transposed = Matrix::new(&a, 3, 2).transposed();
        multiply(&mut out, transposed, Matrix::new(&b, 3, 2), product).unwrap();
        // aᵀ = [[1, 3, 5], [2, 4, 6]]
        assert_eq!(out, [15.0, 35.0, 21.0, 43.0]);
        let packed = Packed::new(Matrix::new(&b, 3, 2)).unwrap();
        multiply_packed(&mut out, transposed, &packed, product).unwrap();
        assert_eq!(out, [15.0, 35.0, 21.0, 43.0]);
        let error = multiply(&mut out, Matrix::new(&a, 2, 3), Matrix::new(&b, 2, 3), PLAIN);
        assert!(error.unwrap_err().to_string().starts_with("cannot multiply 2 x 3 by 2 x 3"));
    }
}
