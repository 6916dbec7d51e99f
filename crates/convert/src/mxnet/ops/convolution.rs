//! `Convolution`: in one, two or three dimensions, with groups and dilation.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, convolution, normalize, shape};

pub(super) const OPERATOR: Operator =
    Operator { names: &["Convolution", "Convolution_v1"], infer, convert, evaluate };

/// The attributes, understood.
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) pads: Vec<usize>,
    pub(super) groups: usize,
    pub(super) filters: usize,
    /// Whether channels are the last axis, of the input and of the weights.
    pub(super) channels_last: bool,
}

impl Window {
    pub(super) fn of(op: &Op<'_>) -> Result<Window, Problem> {
        let attributes = op.attributes;
        let rank = attributes.need_ints("kernel")?.len();
        let layout = attributes.text("layout").unwrap_or("NCHW");
        let channels_last = match layout {
            "NCW" | "NCHW" | "NCDHW" => false,
            "NWC" | "NHWC" | "NDHWC" => true,
            other => {
                return Err(Problem::refused(format!("layout '{other}'"), "export as NCHW"));
            }
        };
        let window = Window {
            kernel: attributes.sizes("kernel", rank, 1)?,
            strides: attributes.sizes("stride", rank, 1)?,
            dilations: attributes.sizes("dilate", rank, 1)?,
            pads: attributes.sizes("pad", rank, 0)?,
            groups: attributes.count_or("num_group", 1)?,
            filters: attributes.need_count("num_filter")?,
            channels_last,
        };
        let zero = |sizes: &[usize]| sizes.contains(&0);
        if !(1..=3).contains(&rank)
            || zero(&window.kernel)
            || zero(&window.strides)
            || zero(&window.dilations)
            || window.groups == 0
            || !window.filters.is_multiple_of(window.groups)
        {
            return Err(Problem::shape("a window without a size, or groups that do not divide"));
        }
        Ok(window)
    }

    /// How far a kernel reaches along an axis.
    pub(super) fn reach(&self, axis: usize) -> usize {
        let at = |list: &[usize]| list.get(axis).copied().unwrap_or(1);
        (at(&self.kernel) - 1) * at(&self.dilations) + 1
    }

    pub(super) fn ints(sizes: &[usize]) -> Vec<i64> {
        sizes.iter().map(|&size| size as i64).collect()
    }

    /// Pads at the beginning, then at the end.
    pub(super) fn both_pads(&self) -> Vec<i64> {
        Window::ints(&[self.pads.as_slice(), &self.pads].concat())
    }

    pub(super) fn walk(&self) -> convolution::Convolution {
        convolution::Convolution {
            strides: self.strides.clone(),
            dilations: self.dilations.clone(),
            pads_begin: self.pads.clone(),
            pads_end: self.pads.clone(),
            groups: self.groups,
        }
    }
}

/// Whether there is a bias: `no_bias` is false unless said.
fn has_bias(op: &Op<'_>) -> Result<bool, Problem> {
    Ok(!op.attributes.flag_or("no_bias", false)?)
}

/// The axes of images: behind the channels, or between batch and channels.
pub(super) fn plane(rank: usize, channels_last: bool) -> (usize, std::ops::Range<usize>) {
    if channels_last { (rank - 1, 1..rank - 1) } else { (1, 2..rank) }
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let window = Window::of(op)?;
    let (input, weight) = (info(inputs, 0)?, info(inputs, 1)?);
    let rank = window.kernel.len() + 2;
    if input.rank() != rank || weight.rank() != rank {
        let (found, kernel) = (&input.dims, &window.kernel);
        return Err(Problem::shape(format!("kernel {kernel:?} and input {found:?}")));
    }
    if has_bias(op)? {
        info(inputs, 2)?;
    }
    let (channel, plane) = plane(rank, window.channels_last);
    let mut dims = input.dims.clone();
    let inner = weight.dims[if window.channels_last { rank - 1 } else { 1 }];
    if inner.checked_mul(window.groups) != Some(dims[channel]) || weight.dims[0] != window.filters {
        let (found, weight) = (dims[channel], &weight.dims);
        return Err(Problem::shape(format!("weights {weight:?} and {found} channels")));
    }
    dims[channel] = window.filters;
    for (axis, at) in plane.enumerate() {
        let padded = dims[at].saturating_add(2 * window.pads[axis]);
        let reach = window.reach(axis);
        if padded < reach {
            return Err(Problem::shape(format!("a kernel of {reach} and an input of {padded}")));
        }
        dims[at] = (padded - reach) / window.strides[axis] + 1;
    }
    Ok(vec![Info { dims, kind: input.kind }])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let window = Window::of(&site.op)?;
    let rank = window.kernel.len() + 2;
    let mut inputs = vec![site.input(0)?, site.input(1)?];
    if has_bias(&site.op)? {
        inputs.push(site.input(2)?);
    }
    if window.channels_last {
        for input in inputs.iter_mut().take(2) {
            *input = site.transpose(input, &first(rank));
        }
    }
    let mut found = site.add(
        node("Conv", &inputs)
            .with("kernel_shape", Window::ints(&window.kernel).as_slice())
            .with("strides", Window::ints(&window.strides).as_slice())
            .with("dilations", Window::ints(&window.dilations).as_slice())
            .with("pads", window.both_pads().as_slice())
            .with("group", window.groups as i64),
    );
    if window.channels_last {
        found = site.transpose(&found, &last(rank));
    }
    Ok(vec![found])
}

/// The order of axes that moves channels from the last to the second place.
pub(super) fn first(rank: usize) -> Vec<i64> {
    let last = rank as i64 - 1;
    [0, last].into_iter().chain(1..last).collect()
}

/// The order of axes that moves channels from the second to the last place.
pub(super) fn last(rank: usize) -> Vec<i64> {
    [0].into_iter().chain(2..rank as i64).chain([1]).collect()
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let window = Window::of(op)?;
    let bias = if has_bias(op)? { Some(at(inputs, 2)?) } else { None };
    let (input, weight) = (at(inputs, 0)?, at(inputs, 1)?);
    if !window.channels_last {
        return Ok(vec![convolution::convolve(input, weight, bias, &window.walk())?]);
    }
    let input = normalize::channels_first(input)?;
    // Weights are [filters, kernel..., channels].
    let order: Vec<usize> = first(weight.rank()).iter().map(|&axis| axis as usize).collect();
    let weight = shape::transpose(weight, &order)?;
    let found = convolution::convolve(&input, &weight, bias, &window.walk())?;
    Ok(vec![normalize::channels_last(&found)?])
}
