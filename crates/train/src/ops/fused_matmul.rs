//! `com.microsoft.FusedMatMul` (before, TransposeMatMul): `alpha A' B'`, where the last two axes
//! of each may be swapped, with NumPy's broadcasting of the leading axes.

use modelyard_tensor::Shape;

use super::matmul::Stacks;
use crate::array::Array;
use crate::error::OpError;
use crate::math::matmul::{self, Matrix, Product};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct FusedMatMul {
    alpha: f32,
    transpose_a: bool,
    transpose_b: bool,
}

/// The shape after swapping the last two axes. A vector stays, as in ONNX Runtime.
fn swapped(shape: &Shape, swap: bool) -> Shape {
    let mut dims = shape.dims().to_vec();
    if let ([.., rows, columns], true) = (&mut dims[..], swap) {
        std::mem::swap(rows, columns);
    }
    Shape::new(&dims)
}

/// One of the operands: its elements, and the size of its matrices after swapping.
#[derive(Clone, Copy)]
struct Operand<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    swap: bool,
}

impl<'a> Operand<'a> {
    /// Matrix `number`.
    fn at(&self, number: usize) -> Matrix<'a> {
        let (rows, columns) =
            if self.swap { (self.columns, self.rows) } else { (self.rows, self.columns) };
        let size = rows * columns;
        Matrix::new(&self.data[number * size..][..size], rows, columns).transposed_if(self.swap)
    }
}

impl FusedMatMul {
    fn stacks(&self, a: &Shape, b: &Shape) -> Result<Stacks, OpError> {
        let swap_a = self.transpose_a && a.len() > 1;
        let stacks =
            Stacks::new(&swapped(a, swap_a), &swapped(b, self.transpose_b && b.len() > 1))?;
        if swap_a || !stacks.is_one_product() {
            return Ok(stacks);
        }
        // All matrices of A meet one B: then they are one tall matrix.
        let Stacks { rows, depth, columns, .. } = stacks;
        let mut tall =
            Stacks::new(&[rows * stacks.count(), depth].into(), &[depth, columns].into())?;
        tall.shape = stacks.shape;
        Ok(tall)
    }

    fn a<'a>(&self, stacks: &Stacks, data: &'a [f32], shape: &Shape) -> Operand<'a> {
        let swap = self.transpose_a && shape.len() > 1;
        Operand { data, rows: stacks.rows, columns: stacks.depth, swap }
    }

    fn b<'a>(&self, stacks: &Stacks, data: &'a [f32], shape: &Shape) -> Operand<'a> {
        let swap = self.transpose_b && shape.len() > 1;
        Operand { data, rows: stacks.depth, columns: stacks.columns, swap }
    }
}

/// Adds `alpha left right` to a matrix that is stored swapped where `swap` says so.
fn add(
    out: &mut [f32],
    (left, right): (Matrix<'_>, Matrix<'_>),
    alpha: f32,
    swap: bool,
) -> Result<(), OpError> {
    let product = Product { alpha, beta: 1.0, bias: None };
    match swap {
        false => matmul::multiply(out, left, right, product),
        true => matmul::multiply(out, right.transposed(), left.transposed(), product),
    }
}

