//! Matrix products.

use std::ops::{Add, Mul};

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_tensor::NdTensorView;

use super::layout::{broadcast, broadcast_strides, each_run, elements};
use super::{Array, Data, elementwise, shape};
use crate::EvaluateError;

/// A row-major matrix, or its transpose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Whether `data` holds the transposed matrix.
    pub(crate) transposed: bool,
}

impl<'a, T> Matrix<'a, T> {
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Matrix<'a, T> {
        Matrix { data, rows, columns, transposed: false }
    }

    /// The transpose of a matrix of `columns` rows and `rows` columns.
    pub(crate) fn transposed(data: &'a [T], rows: usize, columns: usize) -> Matrix<'a, T> {
        Matrix { data, rows, columns, transposed: true }
    }

    fn strides(&self) -> [usize; 2] {
        if self.transposed { [1, self.rows] } else { [self.columns, 1] }
    }
}

/// Numbers that are multiplied and added up.
pub(crate) trait Number:
    Copy + Default + Send + Sync + Add<Output = Self> + Mul<Output = Self>
{
    /// `out = a b`, where `out` is row-major.
    fn multiply(
        out: &mut [Self],
        a: Matrix<'_, Self>,
        b: Matrix<'_, Self>,
    ) -> Result<(), EvaluateError>;
}

