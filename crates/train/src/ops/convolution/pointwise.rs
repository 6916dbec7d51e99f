//! Convolutions whose kernel has one tap and does not move: a matrix product a sample and group.

use std::ops::Range;

use super::{Convolution, PIECES, chunks, fill, pieces};
use crate::error::OpError;
use crate::math::matmul::{ADDED, Matrix, multiply};
use crate::math::vector;
use crate::operator::Scope;

impl Convolution {
    /// The output from the input; `transposed`: the gradient by the input from that by the output.
    pub(super) fn pointwise(
        &self,
        scope: &mut Scope<'_>,
        (input, weights, bias): (&[f32], &[f32], Option<&[f32]>),
        transposed: bool,
    ) -> Result<Vec<f32>, OpError> {
        let plane = self.window.output_len();
        let (rows, columns) = (self.outputs, self.inputs);
        let (from, to) = if transposed { (rows, columns) } else { (columns, rows) };
        let (sample_from, sample_to) = (self.groups * from * plane, self.groups * to * plane);
        let pieces: Vec<_> = pieces(self.batch, PIECES).collect();
        let mut out = scope.buffers.take(self.batch * sample_to);
        let items = chunks(&mut out, &pieces, sample_to);
        scope.share(self.operations(), items, |(samples, out)| {
            for (sample, out) in samples.zip(out.chunks_exact_mut(sample_to.max(1))) {
                fill(out, plane, bias);
                let input = &input[sample * sample_from..][..sample_from];
                for group in 0..self.groups {
                    let weights = &weights[group * rows * columns..][..rows * columns];
                    let weights = Matrix::new(weights, rows, columns).transposed_if(transposed);
                    let input = &input[group * from * plane..][..from * plane];
                    let out = &mut out[group * to * plane..][..to * plane];
                    multiply(out, weights, Matrix::new(input, from, plane), ADDED)?;
                }
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Adds the gradient by the weights to `by_weights`.
    pub(super) fn pointwise_by_weights(
        &self,
        scope: &mut Scope<'_>,
        (input, output): (&[f32], &[f32]),
        by_weights: &mut [f32],
    ) -> Result<(), OpError> {
        let len = by_weights.len();
        let pieces = self.pieces_of_weights(len);
        let mut sums = scope.buffers.zeros(pieces.len() * len);
        let items = pieces.into_iter().zip(sums.chunks_exact_mut(len)).collect();
        scope.share(self.operations(), items, |(samples, sums)| {
            self.add_by_weights(samples, (input, output), sums)
        })?;
        sums.chunks_exact(len).for_each(|partial| vector::add(by_weights, partial));
        scope.buffers.give(sums);
        Ok(())
    }

    /// The same over some samples.
    fn add_by_weights(
        &self,
        samples: Range<usize>,
        (input, output): (&[f32], &[f32]),
        sums: &mut [f32],
    ) -> Result<(), OpError> {
        let plane = self.window.output_len();
        let (rows, columns) = (self.outputs, self.inputs);
        for sample in samples {
            for (group, sums) in sums.chunks_exact_mut(rows * columns).enumerate() {
                let number = sample * self.groups + group;
                let input = &input[number * columns * plane..][..columns * plane];
                let output = &output[number * rows * plane..][..rows * plane];
                let input = Matrix::new(input, columns, plane).transposed();
                multiply(sums, Matrix::new(output, rows, plane), input, ADDED)?;
            }
        }
        Ok(())
    }
}
