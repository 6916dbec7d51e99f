//! Windows that slide over up to three axes: what convolutions and pools share.

use modelyard_tensor::Shape;

use crate::error::OpError;
use crate::site::Site;

/// Most that a kernel size, stride, dilation or pad may be. Sums and products of a few of them
/// with sizes of arrays fit in 64 bits.
const NUMBER_MAX: i64 = 1 << 24;

/// One axis that a window slides over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Elements of the input.
    pub(super) input: usize,
    /// Places of the window.
    pub(super) output: usize,
    /// Taps of the window.
    pub(super) kernel: usize,
    /// Elements from one place to the next.
    pub(super) stride: usize,
    /// Elements from one tap to the next.
    pub(super) dilation: usize,
    /// Padding before the input; negative where the first place is inside of it.
    pub(super) begin: isize,
    /// Padding after the input, which only averages look at.
    pub(super) end: usize,
}

impl Axis {
    /// An axis that is not there.
    pub(super) const NONE: Axis =
        Axis { input: 1, output: 1, kernel: 1, stride: 1, dilation: 1, begin: 0, end: 0 };

    /// Elements from the first tap to the last, both counted.
    pub(super) fn extent(&self) -> usize {
        extent(self.kernel, self.dilation)
    }

    /// Where the first tap is at place `place`.
    pub(super) fn origin(&self, place: usize) -> isize {
        (place * self.stride) as isize - self.begin
    }

    /// The places at which tap `tap` is inside the input.
    pub(super) fn places(&self, tap: usize) -> std::ops::Range<usize> {
        let (stride, offset) = (self.stride as isize, (tap * self.dilation) as isize - self.begin);
        // offset + place * stride must be in 0..input.
        let not_before = |bound: isize| (bound - offset).max(0).div_ceil_by(stride);
        let last = not_before(self.input as isize).min(self.output);
        not_before(0).min(last)..last
    }

    /// The taps that are inside the input when the window's origin is at `origin`.
    pub(super) fn taps(&self, origin: isize) -> std::ops::Range<usize> {
        let dilation = self.dilation as isize;
        let not_before = |bound: isize| (bound - origin).max(0).div_ceil_by(dilation);
        let last = not_before(self.input as isize).min(self.kernel);
        not_before(0).min(last)..last
    }
}

/// Division of numbers that are not negative, rounded up.
trait DivCeil {
    fn div_ceil_by(self, by: Self) -> usize;
}

impl DivCeil for isize {
    fn div_ceil_by(self, by: isize) -> usize {
        (self as usize).div_ceil(by as usize)
    }
}

/// Elements that `kernel` taps span.
fn extent(kernel: usize, dilation: usize) -> usize {
    (kernel.max(1) - 1) * dilation + 1
}

/// A window over three axes; where there are fewer, the first are [`Axis::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window(pub(super) [Axis; 3]);

impl Window {
    /// A window from the axes that there are.
    pub(super) fn new(axes: &[Axis]) -> Window {
        let mut all = [Axis::NONE; 3];
        all[3 - axes.len()..].copy_from_slice(axes);
        Window(all)
    }

    /// Elements of a plane of the input. (A plane is all that one channel of one sample has.)
    pub(super) fn input_len(&self) -> usize {
        self.0.iter().map(|axis| axis.input).product()
    }

    /// Elements of a plane of the output.
    pub(super) fn output_len(&self) -> usize {
        self.0.iter().map(|axis| axis.output).product()
    }

    /// Taps.
    pub(super) fn taps(&self) -> usize {
        self.0.iter().map(|axis| axis.kernel).product()
    }

    /// Whether this holds for every axis.
    pub(super) fn all(&self, holds: impl Fn(&Axis) -> bool) -> bool {
        self.0.iter().all(holds)
    }
}

/// How the input is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoPad {
    /// By attribute `pads`.
    Explicit,
    /// Output size is input size by stride; the odd element goes to the end.
    SameUpper,
    /// The same; the odd element goes to the beginning.
    SameLower,
    /// Not at all.
    Valid,
}

/// The attributes of a sliding window.
#[derive(Clone, Debug)]
pub(super) struct Sliding {
    pub(super) kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    pads: Option<Vec<usize>>,
    pub(super) auto_pad: AutoPad,
    ceil: bool,
}

/// A list of integers that are at least `least`.
pub(super) fn sizes(
    site: &Site<'_>,
    name: &str,
    least: i64,
) -> Result<Option<Vec<usize>>, OpError> {
    let Some(values) = site.ints(name) else { return Ok(None) };
    match values.iter().find(|value| !(least..=NUMBER_MAX).contains(value)) {
        Some(value) => Err(OpError::new(format!(
            "attribute {name} has {value}, expected numbers from {least} to {NUMBER_MAX}"
        ))),
        None => Ok(Some(values.into_iter().map(|value| value as usize).collect())),
    }
}

