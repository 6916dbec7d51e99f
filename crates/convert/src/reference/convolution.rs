//! Convolutions, forwards and transposed, over any number of spatial dimensions. Channels come
//! first: inputs are `[batch, channels, spatial...]`.

use rayon::prelude::*;

use super::layout::elements;
use super::matmul::{Matrix, Number};
use super::{Array, Data};
use crate::EvaluateError;

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
    let channels = plan.groups * plan.outputs;
    let mut dims = vec![plan.batch, channels];
    dims.extend(plan.axes.iter().map(|axis| axis.output));
    elements(&dims)?;
    let data = match (input.data(), weight.data()) {
        (Data::Floats(x), Data::Floats(w)) => Data::Floats(run(x, w, &plan)?),
        (Data::Doubles(x), Data::Doubles(w)) => Data::Doubles(run(x, w, &plan)?),
        // Sums of integers are exact in doubles up to 2^53, and faster.
        (Data::Ints(_), Data::Ints(_)) => {
            let sums = run(&input.to_f64s()?, &weight.to_f64s()?, &plan)?;
            Data::Ints(sums.into_iter().map(|sum| sum as i64).collect())
        }
        _ => return Err(kinds(input, weight)),
    };
    with_bias(Array::new(input.element_type(), &dims, data)?, bias)
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

