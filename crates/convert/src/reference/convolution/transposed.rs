//! Transposed convolution.

use rayon::prelude::*;

use super::super::Array;
use super::super::layout::elements;
use super::super::matmul::{Matrix, Number};
use super::product::each_row;
use super::{Axis, Convolution, Plan, computed};
use crate::EvaluateError;

/// The transposed convolution with weights `[inputs, outputs / groups, kernel...]`: each element of
/// the input adds the kernel to the output. The pads cut off of the output; `extra` elements are
/// added behind each axis (empty: none).
pub(crate) fn convolve_transposed(
    input: &Array,
    weight: &Array,
    bias: Option<&Array>,
    (how, extra): (&Convolution, &[usize]),
) -> Result<Array, EvaluateError> {
    let (x, w) = (input.dims(), weight.dims());
    let groups = how.groups.max(1);
    let fits = x.len() >= 2
        && x.len() == w.len()
        && w[0] == x[1]
        && w[0].is_multiple_of(groups)
        && (extra.is_empty() || extra.len() + 2 == x.len());
    if !fits {
        return Err(EvaluateError::new(format!(
            "input {x:?} and weights {w:?} of a transposed convolution of {groups} groups do not fit"
        )));
    }
    let mut axes = Vec::new();
    for (at, axis) in how.spatial(x.len() - 2)?.into_iter().enumerate() {
        let more = extra.get(at).copied().unwrap_or(0);
        axes.push(transposed_axis(axis, x[at + 2], w[at + 2], more)?);
    }
    let mut dims = vec![x[0], w[1].saturating_mul(groups)];
    dims.extend(axes.iter().map(|axis| axis.input));
    elements(&dims)?;
    let plan = Plan {
        batch: x[0],
        groups,
        // Seen from the output: it is what the window walks over.
        inputs: w[1],
        outputs: x[1] / groups,
        kernel: elements(&w[2..])?,
        input_size: elements(&dims[2..])?,
        output_size: elements(&x[2..])?,
        axes,
    };
    elements(&[plan.inputs, plan.kernel, plan.output_size])?;
    computed((input, weight, bias), &dims, &plan, (run_transposed, run_transposed))
}

/// The axis of the convolution that this one is the transpose of: its input is our output.
fn transposed_axis(
    axis: Axis,
    size: usize,
    kernel: usize,
    extra: usize,
) -> Result<Axis, EvaluateError> {
    let found = || {
        if size == 0 {
            return Some(0);
        }
        let walked = (size - 1).checked_mul(axis.stride)?;
        let reach = kernel.checked_sub(1)?.checked_mul(axis.dilation)?;
        let whole = walked.checked_add(reach)?.checked_add(1)?.checked_add(extra)?;
        whole.checked_sub(axis.before)?.checked_sub(axis.after)
    };
    let input = found().ok_or_else(|| {
        EvaluateError::new(format!(
            "a transposed window of {kernel} over {size} elements leaves nothing of pads {} and {}",
            axis.before, axis.after
        ))
    })?;
    Ok(Axis { input, kernel, output: size, ..axis })
}

fn run_transposed<T: Number>(x: &[T], w: &[T], plan: &Plan) -> Result<Vec<T>, EvaluateError> {
    let mut out = vec![T::default(); plan.batch * plan.groups * plan.inputs * plan.input_size];
    let depth = plan.inputs * plan.kernel;
    let image = plan.outputs * plan.output_size;
    if out.is_empty() || image == 0 || depth == 0 {
        return Ok(out);
    }
    let filters = plan.outputs * depth;
    let mut columns = vec![T::default(); depth * plan.output_size];
    let all = (0, plan.axes.first().map_or(1, |axis| axis.output));
    for (at, out) in out.chunks_exact_mut(plan.inputs * plan.input_size).enumerate() {
        let group = at % plan.groups;
        let w = &w[group * filters..(group + 1) * filters];
        let x = Matrix::new(&x[at * image..(at + 1) * image], plan.outputs, plan.output_size);
        T::multiply(&mut columns, Matrix::transposed(w, depth, plan.outputs), x)?;
        out.par_chunks_exact_mut(plan.input_size).enumerate().for_each(|(channel, out)| {
            for kernel in 0..plan.kernel {
                let row = (channel * plan.kernel + kernel) * plan.output_size;
                let values = &columns[row..row + plan.output_size];
                each_row(&plan.axes, kernel, all, |from, to, (count, stride)| {
                    let into = out[to..].iter_mut().step_by(stride);
                    for (out, &value) in into.zip(&values[from..from + count]) {
                        *out = *out + value;
                    }
                });
            }
        });
    }
    Ok(out)
}
