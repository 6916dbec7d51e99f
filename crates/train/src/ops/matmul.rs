//! MatMul: matrix products with NumPy's broadcasting of the leading axes.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::math::broadcast::{self, Axis, Walk};
use crate::math::matmul::{self, ADDED, Matrix, PLAIN};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

#[derive(Debug)]
struct MatMul;

/// How two arrays multiply: a stack of matrices each.
pub(super) struct Stacks {
    pub(super) rows: usize,
    pub(super) depth: usize,
    pub(super) columns: usize,
    /// Leading axes of both, and what they broadcast to.
    a: Vec<usize>,
    b: Vec<usize>,
    out: Shape,
    /// The output, without the axes that a vector does not have.
    pub(super) shape: Shape,
}

impl Stacks {
    pub(super) fn new(a: &Shape, b: &Shape) -> Result<Stacks, OpError> {
        let refuse = || OpError::new(format!("cannot multiply {a} by {b}"));
        let (a_stack, rows, depth) = match a.dims() {
            [] => return Err(refuse()),
            [depth] => (&[][..], 1, *depth),
            [stack @ .., rows, depth] => (stack, *rows, *depth),
        };
        let (b_stack, b_depth, columns) = match b.dims() {
            [] => return Err(refuse()),
            [depth] => (&[][..], *depth, 1),
            [stack @ .., depth, columns] => (stack, *depth, *columns),
        };
        if depth != b_depth {
            return Err(refuse());
        }
        let out = broadcast::shape(a_stack, b_stack)?;
        let mut shape = out.clone();
        if a.len() > 1 {
            shape.push(rows);
        }
        if b.len() > 1 {
            shape.push(columns);
        }
        Ok(Stacks { rows, depth, columns, a: a_stack.to_vec(), b: b_stack.to_vec(), out, shape })
    }

    /// Whether all matrices of A meet one B: then they are one tall matrix.
    pub(super) fn is_one_product(&self) -> bool {
        self.b.iter().all(|&size| size == 1)
    }

    pub(super) fn count(&self) -> usize {
        self.out.iter().product()
    }

    /// Calls `each` with the numbers of the matrices of A and B, in order of the output.
    pub(super) fn pairs(
        &self,
        mut each: impl FnMut(usize, usize) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        let axes = broadcast::strides(&self.a, self.out.len())
            .into_iter()
            .zip(broadcast::strides(&self.b, self.out.len()));
        let axes = self.out.iter().zip(axes).map(|(&size, (a, b))| Axis { size, strides: [a, b] });
        // An axis of size 1 at the end: rows of one pair each.
        let walk = Walk::over(axes);
        let mut result = Ok(());
        walk.rows(|a, b| {
            for at in 0..walk.inner.size {
                let [by_a, by_b] = walk.inner.strides;
                if result.is_ok() {
                    result = each(a + at * by_a, b + at * by_b);
                }
            }
        });
        result
    }
}

impl Operator for MatMul {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let stacks = Stacks::new(inputs.at(0)?.shape(), inputs.at(1)?.shape())?;
        let (a, b) = (inputs.floats(0)?, inputs.floats(1)?);
        let Stacks { rows, depth, columns, .. } = stacks;
        let len = scope.elements(&stacks.shape)?;
        let mut out = scope.buffers.take(len);
        if stacks.is_one_product() {
            let rows = rows * stacks.count();
            matmul::multiply(
                &mut out,
                Matrix::new(a, rows, depth),
                Matrix::new(b, depth, columns),
                PLAIN,
            )?;
        } else if !out.is_empty() {
            let mut targets = out.chunks_exact_mut(rows * columns);
            stacks.pairs(|i, j| {
                let Some(target) = targets.next() else { return Ok(()) };
                matmul::multiply(target, part(a, i, rows, depth), part(b, j, depth, columns), PLAIN)
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
        let stacks = Stacks::new(at.shape(0)?, at.shape(1)?)?;
        let dy = gradient.as_floats()?;
        let mut gradients = vec![None, None];
        for (number, of) in gradients.iter_mut().enumerate() {
            if at.wants(number) {
                let shape = at.shape(number)?.clone();
                let mut out = scope.buffers.take(shape.iter().product());
                match number {
                    0 => by_a(&mut out, &stacks, dy, at.inputs.floats(1)?)?,
                    _ => by_b(&mut out, &stacks, at.inputs.floats(0)?, dy)?,
                }
                *of = Some(Array::floats(shape, out));
            }
        }
        scope.buffers.recycle(gradient);
        Ok(gradients)
    }
}

/// Matrix `number` of a stack.
fn part(data: &[f32], number: usize, rows: usize, columns: usize) -> Matrix<'_> {
    let size = rows * columns;
    Matrix::new(&data[number * size..][..size], rows, columns)
}

/// `dy Bᵀ`, summed over the places where a matrix of A was used.
fn by_a(out: &mut [f32], stacks: &Stacks, dy: &[f32], b: &[f32]) -> Result<(), OpError> {
    let &Stacks { rows, depth, columns, .. } = stacks;
    if stacks.is_one_product() && out.len() == rows * stacks.count() * depth {
        let rows = rows * stacks.count();
        let b = Matrix::new(b, depth, columns).transposed();
        return matmul::multiply(out, Matrix::new(dy, rows, columns), b, PLAIN);
    }
    out.fill(0.0);
    let mut place = 0;
    stacks.pairs(|i, j| {
        let target = &mut out[i * rows * depth..][..rows * depth];
        let dy = part(dy, place, rows, columns);
        place += 1;
        matmul::multiply(target, dy, part(b, j, depth, columns).transposed(), ADDED)
    })
}

/// `Aᵀ dy`, summed over the places where a matrix of B was used.
fn by_b(out: &mut [f32], stacks: &Stacks, a: &[f32], dy: &[f32]) -> Result<(), OpError> {
    let &Stacks { rows, depth, columns, .. } = stacks;
    if stacks.is_one_product() && a.len() == rows * stacks.count() * depth {
        let rows = rows * stacks.count();
        let a = Matrix::new(a, rows, depth).transposed();
        return matmul::multiply(out, a, Matrix::new(dy, rows, columns), PLAIN);
    }
    out.fill(0.0);
    let mut place = 0;
    stacks.pairs(|i, j| {
        let target = &mut out[j * depth * columns..][..depth * columns];
        let dy = part(dy, place, rows, columns);
        place += 1;
        matmul::multiply(target, part(a, i, rows, depth).transposed(), dy, ADDED)
    })
}

pub(super) fn build(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(MatMul))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};

    #[test]
    fn gradients_with_and_without_broadcasting() {
        let shapes: &[(&[usize], &[usize])] = &[
            (&[2, 3], &[3, 4]),
            (&[2, 2, 3], &[3, 4]),
            (&[2, 1, 2, 3], &[3, 3, 2]),
            (&[3], &[3, 2]),
            (&[2, 2, 3], &[3]),
            (&[2, 3], &[2, 3, 2]),
            (&[1, 2, 3], &[2, 3, 2]),
            (&[3], &[3]),
        ];
        for &(a, b) in shapes {
            let (a_len, b_len) = (a.iter().product(), b.iter().product());
            Case::new("MatMul").trained(a, numbers(1, a_len)).trained(b, numbers(2, b_len)).check();
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let case =
            Case::new("MatMul").trained(&[2, 3], numbers(1, 6)).trained(&[2, 3], numbers(2, 6));
        assert!(case.try_run().unwrap_err().ends_with("cannot multiply [2,3] by [2,3]"));
    }
}