fn run<T: Number>(x: &[T], w: &[T], plan: &Plan) -> Result<Vec<T>, EvaluateError> {
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

/// Each channel of the input by itself.
fn depthwise<T: Number>(out: &mut [T], x: &[T], w: &[T], plan: &Plan) {
    let channels = plan.groups * plan.outputs;
    let all = (0, plan.axes.first().map_or(1, |axis| axis.output));
    out.par_chunks_exact_mut(plan.output_size).enumerate().for_each(|(at, out)| {
        let (image, channel) = (at / channels, at % channels);
        let input = image * plan.groups + channel / plan.outputs;
        let x = &x[input * plan.input_size..(input + 1) * plan.input_size];
        let filter = &w[channel * plan.kernel..(channel + 1) * plan.kernel];
        for (kernel, &weight) in filter.iter().enumerate() {
            each_row(&plan.axes, kernel, all, |to, from, (count, stride)| {
                let out = &mut out[to..to + count];
                if stride == 1 {
                    for (out, &x) in out.iter_mut().zip(&x[from..]) {
                        *out = *out + weight * x;
                    }
                } else {
                    for (out, &x) in out.iter_mut().zip(x[from..].iter().step_by(stride)) {
                        *out = *out + weight * x;
                    }
                }
            });
        }
    });
}

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
    let data = match (input.data(), weight.data()) {
        (Data::Floats(x), Data::Floats(w)) => Data::Floats(run_transposed(x, w, &plan)?),
        (Data::Doubles(x), Data::Doubles(w)) => Data::Doubles(run_transposed(x, w, &plan)?),
        (Data::Ints(_), Data::Ints(_)) => {
            let sums = run_transposed(&input.to_f64s()?, &weight.to_f64s()?, &plan)?;
            Data::Ints(sums.into_iter().map(|sum| sum as i64).collect())
        }
        _ => return Err(kinds(input, weight)),
    };
    with_bias(Array::new(input.element_type(), &dims, data)?, bias)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(dims: &[usize]) -> Array {
        let count = dims.iter().product::<usize>();
        Array::floats(dims, (0..count).map(|value| value as f32).collect()).unwrap()
    }

    fn ones(dims: &[usize]) -> Array {
        Array::floats(dims, vec![1.0; dims.iter().product()]).unwrap()
    }

    fn check(found: Result<Array, EvaluateError>, dims: &[usize], values: &[f32]) {
        let found = found.unwrap();
        assert_eq!((found.dims(), found.as_floats().unwrap()), (dims, values));
    }

    #[test]
    fn windows_walk_over_padded_images() {
        let how = Convolution {
            pads_begin: vec![1, 1],
            pads_end: vec![1, 1],
            strides: vec![2, 2],
            ..Convolution::default()
        };
        // 0 1 2 / 3 4 5 / 6 7 8: corners of four elements each.
        let found = convolve(&counted(&[1, 1, 3, 3]), &ones(&[1, 1, 3, 3]), None, &how);
        check(found, &[1, 1, 2, 2], &[8.0, 12.0, 20.0, 24.0]);
        let dilated = Convolution { dilations: vec![2], ..Convolution::default() };
        let bias = Array::floats(&[1], vec![0.5]).unwrap();
        let found = convolve(&counted(&[1, 1, 4]), &ones(&[1, 1, 2]), Some(&bias), &dilated);
        check(found, &[1, 1, 2], &[2.5, 4.5]);
    }

    #[test]
    fn pads_may_differ() {
        let how = Convolution { pads_end: vec![1], ..Convolution::default() };
        let weight = Array::floats(&[1, 1, 2], vec![1.0, 10.0]).unwrap();
        check(convolve(&counted(&[1, 1, 3]), &weight, None, &how), &[1, 1, 3], &[10.0, 21.0, 2.0]);
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let how = Convolution { groups: 2, ..Convolution::default() };
        let input = counted(&[1, 4, 2]);
        let found = convolve(&input, &ones(&[2, 2, 1]), None, &how);
        check(found, &[1, 2, 2], &[2.0, 4.0, 10.0, 12.0]);
        // One input channel a group, two outputs each.
        let weight = Array::floats(&[4, 1, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        let found = convolve(&counted(&[1, 2, 2]), &weight, None, &how);
        check(found, &[1, 4, 2], &[0.0, 1.0, 0.0, 2.0, 6.0, 9.0, 8.0, 12.0]);
    }

    /// A sum over everything, in the most obvious way.
    fn obvious(x: &Array, w: &Array, pad: usize, (stride, dilation): (usize, usize)) -> Vec<f32> {
        let (&[batch, channels, height, width], &[outputs, _, kh, kw]) = (x.dims(), w.dims())
        else {
            panic!()
        };
        let size =
            |len: usize, kernel: usize| (len + 2 * pad - (kernel - 1) * dilation - 1) / stride + 1;
        let (x, w) = (x.as_floats().unwrap(), w.as_floats().unwrap());
        let mut out = Vec::new();
        for (n, o) in (0..batch).flat_map(|n| (0..outputs).map(move |o| (n, o))) {
            for (i, j) in
                (0..size(height, kh)).flat_map(|i| (0..size(width, kw)).map(move |j| (i, j)))
            {
                let mut sum = 0.0;
                for (c, a, b) in (0..channels)
                    .flat_map(|c| (0..kh).flat_map(move |a| (0..kw).map(move |b| (c, a, b))))
                {
                    let row = (i * stride + a * dilation).wrapping_sub(pad);
                    let column = (j * stride + b * dilation).wrapping_sub(pad);
                    if row < height && column < width {
                        sum += x[((n * channels + c) * height + row) * width + column]
                            * w[((o * channels + c) * kh + a) * kw + b];
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn agrees_with_the_obvious_sum() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut noise = |dims: &[usize]| {
            let count = dims.iter().product::<usize>();
            Array::floats(dims, (0..count).map(|_| random.i32(-3..4) as f32).collect()).unwrap()
        };
        for (stride, dilation, pad) in [(1, 1, 0), (2, 1, 1), (3, 1, 2), (1, 2, 2), (2, 3, 4)] {
            let (x, w) = (noise(&[2, 3, 9, 8]), noise(&[4, 3, 3, 2]));
            let how = Convolution {
                strides: vec![stride; 2],
                dilations: vec![dilation; 2],
                pads_begin: vec![pad; 2],
                pads_end: vec![pad; 2],
                groups: 1,
            };
            let found = convolve(&x, &w, None, &how).unwrap();
            assert_eq!(found.as_floats().unwrap(), obvious(&x, &w, pad, (stride, dilation)));
            let doubles = |array: &Array| {
                super::super::elementwise::cast(array, modelyard_graph::ElementType::Int64).unwrap()
            };
            let ints = convolve(&doubles(&x), &doubles(&w), None, &how).unwrap();
            assert_eq!(ints.to_f64s().unwrap(), found.to_f64s().unwrap());
        }
    }

    #[test]
    fn transposed_ones_spread_the_kernel() {
        let how = Convolution { strides: vec![2], ..Convolution::default() };
        let weight = Array::floats(&[1, 1, 3], vec![1.0, 2.0, 3.0]).unwrap();
        let input = Array::floats(&[1, 1, 2], vec![1.0, 10.0]).unwrap();
        let found = convolve_transposed(&input, &weight, None, (&how, &[]));
        check(found, &[1, 1, 5], &[1.0, 2.0, 13.0, 20.0, 30.0]);
        let cut = Convolution { pads_begin: vec![1], pads_end: vec![1], ..how };
        let found = convolve_transposed(&input, &weight, None, (&cut, &[1]));
        check(found, &[1, 1, 4], &[2.0, 13.0, 20.0, 30.0]);
    }

    #[test]
    fn transposed_is_the_transpose() {
        // <conv(x), y> = <x, transposed(y)> for every x and y.
        let how = Convolution {
            strides: vec![2, 1],
            dilations: vec![1, 2],
            pads_begin: vec![1, 0],
            pads_end: vec![0, 1],
            groups: 2,
        };
        let (x, w) = (counted(&[1, 4, 6, 5]), counted(&[6, 2, 3, 2]));
        let there = convolve(&x, &w, None, &how).unwrap();
        let y = counted(there.dims());
        let back = convolve_transposed(&y, &w, None, (&how, &[0, 0])).unwrap();
        let dot = |a: &Array, b: &Array| -> f64 {
            a.to_f64s().unwrap().iter().zip(b.to_f64s().unwrap()).map(|(a, b)| a * b).sum()
        };
        assert_eq!(back.dims(), x.dims());
        assert!((dot(&there, &y) / dot(&x, &back) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let how = Convolution::default();
        let error = convolve(&counted(&[1, 2, 3]), &counted(&[1, 1, 3]), None, &how).unwrap_err();
        assert!(error.0.starts_with("input [1, 2, 3] and weights [1, 1, 3] of a convolution"));
        let error = convolve(&counted(&[1, 1, 2]), &counted(&[1, 1, 3]), None, &how).unwrap_err();
        assert!(error.0.starts_with("a window of 3 (dilation 1) does not fit into 2 elements"));
        assert!(convolve(&counted(&[1, 1, 3]), &counted(&[1, 1, 0]), None, &how).is_err());
        let none = Convolution { strides: vec![0], ..Convolution::default() };
        assert!(convolve(&counted(&[1, 1, 3]), &counted(&[1, 1, 3]), None, &none).is_err());
        let empty = convolve(&counted(&[0, 1, 3]), &counted(&[1, 1, 3]), None, &how).unwrap();
        assert_eq!(empty.dims(), [0, 1, 1]);
    }
}
