//! Convolution as a product of matrices: windows are written out as columns, a block at a time.

use rayon::prelude::*;

use super::super::layout::elements;
use super::super::matmul::{Matrix, Number};
use super::depthwise::depthwise;
use super::{Axis, Plan};
use crate::EvaluateError;

pub(super) fn run<T: Number>(x: &[T], w: &[T], plan: &Plan) -> Result<Vec<T>, EvaluateError> {
    let channels = plan.groups * plan.outputs;
    let mut out = vec![T::default(); plan.batch * channels * plan.output_size];
    if out.is_empty() || plan.inputs * plan.kernel == 0 {
        return Ok(out);
    }
    if plan.inputs == 1 && plan.groups > 1 {
        depthwise(&mut out, x, w, plan);
        return Ok(out);
    }
    let image = plan.inputs * plan.input_size;
    let filters = plan.outputs * plan.inputs * plan.kernel;
    let mut scratch = Scratch::default();
    for (at, out) in out.chunks_exact_mut(plan.outputs * plan.output_size).enumerate() {
        let group = at % plan.groups;
        let x = &x[at * image..(at + 1) * image];
        group_product(out, x, &w[group * filters..(group + 1) * filters], plan, &mut scratch)?;
    }
    Ok(out)
}

/// Elements of unrolled input that are held at once.
const BLOCK: usize = 1 << 22;

/// Memory that is used again for each group.
#[derive(Default)]
struct Scratch<T> {
    columns: Vec<T>,
    product: Vec<T>,
}

/// One image through the filters of one group: a product with the unrolled input.
fn group_product<T: Number>(
    out: &mut [T],
    x: &[T],
    w: &[T],
    plan: &Plan,
    scratch: &mut Scratch<T>,
) -> Result<(), EvaluateError> {
    let depth = plan.inputs * plan.kernel;
    let filters = Matrix::new(w, plan.outputs, depth);
    let pointwise = plan.kernel == 1
        && plan.axes.iter().all(|axis| axis.stride == 1 && axis.before == 0 && axis.after == 0);
    if pointwise {
        return T::multiply(out, filters, Matrix::new(x, depth, plan.output_size));
    }
    // Blocks of whole slices along the first spatial axis.
    let slices = plan.axes.first().map_or(1, |axis| axis.output);
    let width = plan.output_size / slices;
    let step = (BLOCK / (depth * width).max(1)).clamp(1, slices);
    for first in (0..slices).step_by(step) {
        let last = (first + step).min(slices);
        let size = (last - first) * width;
        elements(&[depth, size])?;
        scratch.columns.clear();
        scratch.columns.resize(depth * size, T::default());
        unroll(&mut scratch.columns, x, plan, (first, last));
        let columns = Matrix::new(&scratch.columns, depth, size);
        if size == plan.output_size {
            T::multiply(out, filters, columns)?;
            continue;
        }
        scratch.product.resize(plan.outputs * size, T::default());
        T::multiply(&mut scratch.product, filters, columns)?;
        let rows = out.chunks_exact_mut(plan.output_size);
        for (row, part) in rows.zip(scratch.product.chunks_exact(size)) {
            row[first * width..last * width].copy_from_slice(part);
        }
    }
    Ok(())
}

/// The input as a matrix: a row a channel and place of the kernel, a column a position of the
/// window. `columns` is all zeros before; only positions `first..last` of the first axis.
fn unroll<T: Number>(columns: &mut [T], x: &[T], plan: &Plan, (first, last): (usize, usize)) {
    let size = columns.len() / (plan.inputs * plan.kernel);
    columns.par_chunks_exact_mut(size).enumerate().for_each(|(row, out)| {
        let (channel, kernel) = (row / plan.kernel, row % plan.kernel);
        let x = &x[channel * plan.input_size..(channel + 1) * plan.input_size];
        each_row(&plan.axes, kernel, (first, last), |to, from, (count, stride)| {
            copy_strided(&mut out[to..to + count], &x[from..], stride);
        });
    });
}

fn copy_strided<T: Copy>(out: &mut [T], x: &[T], stride: usize) {
    if stride == 1 {
        out.copy_from_slice(&x[..out.len()]);
    } else {
        for (out, &x) in out.iter_mut().zip(x.iter().step_by(stride)) {
            *out = x;
        }
    }
}

/// For one place of the kernel (its index, row-major), calls `row(output, input, (count, stride))`
/// for each run of positions along the last axis that see elements of the input. Positions of the
/// first axis are those of `range`, and outputs are counted from there.
pub(crate) fn each_row(
    axes: &[Axis],
    kernel: usize,
    range: (usize, usize),
    mut row: impl FnMut(usize, usize, (usize, usize)),
) {
    let rank = axes.len();
    let Some(last) = rank.checked_sub(1) else { return row(0, 0, (1, 1)) };
    let mut places = vec![0; rank];
    let mut rest = kernel;
    for axis in (0..rank).rev() {
        places[axis] = rest % axes[axis].kernel;
        rest /= axes[axis].kernel;
    }
    let mut bounds: Vec<(usize, usize)> =
        axes.iter().zip(&places).map(|(axis, &place)| axis.valid(place)).collect();
    bounds[0] = (bounds[0].0.max(range.0), bounds[0].1.min(range.1));
    if bounds.iter().any(|(start, end)| start >= end) {
        return;
    }
    let mut at: Vec<usize> = bounds.iter().map(|bound| bound.0).collect();
    loop {
        let (mut to, mut from) = (0, 0);
        for axis in 0..rank {
            let skipped = if axis == 0 { range.0 } else { 0 };
            to = to * axes[axis].output + at[axis] - skipped;
            from = from * axes[axis].input + axes[axis].place(at[axis], places[axis]);
        }
        row(to, from, (bounds[last].1 - bounds[last].0, axes[last].stride));
        let mut axis = last;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            at[axis] += 1;
            if at[axis] < bounds[axis].1 {
                break;
            }
            at[axis] = bounds[axis].0;
        }
    }
}
