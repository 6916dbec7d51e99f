//! The gradient by the weights: products of output gradients and input, summed over places and
//! samples.

use std::ops::Range;

use super::bands::Bands;
use super::{Convolution, PIECES, pieces};
use crate::error::OpError;
use crate::math::correlate::{Pairs, Rows, dots, padded};
use crate::math::vector;
use crate::operator::Scope;

/// Elements of memory for bands whose products are summed in one go, about.
const UNITS_LEN: usize = 1 << 17;
/// Elements of the sums of all pieces, about.
const SUMS_LEN: usize = 1 << 22;

impl Convolution {
    /// The gradient by the weights, from the input and the gradient by the output.
    pub(in super::super) fn by_weights(
        &self,
        scope: &mut Scope<'_>,
        input: &[f32],
        output: &[f32],
    ) -> Result<Vec<f32>, OpError> {
        let len = self.groups * self.outputs * self.depth();
        let mut out = scope.buffers.zeros(len);
        if len == 0 {
            return Ok(out);
        }
        let most = (SUMS_LEN / len).clamp(2, PIECES);
        let pieces: Vec<_> = pieces(self.batch, most).collect();
        let mut sums = scope.buffers.zeros(pieces.len() * len);
        if self.is_pointwise() {
            let items = pieces.into_iter().zip(sums.chunks_exact_mut(len)).collect();
            scope.share(self.operations(), items, |(samples, sums)| {
                self.pointwise_by_weights(samples, (input, output), sums)
            })?;
        } else {
            let summing = Summing::new(self);
            let scratch = pieces.iter().map(|_| scope.buffers.take(summing.scratch_len()));
            let mut scratch: Vec<_> = scratch.collect();
            let items = pieces.into_iter().zip(sums.chunks_exact_mut(len)).zip(&mut scratch);
            scope.share(self.operations(), items.collect(), |((samples, sums), scratch)| {
                summing.samples(samples, (input, output), sums, scratch);
                Ok(())
            })?;
            scratch.into_iter().for_each(|scratch| scope.buffers.give(scratch));
        }
        sums.chunks_exact(len).for_each(|partial| vector::add(&mut out, partial));
        scope.buffers.give(sums);
        Ok(out)
    }
}

struct Summing<'a> {
    convolution: &'a Convolution,
    bands: Bands,
    /// Elements of a row of the output's gradient in a band.
    row_len: usize,
    /// Bands, of one sample or several, whose products are summed in one go.
    units: usize,
}

impl Summing<'_> {
    fn new(convolution: &Convolution) -> Summing<'_> {
        let bands = Bands::new(convolution.window, convolution.inputs);
        let row_len = padded(bands.band_len());
        let unit = bands.data_len() + convolution.outputs * row_len;
        Summing { convolution, bands, row_len, units: (UNITS_LEN / unit).clamp(1, 32) }
    }

    fn scratch_len(&self) -> usize {
        self.units * (self.bands.data_len() + self.convolution.outputs * self.row_len)
    }

    /// Adds the products of these samples to `sums`.
    fn samples(
        &self,
        samples: Range<usize>,
        (input, output): (&[f32], &[f32]),
        sums: &mut [f32],
        scratch: &mut [f32],
    ) {
        let Convolution { window, groups, inputs, outputs, .. } = *self.convolution;
        let (input_len, output_len) = (inputs * window.input_len(), outputs * window.output_len());
        let (data_len, left_len) = (self.bands.data_len(), outputs * self.row_len);
        let (data, left) = scratch.split_at_mut(self.units * data_len);
        for (group, sums) in
            (0..groups).zip(sums.chunks_exact_mut(outputs * self.bands.starts.len()))
        {
            let mut units = samples
                .clone()
                .flat_map(|sample| self.bands.list.iter().map(move |band| (sample, band)))
                .peekable();
            let mut first = group == 0;
            while units.peek().is_some() {
                let mut count = 0;
                for (sample, band) in units.by_ref().take(self.units) {
                    let number = sample * groups + group;
                    let input = &input[number * input_len..][..input_len];
                    let output = &output[number * output_len..][..output_len];
                    let data = &mut data[count * data_len..][..data_len];
                    self.bands.load(band, input, data, first);
                    let rows = left[count * left_len..].chunks_exact_mut(self.row_len);
                    let planes = output.chunks_exact(window.output_len());
                    vector::vectorized(
                        #[inline(always)]
                        || {
                            for (plane, row) in planes.zip(rows) {
                                self.bands.load_output(band, plane, row);
                            }
                        },
                    );
                    count += 1;
                }
                first = false;
                let right = Rows { data, starts: &self.bands.starts, len: self.row_len };
                let pairs = Pairs { left, rows: outputs, right, right_step: data_len, count };
                dots(sums, pairs);
            }
        }
    }
}