impl Operator for FusedMatMul {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (a, b) = (inputs.at(0)?, inputs.at(1)?);
        let stacks = self.stacks(a.shape(), b.shape())?;
        let one = self.a(&stacks, a.as_floats()?, a.shape());
        let two = self.b(&stacks, b.as_floats()?, b.shape());
        let len = scope.elements(&stacks.shape)?;
        let mut out = scope.buffers.take(len);
        if !out.is_empty() {
            let mut targets = out.chunks_exact_mut(stacks.rows * stacks.columns);
            let product = Product { alpha: self.alpha, beta: 0.0, bias: None };
            stacks.pairs(|i, j| {
                let Some(target) = targets.next() else { return Ok(()) };
                matmul::multiply(target, one.at(i), two.at(j), product)
            })?;
        }
        Ok(Array::floats(stacks.shape, out).into())
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        match wanted {
            [true, false] => Reads::NOTHING.and_input(1),
            [false, true] => Reads::NOTHING.and_input(0),
            _ => Reads::INPUTS,
        }
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let shapes = (at.shape(0)?, at.shape(1)?);
        let stacks = self.stacks(shapes.0, shapes.1)?;
        let Stacks { rows, depth, columns, .. } = stacks;
        let dy = Operand { data: gradient.as_floats()?, rows, columns, swap: false };
        let mut gradients = vec![None, None];
        for (number, of) in gradients.iter_mut().enumerate() {
            if !at.wants(number) {
                continue;
            }
            let shape = at.shape(number)?.clone();
            let mut out = scope.buffers.zeros(shape.iter().product());
            let mut place = 0;
            if number == 0 {
                let b = self.b(&stacks, at.inputs.floats(1)?, shapes.1);
                let swap = self.transpose_a && shape.len() > 1;
                stacks.pairs(|i, j| {
                    let target = &mut out[i * rows * depth..][..rows * depth];
                    let pair = (dy.at(place), b.at(j).transposed());
                    place += 1;
                    add(target, pair, self.alpha, swap)
                })?;
            } else {
                let a = self.a(&stacks, at.inputs.floats(0)?, shapes.0);
                let swap = self.transpose_b && shape.len() > 1;
                stacks.pairs(|i, j| {
                    let target = &mut out[j * depth * columns..][..depth * columns];
                    let pair = (a.at(i).transposed(), dy.at(place));
                    place += 1;
                    add(target, pair, self.alpha, swap)
                })?;
            }
            *of = Some(Array::floats(shape, out));
        }
        scope.buffers.recycle(gradient);
        Ok(gradients)
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    for name in ["transBatchA", "transBatchB"] {
        if site.flag(name, false) {
            return Err(OpError::new(format!("attribute {name} is not covered")));
        }
    }
    Ok(Box::new(FusedMatMul {
        alpha: site.float("alpha", 1.0),
        transpose_a: site.flag("transA", false),
        transpose_b: site.flag("transB", false),
    }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn case(a: &[usize], b: &[usize], (transpose_a, transpose_b): (bool, bool), seed: u64) -> Case {
        let dims = |dims: &[usize], swap: bool| {
            let mut dims = dims.to_vec();
            if let ([.., rows, columns], true) = (&mut dims[..], swap) {
                std::mem::swap(rows, columns);
            }
            dims
        };
        Case::new("FusedMatMul")
            .domain("com.microsoft")
            .with("alpha", 0.5)
            .with("transA", i64::from(transpose_a))
            .with("transB", i64::from(transpose_b))
            .trained(&dims(a, transpose_a), numbers(seed, a.iter().product()))
            .trained(&dims(b, transpose_b), numbers(!seed, b.iter().product()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            transposes in (any::<bool>(), any::<bool>()),
            shapes in prop_oneof![
                Just((vec![2usize, 3], vec![3usize, 4])),
                Just((vec![2, 2, 3], vec![3, 4])),
                Just((vec![2, 1, 2, 3], vec![3, 3, 2])),
                Just((vec![3], vec![2, 3, 2])),
            ],
            seed in any::<u64>(),
        ) {
            case(&shapes.0, &shapes.1, transposes, seed).check();
        }
    }

    #[test]
    fn values_follow_the_formula() {
        for transposes in [(false, false), (true, false), (false, true), (true, true)] {
            let found = case(&[2, 2, 3], &[2, 3, 4], transposes, 3).run();
            let (a, b) = (numbers(3, 12), numbers(!3, 24));
            let a = |s: usize, i: usize, k: usize| match transposes.0 {
                false => a[(s * 2 + i) * 3 + k],
                true => a[(s * 3 + k) * 2 + i],
            };
            let b = |s: usize, k: usize, j: usize| match transposes.1 {
                false => b[(s * 3 + k) * 4 + j],
                true => b[(s * 4 + j) * 3 + k],
            };
            assert_eq!(found[0].shape().dims(), [2, 2, 4]);
            for (at, found) in found[0].as_floats().unwrap().iter().enumerate() {
                let (s, i, j) = (at / 8, at / 4 % 2, at % 4);
                let expected: f32 = (0..3).map(|k| 0.5 * a(s, i, k) * b(s, k, j)).sum();
                assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
            }
        }
    }

    #[test]
    fn swapped_batches_are_refused() {
        let error = case(&[2, 3], &[3, 2], (false, false), 1).with("transBatchA", 1).try_run();
        assert!(error.unwrap_err().contains("attribute transBatchA is not covered"));
    }
}
