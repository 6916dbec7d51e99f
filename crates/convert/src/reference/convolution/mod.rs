//! Convolutions, forwards and transposed, over any number of spatial dimensions. Channels come
//! first: inputs are `[batch, channels, spatial...]`.

mod depthwise;
mod product;
#[cfg(test)]
mod tests;
mod transposed;

use super::layout::elements;
use super::{Array, Data};
use crate::EvaluateError;

pub(crate) use product::each_row;
pub(crate) use transposed::convolve_transposed;

use product::run;

/// How a window walks over its input. Empty lists mean 1 (0 for the pads) everywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Convolution {
    /// Elements of the input between neighbours of the output.
    pub(crate) strides: Vec<usize>,
    /// Elements of the input between neighbours of the kernel.
    pub(crate) dilations: Vec<usize>,
    /// Zeros in front of each axis.
    pub(crate) pads_begin: Vec<usize>,
    /// Zeros behind each axis.
    pub(crate) pads_end: Vec<usize>,
    /// Groups of channels that do not see each other; 0 is 1.
    pub(crate) groups: usize,
}

impl Convolution {
    /// One number an axis, whatever was left out.
    pub(crate) fn spatial(&self, rank: usize) -> Result<Vec<Axis>, EvaluateError> {
        let lists = [&self.strides, &self.dilations, &self.pads_begin, &self.pads_end];
        let wrong = lists.iter().find(|list| !list.is_empty() && list.len() != rank);
        if let Some(list) = wrong {
            let message = format!("{list:?} does not say it for each of {rank} spatial dimensions");
            return Err(EvaluateError::new(message));
        }
        if self.strides.contains(&0) || self.dilations.contains(&0) {
            return Err(EvaluateError::new("strides and dilations must be at least 1"));
        }
        let at = |list: &[usize], axis: usize, default| list.get(axis).copied().unwrap_or(default);
        let axes = (0..rank).map(|axis| Axis {
            stride: at(&self.strides, axis, 1),
            dilation: at(&self.dilations, axis, 1),
            before: at(&self.pads_begin, axis, 0),
            after: at(&self.pads_end, axis, 0),
            ..Axis::default()
        });
        Ok(axes.collect())
    }
}

/// One spatial axis of a window that walks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Axis {
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// Elements of the input.
    pub(crate) input: usize,
    /// Elements of the window.
    pub(crate) kernel: usize,
    /// Positions of the window.
    pub(crate) output: usize,
}

impl Axis {
    /// The axis with its sizes known; an error where the window does not fit.
    pub(crate) fn sized(self, input: usize, kernel: usize) -> Result<Axis, EvaluateError> {
        let reach = kernel.checked_sub(1).and_then(|steps| steps.checked_mul(self.dilation));
        let padded = input.checked_add(self.before).and_then(|sum| sum.checked_add(self.after));
        let room =
            padded.zip(reach).and_then(|(padded, reach)| padded.checked_sub(reach)?.checked_sub(1));
        let Some(room) = room else {
            return Err(EvaluateError::new(format!(
                "a window of {kernel} (dilation {}) does not fit into {input} elements padded by {} \
                 and {}",
                self.dilation, self.before, self.after
            )));
        };
        Ok(Axis { input, kernel, output: room / self.stride + 1, ..self })
    }

    /// Which positions of the window see an element of the input at this place of the kernel:
    /// the first, and one behind the last.
    pub(crate) fn valid(&self, kernel: usize) -> (usize, usize) {
        let shift = kernel * self.dilation;
        let first = self.before.saturating_sub(shift).div_ceil(self.stride);
        // Positions p with p * stride + shift - before < input.
        let end = match (self.input + self.before).checked_sub(shift) {
            Some(room) => room.div_ceil(self.stride),
            None => 0,
        };
        let end = end.min(self.output);
        (first.min(end), end)
    }

    /// The element of the input that a position sees, where [`Axis::valid`] says so.
    pub(crate) fn place(&self, position: usize, kernel: usize) -> usize {
        position * self.stride + kernel * self.dilation - self.before
    }
}

