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
    /// The gradients by the weights and, where `with_bias` says so, by the bias, from the input
    /// and the gradient by the output.
    pub(in super::super) fn by_weights(
        &self,
        scope: &mut Scope<'_>,
        input: &[f32],
        output: &[f32],
        with_bias: bool,
    ) -> Result<(Vec<f32>, Option<Vec<f32>>), OpError> {
        let (len, channels) =
            (self.groups * self.outputs * self.depth(), self.groups * self.outputs);
        let mut by_weights = scope.buffers.zeros(len);
        let plane = self.window.output_len();
        if len == 0 || self.is_pointwise() {
            if len > 0 {
                self.pointwise_by_weights(scope, (input, output), &mut by_weights)?;
            }
            let by_bias = with_bias.then(|| super::by_bias(scope, output, channels, plane));
            return Ok((by_weights, by_bias.transpose()?));
        }
        let summing = Summing::new(self, with_bias);
        let pieces = self.pieces_of_weights(len.max(summing.scratch_len() / 16));
        let mut sums = scope.buffers.zeros(pieces.len() * (len + channels));
        let scratch = pieces.iter().map(|_| scope.buffers.take(summing.scratch_len()));
        let mut scratch: Vec<_> = scratch.collect();
        let items = pieces.into_iter().zip(sums.chunks_exact_mut(len + channels)).zip(&mut scratch);
        scope.share(self.operations(), items.collect(), |((samples, sums), scratch)| {
            summing.samples(samples, (input, output), sums.split_at_mut(len), scratch);
            Ok(())
        })?;
        scratch.into_iter().for_each(|scratch| scope.buffers.give(scratch));
        let mut by_bias = scope.buffers.zeros(channels);
        for partial in sums.chunks_exact(len + channels) {
            let (weights, bias) = partial.split_at(len);
            vector::add(&mut by_weights, weights);
            vector::add(&mut by_bias, bias);
        }
        scope.buffers.give(sums);
        Ok((by_weights, with_bias.then_some(by_bias)))
    }

    /// Pieces whose sums of `len` elements are taken apart: few where these are large.
    pub(super) fn pieces_of_weights(&self, len: usize) -> Vec<Range<usize>> {
        pieces(self.batch, (SUMS_LEN / len.max(1)).clamp(2, PIECES)).collect()
    }
}

struct Summing<'a> {
    convolution: &'a Convolution,
    bands: Bands,
    /// Elements of a row of the output's gradient in a band.
    row_len: usize,
    /// Bands, of one sample or several, whose products are summed in one go.
    units: usize,
    with_bias: bool,
}

impl Summing<'_> {
    fn new(convolution: &Convolution, with_bias: bool) -> Summing<'_> {
        let bands = Bands::new(convolution.window, convolution.inputs);
        let row_len = padded(bands.band_len());
        let unit = bands.data_len() + convolution.outputs * row_len;
        let units = (UNITS_LEN / unit).clamp(1, 32);
        Summing { convolution, bands, row_len, units, with_bias }
    }

    fn scratch_len(&self) -> usize {
        self.units * (self.bands.data_len() + self.convolution.outputs * self.row_len)
    }

    /// Adds the products of these samples to the sums by the weights, and by the bias.
    fn samples(
        &self,
        samples: Range<usize>,
        (input, output): (&[f32], &[f32]),
        (by_weights, by_bias): (&mut [f32], &mut [f32]),
        scratch: &mut [f32],
    ) {
        let Convolution { window, groups, inputs, outputs, .. } = *self.convolution;
        let (input_len, output_len) = (inputs * window.input_len(), outputs * window.output_len());
        let (data_len, left_len) = (self.bands.data_len(), outputs * self.row_len);
        let (data, left) = scratch.split_at_mut(self.units * data_len);
        let by_weights = by_weights.chunks_exact_mut(outputs * self.bands.starts.len());
        let by_group = by_weights.zip(by_bias.chunks_exact_mut(outputs));
        for (group, (by_weights, by_bias)) in (0..groups).zip(by_group) {
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
                    let planes = output.chunks_exact(window.output_len()).zip(&mut *by_bias);
                    vector::vectorized(
                        #[inline(always)]
                        || {
                            for ((plane, by_bias), row) in planes.zip(rows) {
                                self.bands.load_output(band, plane, row);
                                if self.with_bias {
                                    *by_bias += vector::sum(row);
                                }
                            }
                        },
                    );
                    count += 1;
                }
                first = false;
                let right = Rows { data, starts: &self.bands.starts, len: self.bands.band_len() };
                let pairs = Pairs { left, rows: outputs, right, right_step: data_len, count };
                dots(by_weights, pairs);
            }
        }
    }
}
