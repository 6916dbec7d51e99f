//! Convolution and its two transposed maps, which Conv and ConvTranspose share.
//!
//! | file | does |
//! |---|---|
//! | `mod` | [`Convolution`]: sizes, and the three maps |
//! | `bands` | cuts planes into bands and brings in their input |
//! | `slide` | output from input: `y = w * x` |
//! | `fold` | input's gradient where the window moves by more than 1 |
//! | `weights` | weights' gradient |
//! | `pointwise` | all of them where the kernel has one tap: matrix products |

mod bands;
mod fold;
mod pointwise;
#[cfg(test)]
pub(super) mod reference;
mod slide;
mod weights;

use std::ops::Range;

use modelyard_tensor::Shape;

use super::window::{Axis, Sliding, Window};
use crate::array::Array;
use crate::error::OpError;
use crate::math::vector;
use crate::operator::{Reads, Scope};
use crate::site::Site;

/// Samples are shared out in this many pieces at most.
const PIECES: usize = 8;
/// Elements of scratch memory of all pieces, about.
const SCRATCH_LEN: usize = 1 << 26;

/// The sizes of a convolution. Input and output are planes of (sample, channel); weights are
/// (output channel, input channel of its group, taps...).
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    pub(super) window: Window,
    pub(super) batch: usize,
    pub(super) groups: usize,
    /// Input channels of a group.
    pub(super) inputs: usize,
    /// Output channels of a group.
    pub(super) outputs: usize,
}

impl Convolution {
    /// The same map as a matrix product, where the kernel has the size of the input: channels and
    /// taps are one axis then.
    pub(super) fn simplified(self) -> Convolution {
        let whole = |axis: &Axis| {
            axis.output == 1 && axis.begin == 0 && axis.dilation == 1 && axis.kernel == axis.input
        };
        if !self.window.all(whole) {
            return self;
        }
        let inputs = self.depth();
        Convolution { window: Window([Axis::NONE; 3]), inputs, ..self }
    }

    /// Refuses what is too large before memory is taken for it.
    pub(super) fn check(&self, scope: &Scope<'_>) -> Result<(), OpError> {
        let sizes = |size: fn(&Axis) -> usize| self.window.0.map(|axis| size(&axis).max(1));
        let [depth, row, column] = sizes(|axis| axis.kernel);
        scope.elements(&[
            self.groups,
            self.outputs.max(1),
            self.inputs.max(1),
            depth,
            row,
            column,
        ])?;
        let [depth, row, column] = sizes(|axis| axis.output);
        scope.elements(&[
            self.batch.max(1),
            self.groups,
            self.outputs.max(1),
            depth,
            row,
            column,
        ])?;
        let [depth, row, column] = sizes(|axis| axis.input);
        scope.elements(&[
            self.batch.max(1),
            self.groups,
            self.inputs.max(1),
            depth,
            row,
            column,
        ])?;
        Ok(())
    }