impl Sliding {
    /// Reads the attributes of a node.
    pub(super) fn read(site: &Site<'_>) -> Result<Sliding, OpError> {
        let auto_pad = match site.text("auto_pad", "NOTSET").as_str() {
            "NOTSET" | "" => AutoPad::Explicit,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            "VALID" => AutoPad::Valid,
            other => {
                return Err(OpError::new(format!(
                    "attribute auto_pad is '{other}', expected NOTSET, SAME_UPPER, SAME_LOWER or \
                     VALID"
                )));
            }
        };
        Ok(Sliding {
            kernel: sizes(site, "kernel_shape", 1)?,
            strides: sizes(site, "strides", 1)?,
            dilations: sizes(site, "dilations", 1)?,
            pads: sizes(site, "pads", 0)?,
            auto_pad,
            ceil: site.flag("ceil_mode", false),
        })
    }

    /// The spatial axes of an array of shape (samples, channels, axes...): one to three, such that
    /// products of some of the sizes do not overflow.
    pub(super) fn spatial(shape: &[usize]) -> Result<&[usize], OpError> {
        let mut sizes = shape.iter().map(|&size| size.max(1));
        let fits = sizes.try_fold(1usize, |product, size| product.checked_mul(size)).is_some();
        match shape {
            [_, _, axes @ ..] if fits && (1..=3).contains(&axes.len()) => Ok(axes),
            _ => Err(OpError::new(format!(
                "expected samples, channels and one to three axes more, found shape {}",
                Shape::new(shape)
            ))),
        }
    }

    /// Kernel, stride, dilation and pads of every axis; input and output are not known yet.
    pub(super) fn axes(&self, kernel: &[usize]) -> Result<Vec<Axis>, OpError> {
        let rank = kernel.len();
        let list = |name: &str, values: &Option<Vec<usize>>, len: usize, default: usize| {
            let values = values.clone().unwrap_or_else(|| vec![default; len]);
            if values.len() == len {
                return Ok(values);
            }
            let found = values.len();
            Err(OpError::new(format!(
                "attribute {name} has {found} entries, expected {len} for {rank} axes"
            )))
        };
        let kernel = list("kernel_shape", &Some(kernel.to_vec()), rank, 1)?;
        if let Some(size) = kernel.iter().find(|&&size| size < 1 || size > NUMBER_MAX as usize) {
            return Err(OpError::new(format!(
                "a kernel has size {size}, expected 1 to {NUMBER_MAX}"
            )));
        }
        let strides = list("strides", &self.strides, rank, 1)?;
        let dilations = list("dilations", &self.dilations, rank, 1)?;
        let pads = match self.auto_pad {
            AutoPad::Explicit => list("pads", &self.pads, 2 * rank, 0)?,
            _ => vec![0; 2 * rank],
        };
        let axis = |at: usize| Axis {
            kernel: kernel[at],
            stride: strides[at],
            dilation: dilations[at],
            begin: pads[at] as isize,
            end: pads[rank + at],
            ..Axis::NONE
        };
        Ok((0..rank).map(axis).collect())
    }

    /// The window with this kernel over an input of these axes.
    pub(super) fn window(&self, input: &[usize], kernel: &[usize]) -> Result<Window, OpError> {
        if kernel.len() != input.len() {
            return Err(OpError::new(format!(
                "a kernel of {} axes does not fit an input of {}",
                kernel.len(),
                input.len()
            )));
        }
        let mut axes = self.axes(kernel)?;
        for (axis, &size) in axes.iter_mut().zip(input) {
            self.place(axis, size)?;
        }
        Ok(Window::new(&axes))
    }

    /// The window of a pool over an input of this shape, and the shape of the output.
    pub(super) fn pool(&self, input: &[usize]) -> Result<(Window, Shape), OpError> {
        let spatial = Sliding::spatial(input)?;
        let kernel = self
            .kernel
            .as_ref()
            .ok_or_else(|| OpError::new("attribute kernel_shape is missing"))?;
        let window = self.window(spatial, kernel)?;
        let axes = window.0[3 - spatial.len()..].iter().map(|axis| axis.output);
        Ok((window, input[..2].iter().copied().chain(axes).collect()))
    }

    /// Finds the places of the window along one axis (ONNX, "Conv" and "MaxPool").
    fn place(&self, axis: &mut Axis, size: usize) -> Result<(), OpError> {
        axis.input = size;
        let extent = axis.extent();
        if matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            axis.output = size.div_ceil(axis.stride);
            let covered = (axis.output.max(1) - 1) * axis.stride + extent;
            let total = covered.saturating_sub(size);
            let begin =
                if self.auto_pad == AutoPad::SameUpper { total / 2 } else { total.div_ceil(2) };
            axis.begin = begin as isize;
            axis.end = total - begin;
            return Ok(());
        }
        let padded = size + axis.begin as usize + axis.end;
        let Some(free) = padded.checked_sub(extent) else {
            return Err(OpError::new(format!(
                "the kernel spans {extent} elements, more than the {padded} of the padded input"
            )));
        };
        axis.output = free / axis.stride + 1;
        if self.ceil && free % axis.stride != 0 {
            // One more place, unless it would start in the padding at the end.
            let start = axis.output * axis.stride;
            axis.output += usize::from(start < size + axis.begin as usize);
        }
        Ok(())
    }
}
