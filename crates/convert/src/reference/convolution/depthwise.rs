//! Convolution of each channel by itself.

use rayon::prelude::*;

use super::super::matmul::Number;
use super::Plan;
use super::product::each_row;

/// Each channel of the input by itself.
pub(super) fn depthwise<T: Number>(out: &mut [T], x: &[T], w: &[T], plan: &Plan) {
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