/// What was found out about one convolution.
struct Plan {
    axes: Vec<Axis>,
    batch: usize,
    groups: usize,
    /// Channels of the input in a group.
    inputs: usize,
    /// Channels of the output in a group.
    outputs: usize,
    kernel: usize,
    input_size: usize,
    output_size: usize,
}

/// A convolution (cross-correlation) with weights `[outputs, inputs / groups, kernel...]`.
pub(crate) fn convolve(
    input: &Array,
    weight: &Array,
    bias: Option<&Array>,
    how: &Convolution,
) -> Result<Array, EvaluateError> {
    let plan = plan(input, weight, how)?;
    let mut dims = vec![plan.batch, plan.groups * plan.outputs];
    dims.extend(plan.axes.iter().map(|axis| axis.output));
    elements(&dims)?;
    computed((input, weight, bias), &dims, &plan, (run, run))
}

/// What makes the elements of the output from those of the input and of the weights.
type Kernel<T> = fn(&[T], &[T], &Plan) -> Result<Vec<T>, EvaluateError>;

/// A convolution of numbers of any kind, by one kernel in the widths that there are of it, and its
/// bias.
fn computed(
    (input, weight, bias): (&Array, &Array, Option<&Array>),
    dims: &[usize],
    plan: &Plan,
    (floats, doubles): (Kernel<f32>, Kernel<f64>),
) -> Result<Array, EvaluateError> {
    let data = match (input.data(), weight.data()) {
        (Data::Floats(x), Data::Floats(w)) => Data::Floats(floats(x, w, plan)?),
        (Data::Doubles(x), Data::Doubles(w)) => Data::Doubles(doubles(x, w, plan)?),
        // Sums of integers are exact in doubles up to 2^53, and faster.
        (Data::Ints(_), Data::Ints(_)) => {
            let sums = doubles(&input.to_f64s()?, &weight.to_f64s()?, plan)?;
            Data::Ints(sums.into_iter().map(|sum| sum as i64).collect())
        }
        _ => return Err(kinds(input, weight)),
    };
    with_bias(Array::new(input.element_type(), dims, data)?, bias)
}

fn kinds(input: &Array, weight: &Array) -> EvaluateError {
    let (one, two) = (input.element_type(), weight.element_type());
    EvaluateError::new(format!("a convolution of {one} with weights of {two} does not exist"))
}

fn with_bias(product: Array, bias: Option<&Array>) -> Result<Array, EvaluateError> {
    let Some(bias) = bias else { return Ok(product) };
    let mut dims = vec![1; product.rank() - 1];
    dims[0] = bias.len();
    if bias.rank() != 1 || bias.len() != product.dims()[1] {
        let (one, two) = (bias.dims(), product.dims());
        return Err(EvaluateError::new(format!(
            "a bias of {one:?} does not fit outputs of {two:?}"
        )));
    }
    super::elementwise::add(&product, &bias.clone().reshaped(&dims)?)
}

fn plan(input: &Array, weight: &Array, how: &Convolution) -> Result<Plan, EvaluateError> {
    let (x, w) = (input.dims(), weight.dims());
    let groups = how.groups.max(1);
    let fits = x.len() >= 2
        && x.len() == w.len()
        && w[1].checked_mul(groups) == Some(x[1])
        && w[0].is_multiple_of(groups);
    if !fits {
        return Err(EvaluateError::new(format!(
            "input {x:?} and weights {w:?} of a convolution of {groups} groups do not fit"
        )));
    }
    let spatial = how.spatial(x.len() - 2)?.into_iter().zip(x[2..].iter().zip(&w[2..]));
    let axes = spatial
        .map(|(axis, (&input, &kernel))| axis.sized(input, kernel))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Plan {
        batch: x[0],
        groups,
        inputs: w[1],
        outputs: w[0] / groups,
        kernel: elements(&w[2..])?,
        input_size: elements(&x[2..])?,
        output_size: elements(&axes.iter().map(|axis| axis.output).collect::<Vec<_>>())?,
        axes,
    })
}
