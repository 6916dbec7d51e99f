//! The gradient by the input where the window moves by more than 1: that by the unfolded input,
//! tap by tap, is added to where the tap reads.

use super::bands::Bands;
use super::{Convolution, chunks, fill, pieces, pieces_most};
use crate::error::OpError;
use crate::math::correlate::{PANEL_ROWS_MAX, Panels, Rows, SLACK, correlate, padded};
use crate::operator::Scope;

impl Convolution {
    /// The gradient by the input, from that by the output.
    pub(super) fn fold(
        &self,
        scope: &mut Scope<'_>,
        output: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Vec<f32>, OpError> {
        let (depth, outputs) = (self.depth(), self.outputs);
        let panels = (0..self.groups)
            .map(|group| {
                Panels::new(depth, outputs, |r, row| weights[(group * outputs + row) * depth + r])
            })
            .collect();
        let bands = Bands::unfolded(self.window, self.inputs);
        let step = padded(bands.band_len());
        let starts = (0..outputs).map(|row| row * step).collect();
        let folding = Folding { convolution: self, bands, panels, starts };
        let mut out = scope.buffers.take(self.batch * self.input_len());
        let scratch_len = (outputs + PANEL_ROWS_MAX) * step + SLACK;
        let pieces: Vec<_> = pieces(self.batch, pieces_most(scratch_len)).collect();
        let mut scratch: Vec<_> = pieces.iter().map(|_| scope.buffers.take(scratch_len)).collect();
        let items =
            chunks(&mut out, &pieces, self.input_len()).into_iter().zip(&mut scratch).collect();
        let output_len = self.output_len();
        scope.share(self.operations(), items, |((samples, out), scratch)| {
            for (sample, out) in samples.zip(out.chunks_mut(self.input_len().max(1))) {
                fill(out, self.window.input_len(), bias);
                folding.sample(&output[sample * output_len..][..output_len], out, scratch);
            }
            Ok(())
        })?;
        scratch.into_iter().for_each(|scratch| scope.buffers.give(scratch));
        Ok(out)
    }
}

struct Folding<'a> {
    convolution: &'a Convolution,
    bands: Bands,
    /// By group: a row an input channel and tap.
    panels: Vec<Panels>,
    /// Where the output channels of a band start.
    starts: Vec<usize>,
}

impl Folding<'_> {
    /// Adds to the input of one sample.
    fn sample(&self, output: &[f32], input: &mut [f32], scratch: &mut [f32]) {
        let Convolution { window, inputs, outputs, .. } = *self.convolution;
        let (input_len, output_len) = (inputs * window.input_len(), window.output_len());
        let step = padded(self.bands.band_len());
        let (data, tile) = scratch.split_at_mut(outputs * step + SLACK);
        for (group, panels) in self.panels.iter().enumerate() {
            let output = &output[group * outputs * output_len..][..outputs * output_len];
            let input = &mut input[group * input_len..][..input_len];
            for band in &self.bands.list {
                for (plane, data) in
                    output.chunks_exact(output_len).zip(data.chunks_exact_mut(step))
                {
                    self.bands.load_output(band, plane, data);
                }
                let rows = Rows { data, starts: &self.starts, len: band.len() };
                for (numbers, panel) in panels.iter() {
                    correlate(tile, panel, rows);
                    for (number, values) in numbers.zip(tile.chunks(padded(band.len()))) {
                        self.bands.fold(band, number, &values[..band.len()], input);
                    }
                }
            }
        }
    }
}