    /// The output, from input and weights, plus one bias an output channel.
    pub(super) fn forward(
        &self,
        scope: &mut Scope<'_>,
        input: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Vec<f32>, OpError> {
        if self.is_pointwise() {
            return self.pointwise(scope, (input, weights, bias), false);
        }
        let (depth, taps) = (self.depth(), weights);
        self.slide(scope, input, bias, |row, r| taps[row * depth + r])
    }

    /// The transposed map: the gradient by the input, from that by the output, plus one bias an
    /// input channel.
    pub(super) fn by_input(
        &self,
        scope: &mut Scope<'_>,
        output: &[f32],
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Vec<f32>, OpError> {
        if self.is_pointwise() {
            return self.pointwise(scope, (output, weights, bias), true);
        }
        if !self.window.all(|axis| axis.stride == 1) {
            return self.fold(scope, output, weights, bias);
        }
        // Where the window moves by 1, this is a convolution too, with the kernel reversed.
        let (depth, taps, outputs) = (self.depth(), self.window.taps(), self.outputs);
        let inputs = self.inputs;
        self.reversed().slide(scope, output, bias, |row, r| {
            let (group, input) = (row / inputs, row % inputs);
            let (output, tap) = (r / taps, taps - 1 - r % taps);
            weights[(group * outputs + output) * depth + input * taps + tap]
        })
    }

    fn reversed(&self) -> Convolution {
        let axis = |axis: Axis| Axis {
            input: axis.output,
            output: axis.input,
            begin: axis.extent() as isize - 1 - axis.begin,
            ..axis
        };
        Convolution {
            window: Window(self.window.0.map(axis)),
            inputs: self.outputs,
            outputs: self.inputs,
            ..*self
        }
    }

    /// Products that are summed for one element of the output.
    fn depth(&self) -> usize {
        self.inputs * self.window.taps()
    }

    fn is_pointwise(&self) -> bool {
        let plain = |axis: &Axis| {
            axis.kernel == 1 && axis.stride == 1 && axis.begin == 0 && axis.input == axis.output
        };
        self.window.all(plain) && self.inputs > 1 && self.outputs > 1
    }

    /// Elements that a sample's input takes.
    fn input_len(&self) -> usize {
        self.groups * self.inputs * self.window.input_len()
    }

    /// Elements that a sample's output takes.
    fn output_len(&self) -> usize {
        self.groups * self.outputs * self.window.output_len()
    }

    /// Multiplications, and passes over elements, of one map.
    fn operations(&self) -> usize {
        let each = (self.depth() / 16).saturating_add(1);
        self.batch.saturating_mul(self.output_len()).saturating_mul(each)
    }
}

/// The gradient by a bias: the sum over samples and planes of an array of (samples, channels,
/// elements of a plane).
pub(super) fn by_bias(
    scope: &mut Scope<'_>,
    gradient: &[f32],
    channels: usize,
    plane_len: usize,
) -> Result<Vec<f32>, OpError> {
    let mut sums = scope.buffers.zeros(channels);
    let len = channels * plane_len;
    if len == 0 {
        return Ok(sums);
    }
    let pieces: Vec<_> = pieces(gradient.len() / len, PIECES).collect();
    let mut partial = scope.buffers.zeros(pieces.len() * channels);
    let items = pieces.into_iter().zip(partial.chunks_exact_mut(channels)).collect();
    scope.share(gradient.len(), items, |(samples, sums)| {
        let planes = gradient[samples.start * len..samples.end * len].chunks_exact(plane_len);
        planes.enumerate().for_each(|(at, plane)| sums[at % channels] += vector::sum(plane));
        Ok(())
    })?;
    partial.chunks_exact(channels).for_each(|partial| vector::add(&mut sums, partial));
    scope.buffers.give(partial);
    Ok(sums)
}

/// Pieces at most where each needs `len` elements of scratch memory.
fn pieces_most(len: usize) -> usize {
    (SCRATCH_LEN / len.max(1)).clamp(1, PIECES)
}

/// `samples` cut into pieces of consecutive samples.
fn pieces(samples: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let size = samples.div_ceil(most).max(1);
    (0..samples).step_by(size).map(move |first| first..samples.min(first + size))
}

/// `out` cut as the samples are, each of `len` elements.
fn chunks<'a>(
    out: &'a mut [f32],
    pieces: &[Range<usize>],
    len: usize,
) -> Vec<(Range<usize>, &'a mut [f32])> {
    let mut rest = out;
    let mut chunks = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let (chunk, tail) = std::mem::take(&mut rest).split_at_mut(piece.len() * len);
        chunks.push((piece.clone(), chunk));
        rest = tail;
    }
    chunks
}

/// Fills the planes of a sample with the bias of their channel, or 0.
fn fill(sample: &mut [f32], plane_len: usize, bias: Option<&[f32]>) {
    match bias {
        None => sample.fill(0.0),
        Some(bias) if plane_len > 0 => {
            let planes = sample.chunks_exact_mut(plane_len).zip(bias);
            planes.for_each(|(plane, &bias)| vector::vectorized(|| plane.fill(bias)));
        }
        Some(_) => {}
    }
}

/// Attribute `group`.
pub(super) fn groups(site: &Site<'_>) -> Result<usize, OpError> {
    let groups = site.int("group", 1);
    usize::try_from(groups)
        .ok()
        .filter(|&groups| groups > 0)
        .ok_or_else(|| OpError::new(format!("attribute group is {groups}, expected at least 1")))
}

/// The taps of weights over `axes` axes, which attribute `kernel_shape` must not contradict.
pub(super) fn kernel<'a>(
    sliding: &Sliding,
    weights: &'a [usize],
    axes: usize,
) -> Result<&'a [usize], OpError> {
    let kernel = match weights {
        [_, _, kernel @ ..] if kernel.len() == axes => kernel,
        _ => {
            return Err(OpError::new(format!(
                "expected weights of {} axes, found shape {}",
                axes + 2,
                Shape::new(weights)
            )));
        }
    };
    match &sliding.kernel {
        Some(stated) if stated != kernel => Err(OpError::new(format!(
            "attribute kernel_shape is {stated:?}, the weights have shape {}",
            Shape::new(weights)
        ))),
        _ => Ok(kernel),
    }
}

/// The optional bias of so many channels.
pub(super) fn bias(bias: Option<&Array>, channels: usize) -> Result<Option<&[f32]>, OpError> {
    let Some(bias) = bias else { return Ok(None) };
    if bias.shape()[..] != [channels] {
        return Err(OpError::new(format!(
            "expected a bias of shape [{channels}], found {}",
            bias.shape()
        )));
    }
    bias.as_floats().map(Some)
}

/// What the way back reads of input, weights and bias.
pub(super) fn reads(wanted: &[bool]) -> Reads {
    let wants = |number: usize| wanted.get(number) == Some(&true);
    let reads = if wants(0) { Reads::NOTHING.and_input(1) } else { Reads::NOTHING };
    if wants(1) { reads.and_input(0) } else { reads }
}
