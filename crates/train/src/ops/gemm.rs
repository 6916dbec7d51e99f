//! Gemm: `alpha A' B' + beta C`, where A and B may be transposed and C broadcasts.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::math::matmul::{self, Matrix, Product};
use crate::math::vector;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
}

/// An input as the matrix that is stored.
fn matrix(array: &Array) -> Result<Matrix<'_>, OpError> {
    match array.shape().dims() {
        &[rows, columns] => Ok(Matrix::new(array.as_floats()?, rows, columns)),
        _ => Err(OpError::new(format!("expected a matrix, found shape {}", array.shape()))),
    }
}

impl Operator for Gemm {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let a = matrix(inputs.at(0)?)?.transposed_if(self.transpose_a);
        let b = matrix(inputs.at(1)?)?.transposed_if(self.transpose_b);
        let shape = Shape::from([a.rows, b.columns]);
        let len = scope.elements(&shape)?;
        let mut out = scope.buffers.take(len);
        let c = inputs.get(2);
        // The usual bias, one element a column, is added while the product is written.
        let bias = match c {
            Some(c)
                if self.beta == 1.0
                    && c.len() == b.columns
                    && c.shape().last() == Some(&c.len()) =>
            {
                Some(c.as_floats()?)
            }
            _ => None,
        };
        matmul::multiply(&mut out, a, b, Product { alpha: self.alpha, beta: 0.0, bias })?;
        if let (Some(c), None) = (c, bias) {
            if broadcast::shape(&shape, c.shape())? != shape {
                return Err(OpError::new(format!(
                    "C of shape {} is no bias of {shape}",
                    c.shape()
                )));
            }
            let product = out;
            out = scope.buffers.take(product.len());
            let walk = Walk::new(&shape, &shape, c.shape());
            let beta = self.beta;
            broadcast::apply(&mut out, &walk, (&product, c.as_floats()?), |x, c| x + beta * c);
            scope.buffers.give(product);
        }
        Ok(Array::floats(shape, out).into())
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        let mut reads = Reads::NOTHING;
        if wanted[0] {
            reads = reads.and_input(1);
        }
        if wanted.get(1) == Some(&true) {
            reads = reads.and_input(0);
        }
        reads
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let dy = matrix(&gradient)?;
        let product = Product { alpha: self.alpha, beta: 0.0, bias: None };
        let mut by_a = None;
        if at.wants(0) {
            let b = matrix(at.inputs.at(1)?)?.transposed_if(self.transpose_b);
            let shape = at.shape(0)?.clone();
            let mut out = scope.buffers.take(shape.iter().product());
            // A' = dy B'ᵀ, and A is its transposed where A was.
            match self.transpose_a {
                false => matmul::multiply(&mut out, dy, b.transposed(), product)?,
                true => matmul::multiply(&mut out, b, dy.transposed(), product)?,
            }
            by_a = Some(Array::floats(shape, out));
        }
        let mut by_b = None;
        if at.wants(1) {
            let a = matrix(at.inputs.at(0)?)?.transposed_if(self.transpose_a);
            let shape = at.shape(1)?.clone();
            let mut out = scope.buffers.take(shape.iter().product());
            match self.transpose_b {
                false => matmul::multiply(&mut out, a.transposed(), dy, product)?,
                true => matmul::multiply(&mut out, dy.transposed(), a, product)?,
            }
            by_b = Some(Array::floats(shape, out));
        }
        let mut by_c = None;
        if at.wants(2) {
            let (from, to) = (gradient.shape().clone(), at.shape(2)?.clone());
            let mut sum = broadcast::sum_to(scope.buffers, gradient.into_floats()?, &from, &to);
            if self.beta != 1.0 {
                vector::scale(&mut sum, self.beta);
            }
            by_c = Some(Array::floats(to, sum));
        } else {
            scope.buffers.recycle(gradient);
        }
        Ok(vec![by_a, by_b, by_c])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Gemm {
        alpha: site.float("alpha", 1.0),
        beta: site.float("beta", 1.0),
        transpose_a: site.flag("transA", false),
        transpose_b: site.flag("transB", false),
    }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn gradient(
            (m, k, n) in (1usize..5, 1usize..5, 1usize..5),
            (transpose_a, transpose_b) in (any::<bool>(), any::<bool>()),
            bias in 0usize..4,
            seed in any::<u64>(),
        ) {
            let a = if transpose_a { [k, m] } else { [m, k] };
            let b = if transpose_b { [n, k] } else { [k, n] };
            let case = Case::new("Gemm")
                .with("alpha", 0.5)
                .with("beta", if bias == 1 { 1.0 } else { 1.5 })
                .with("transA", i64::from(transpose_a))
                .with("transB", i64::from(transpose_b))
                .trained(&a, numbers(seed, m * k))
                .trained(&b, numbers(!seed, k * n));
            match bias {
                0 => case,
                1 => case.trained(&[n], numbers(seed ^ 1, n)),
                2 => case.trained(&[m, 1], numbers(seed ^ 1, m)),
                _ => case.trained(&[m, n], numbers(seed ^ 1, m * n)),
            }.check();
        }
    }
}
