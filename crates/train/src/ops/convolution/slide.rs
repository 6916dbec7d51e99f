//! The output of a convolution: panels of weights slide over bands of the input.

use super::bands::Bands;
use super::{Convolution, chunks, pieces, pieces_most};
use crate::error::OpError;
use crate::math::correlate::{PANEL_ROWS_MAX, Panels, Rows, correlate, padded};
use crate::math::vector;
use crate::operator::Scope;

impl Convolution {
    /// The output. `weight(channel, r)`: the weight of an output channel at number `r` of the
    /// input channels and taps of its group.
    pub(super) fn slide(
        &self,
        scope: &mut Scope<'_>,
        input: &[f32],
        bias: Option<&[f32]>,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Result<Vec<f32>, OpError> {
        let panels: Vec<Panels> = (0..self.groups)
            .map(|group| {
                let first = group * self.outputs;
                Panels::new(self.outputs, self.depth(), |row, r| weight(first + row, r))
            })
            .collect();
        let sliding = Sliding {
            convolution: self,
            bands: Bands::new(self.window, self.inputs),
            panels,
            bias,
        };
        let mut out = scope.buffers.take(self.batch * self.output_len());
        let scratch_len =
            sliding.bands.data_len() + PANEL_ROWS_MAX * padded(sliding.bands.band_len());
        let pieces: Vec<_> = pieces(self.batch, pieces_most(scratch_len)).collect();
        let mut scratch: Vec<_> = pieces.iter().map(|_| scope.buffers.take(scratch_len)).collect();
        let items =
            chunks(&mut out, &pieces, self.output_len()).into_iter().zip(&mut scratch).collect();
        let input_len = self.input_len();
        scope.share(self.operations(), items, |((samples, out), scratch)| {
            let outs = out.chunks_mut(self.output_len().max(1));
            for (at, (sample, out)) in samples.zip(outs).enumerate() {
                let input = &input[sample * input_len..][..input_len];
                sliding.sample(input, out, scratch, at == 0);
            }
            Ok(())
        })?;
        scratch.into_iter().for_each(|scratch| scope.buffers.give(scratch));
        Ok(out)
    }
}

struct Sliding<'a> {
    convolution: &'a Convolution,
    bands: Bands,
    /// By group.
    panels: Vec<Panels>,
    bias: Option<&'a [f32]>,
}

impl Sliding<'_> {
    fn sample(&self, input: &[f32], out: &mut [f32], scratch: &mut [f32], first: bool) {
        let Convolution { window, inputs, outputs, .. } = *self.convolution;
        let (input_len, output_len) = (inputs * window.input_len(), outputs * window.output_len());
        let (data, tile) = scratch.split_at_mut(self.bands.data_len());
        for (group, panels) in self.panels.iter().enumerate() {
            let input = &input[group * input_len..][..input_len];
            let out = &mut out[group * output_len..][..output_len];
            let bias = self.bias.map(|bias| &bias[group * outputs..][..outputs]);
            for band in &self.bands.list {
                self.bands.load(band, input, data, first && group == 0);
                let rows = Rows { data, starts: &self.bands.starts, len: band.len() };
                for (channels, panel) in panels.iter() {
                    correlate(tile, panel, rows);
                    vector::vectorized(
                        #[inline(always)]
                        || {
                            let tile = tile.chunks(padded(band.len()));
                            for (channel, values) in channels.zip(tile) {
                                let plane = &mut out[channel * window.output_len()..];
                                let bias = bias.map_or(0.0, |bias| bias[channel]);
                                self.bands.store(band, values, plane, bias);
                            }
                        },
                    );
                }
            }
        }
    }
}