impl Number for f32 {
    fn multiply(
        out: &mut [f32],
        a: Matrix<'_, f32>,
        b: Matrix<'_, f32>,
    ) -> Result<(), EvaluateError> {
        check_sizes(out, a, b)?;
        if a.columns == 0 {
            out.fill(0.0);
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Debug| {
            let (m, k, n) = (a.rows, a.columns, b.columns);
            EvaluateError::new(format!("cannot multiply {m} x {k} by {k} x {n}: {error:?}"))
        };
        let (left, right) = (GemmInputA::Unpacked(a.view()?), GemmInputB::Unpacked(b.view()?));
        EXECUTOR
            .with(|executor| executor.gemm(out, left, right, GemmOptions::default()))
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

impl<'a> Matrix<'a, f32> {
    fn view(self) -> Result<NdTensorView<'a, f32, 2>, EvaluateError> {
        let size = [self.rows, self.columns];
        NdTensorView::from_data_with_strides(size, self.data, self.strides())
            .map_err(|error| EvaluateError::new(format!("matrix of {size:?}: {error:?}")))
    }
}

thread_local! {
    static EXECUTOR: GemmExecutor = GemmExecutor::new();
}

impl Number for f64 {
    fn multiply(
        out: &mut [f64],
        a: Matrix<'_, f64>,
        b: Matrix<'_, f64>,
    ) -> Result<(), EvaluateError> {
        plain(out, a, b, |sum, a, b| sum + a * b)
    }
}

impl Number for i64 {
    fn multiply(
        out: &mut [i64],
        a: Matrix<'_, i64>,
        b: Matrix<'_, i64>,
    ) -> Result<(), EvaluateError> {
        plain(out, a, b, |sum, a, b| sum.wrapping_add(a.wrapping_mul(b)))
    }
}

fn plain<T: Number>(
    out: &mut [T],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    add: impl Fn(T, T, T) -> T,
) -> Result<(), EvaluateError> {
    check_sizes(out, a, b)?;
    out.fill(T::default());
    let ([a_row, a_column], [b_row, b_column]) = (a.strides(), b.strides());
    for (row, out) in out.chunks_exact_mut(b.columns.max(1)).enumerate() {
        for inner in 0..a.columns {
            let factor = a.data[row * a_row + inner * a_column];
            if b.transposed {
                for (column, sum) in out.iter_mut().enumerate() {
                    *sum = add(*sum, factor, b.data[inner * b_row + column * b_column]);
                }
            } else {
                let other = &b.data[inner * b_row..inner * b_row + b.columns];
                for (sum, &other) in out.iter_mut().zip(other) {
                    *sum = add(*sum, factor, other);
                }
            }
        }
    }
    Ok(())
}

fn check_sizes<T>(out: &[T], a: Matrix<'_, T>, b: Matrix<'_, T>) -> Result<(), EvaluateError> {
    let size = |rows: usize, columns: usize| rows.checked_mul(columns);
    let right = a.columns == b.rows
        && size(a.rows, a.columns) == Some(a.data.len())
        && size(b.rows, b.columns) == Some(b.data.len())
        && size(a.rows, b.columns) == Some(out.len());
    if right {
        return Ok(());
    }
    Err(EvaluateError::new(format!(
        "cannot multiply {} x {} by {} x {}",
        a.rows, a.columns, b.rows, b.columns
    )))
}

/// The product as numpy's `matmul` has it: of the last two dimensions, the others broadcast;
/// vectors are rows on the left and columns on the right.
pub(crate) fn matmul(one: &Array, two: &Array) -> Result<Array, EvaluateError> {
    let mismatch = || {
        let message = format!("shapes {:?} and {:?} cannot be multiplied", one.dims(), two.dims());
        EvaluateError::new(message)
    };
    if one.rank() == 0 || two.rank() == 0 || one.element_type() != two.element_type() {
        return Err(mismatch());
    }
    let row = one.rank() == 1;
    let column = two.rank() == 1;
    let left = if row { shape::expand_dims(one, &[0])? } else { one.clone() };
    let right = if column { shape::expand_dims(two, &[1])? } else { two.clone() };
    let (outer, [m, k]) = split(&left);
    let (other, [rows, n]) = split(&right);
    if k != rows {
        return Err(mismatch());
    }
    let batch = broadcast(outer, other).map_err(|_| mismatch())?;
    let mut dims = batch.clone();
    dims.extend([m, n]);
    let count = elements(&dims)?;
    let sizes = Sizes { batch: &batch, outer, other, m, k, n };
    let data = match (left.data(), right.data()) {
        (Data::Floats(a), Data::Floats(b)) => Data::Floats(products(a, b, &sizes, count)?),
        (Data::Doubles(a), Data::Doubles(b)) => Data::Doubles(products(a, b, &sizes, count)?),
        (Data::Ints(a), Data::Ints(b)) => Data::Ints(products(a, b, &sizes, count)?),
        _ => return Err(EvaluateError::new("expected numbers to multiply")),
    };
    if row {
        dims.remove(dims.len() - 2);
    }
    if column {
        dims.pop();
    }
    Array::new(one.element_type(), &dims, data)
}

struct Sizes<'a> {
    batch: &'a [usize],
    outer: &'a [usize],
    other: &'a [usize],
    m: usize,
    k: usize,
    n: usize,
}

fn products<T: Number>(
    a: &[T],
    b: &[T],
    sizes: &Sizes<'_>,
    count: usize,
) -> Result<Vec<T>, EvaluateError> {
    let Sizes { m, k, n, .. } = *sizes;
    let mut out = vec![T::default(); count];
    if count == 0 {
        return Ok(out);
    }
    // One matrix for all: a single taller product.
    if elements(sizes.other)? == 1 {
        let rows = count / n;
        T::multiply(&mut out, Matrix::new(a, rows, k), Matrix::new(b, k, n))?;
        return Ok(out);
    }
    let strides =
        [broadcast_strides(sizes.outer, sizes.batch), broadcast_strides(sizes.other, sizes.batch)];
    let mut parts = out.chunks_exact_mut(m * n);
    let mut result = Ok(());
    each_run(sizes.batch, [&strides[0], &strides[1]], [0, 0], |[a_at, b_at]| {
        let (Some(out), Ok(())) = (parts.next(), &result) else { return };
        let a = &a[a_at as usize * m * k..][..m * k];
        let b = &b[b_at as usize * k * n..][..k * n];
        result = T::multiply(out, Matrix::new(a, m, k), Matrix::new(b, k, n));
    });
    result?;
    Ok(out)
}

fn split(array: &Array) -> (&[usize], [usize; 2]) {
    match array.dims() {
        [outer @ .., m, n] => (outer, [*m, *n]),
        _ => (&[], [1, array.len()]),
    }
}

/// `x Wᵀ + b`: a fully connected layer with weights of shape `[out, in]`.
pub(crate) fn linear(
    x: &Array,
    weight: &Array,
    bias: Option<&Array>,
) -> Result<Array, EvaluateError> {
    let mismatch = || {
        let message = format!(
            "input {:?} and weights {:?} of a linear layer do not fit",
            x.dims(),
            weight.dims()
        );
        EvaluateError::new(message)
    };
    let (Some((&inner, outer)), &[n, k]) = (x.dims().split_last(), weight.dims()) else {
        return Err(mismatch());
    };
    if inner != k {
        return Err(mismatch());
    }
    let mut dims = outer.to_vec();
    dims.push(n);
    let m = elements(outer)?;
    let product = match (x.data(), weight.data()) {
        (Data::Floats(a), Data::Floats(b)) => {
            let mut out = vec![0.0; elements(&dims)?];
            f32::multiply(&mut out, Matrix::new(a, m, k), Matrix::transposed(b, k, n))?;
            Array::new(x.element_type(), &dims, Data::Floats(out))?
        }
        _ => matmul(x, &shape::transpose(weight, &[1, 0])?)?,
    };
    match bias {
        Some(bias) => elementwise::add(&product, bias),
        None => Ok(product),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(dims: &[usize], values: &[f32]) -> Array {
        Array::floats(dims, values.to_vec()).unwrap()
    }

    fn counted(dims: &[usize]) -> Array {
        let count = dims.iter().product::<usize>();
        Array::floats(dims, (0..count).map(|value| value as f32).collect()).unwrap()
    }

    #[test]
    fn multiplies_vectors_matrices_and_batches() {
        let (a, b) = (floats(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), floats(&[2], &[1.0, 10.0]));
        assert_eq!(matmul(&a, &b).unwrap(), floats(&[2], &[21.0, 43.0]));
        assert_eq!(matmul(&b, &a).unwrap(), floats(&[2], &[31.0, 42.0]));
        assert_eq!(matmul(&b, &b).unwrap(), floats(&[], &[101.0]));
        let batches = matmul(&counted(&[2, 1, 1, 2]), &counted(&[2, 2, 1])).unwrap();
        assert_eq!(batches, floats(&[2, 2, 1, 1], &[1.0, 3.0, 3.0, 13.0]));
        let tall = matmul(&counted(&[2, 1, 2]), &counted(&[2, 2])).unwrap();
        assert_eq!(tall, floats(&[2, 1, 2], &[2.0, 3.0, 6.0, 11.0]));
    }

    #[test]
    fn integers_and_doubles_are_multiplied_too() {
        let ints = |dims: &[usize], values: &[i64]| Array::ints(dims, values.to_vec()).unwrap();
        let product = matmul(&ints(&[1, 2], &[2, 3]), &ints(&[2, 1], &[5, 7])).unwrap();
        assert_eq!(product, ints(&[1, 1], &[31]));
        let doubles = |dims: &[usize], values: &[f64]| {
            Array::new(modelyard_graph::ElementType::Float64, dims, Data::Doubles(values.to_vec()))
                .unwrap()
        };
        let product =
            matmul(&doubles(&[1, 2], &[0.5, 3.0]), &doubles(&[2, 1], &[2.0, 1.0])).unwrap();
        assert_eq!(product, doubles(&[1, 1], &[4.0]));
    }

    #[test]
    fn layers_have_their_weights_transposed() {
        let weight = floats(&[2, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        let bias = floats(&[2], &[0.5, -0.5]);
        let found = linear(&counted(&[1, 2, 3]), &weight, Some(&bias)).unwrap();
        assert_eq!(found, floats(&[1, 2, 2], &[0.5, 2.5, 3.5, 8.5]));
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let error = matmul(&counted(&[2, 3]), &counted(&[2, 3])).unwrap_err();
        assert_eq!(error.0, "shapes [2, 3] and [2, 3] cannot be multiplied");
        assert!(linear(&counted(&[2, 3]), &counted(&[2, 2]), None).is_err());
        assert!(matmul(&counted(&[2, 1, 1]), &counted(&[3, 1, 1])).is_err());
        assert_eq!(
            matmul(&counted(&[2, 0]), &counted(&[0, 2])).unwrap(),
            floats(&[2, 2], &[0.0; 4])
        );
        assert_eq!(matmul(&counted(&[0, 2]), &counted(&[2, 2])).unwrap().dims(), [0, 2]);
    }
}
