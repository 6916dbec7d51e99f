//! For tests: random geometries, and convolution by its definition.

use proptest::prelude::*;

use crate::array::Array;
use crate::testing::{Case, numbers};

/// A convolution along one axis. `input` is the longer side.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Line {
    pub(in super::super) input: usize,
    pub(in super::super) kernel: usize,
    pub(in super::super) stride: usize,
    pub(in super::super) dilation: usize,
    pub(in super::super) pads: (usize, usize),
}

impl Line {
    /// Places of the window (ONNX, "Conv").
    pub(in super::super) fn output(&self) -> usize {
        let padded = self.input + self.pads.0 + self.pads.1;
        (padded - self.dilation * (self.kernel - 1) - 1) / self.stride + 1
    }
}

/// A convolution.
#[derive(Clone, Debug)]
pub(in super::super) struct Geometry {
    pub(in super::super) batch: usize,
    pub(in super::super) groups: usize,
    /// Channels of a group.
    pub(in super::super) inputs: usize,
    pub(in super::super) outputs: usize,
    pub(in super::super) lines: Vec<Line>,
}

fn line(longest: usize) -> impl Strategy<Value = Line> {
    let numbers = (1..=longest, 1usize..4, 1usize..4, 1usize..3, (0usize..3, 0usize..3));
    numbers.prop_map(|(input, kernel, stride, dilation, pads)| {
        let least = (dilation * (kernel - 1) + 1).saturating_sub(pads.0 + pads.1);
        // Most convolutions move by 1.
        let stride = if stride == 3 { 1 } else { stride };
        Line { input: input.max(least).max(1), kernel, stride, dilation, pads }
    })
}

/// Random convolutions over one to three axes; those over one are longer.
pub(in super::super) fn geometry(longest: usize) -> impl Strategy<Value = Geometry> {
    let lines = prop_oneof![
        prop::collection::vec(line(longest * 4), 1),
        prop::collection::vec(line(longest), 2),
        prop::collection::vec(line(longest / 2 + 1), 3),
    ];
    let channels = prop_oneof![Just(1usize), 1usize..4, Just(9usize)];
    (1usize..4, 1usize..4, (channels.clone(), channels), lines).prop_map(
        |(batch, groups, (inputs, outputs), lines)| Geometry {
            batch,
            groups: if inputs * outputs > 9 { 1 } else { groups },
            inputs,
            outputs,
            lines,
        },
    )
}

impl Geometry {
    /// The dimensions of input, weights and output.
    pub(in super::super) fn dims(&self) -> [Vec<usize>; 3] {
        let along = |first: [usize; 2], size: fn(&Line) -> usize| {
            first.into_iter().chain(self.lines.iter().map(size)).collect()
        };
        [
            along([self.batch, self.groups * self.inputs], |line| line.input),
            along([self.groups * self.outputs, self.inputs], |line| line.kernel),
            along([self.batch, self.groups * self.outputs], Line::output),
        ]
    }

    /// A node with the attributes of this convolution.
    pub(in super::super) fn case(&self, op_type: &str) -> Case {
        let ints = |value: fn(&Line) -> usize| -> Vec<i64> {
            self.lines.iter().map(|line| value(line) as i64).collect()
        };
        let pads = [ints(|line| line.pads.0), ints(|line| line.pads.1)].concat();
        Case::new(op_type)
            .with("group", self.groups as i64)
            .with("strides", &ints(|line| line.stride)[..])
            .with("dilations", &ints(|line| line.dilation)[..])
            .with("pads", &pads[..])
    }

    /// Calls `each` with the indices into input, weights and output of every product.
    pub(in super::super) fn products(&self, mut each: impl FnMut(usize, usize, usize)) {
        let [input, weights, output] = self.dims();
        let all: Vec<usize> = output.iter().chain(&weights[1..]).copied().collect();
        let count: usize = all.iter().product();
        for number in 0..count {
            let at = position(number, &all);
            let (place, tap) = at.split_at(output.len());
            let group = place[1] / self.outputs;
            let mut from = vec![place[0], group * self.inputs + tap[0]];
            let mut inside = true;
            for (axis, line) in self.lines.iter().enumerate() {
                let padded = place[2 + axis] * line.stride + tap[1 + axis] * line.dilation;
                inside &= (line.pads.0..line.pads.0 + line.input).contains(&padded);
                from.push(padded.wrapping_sub(line.pads.0));
            }
            if inside {
                let weight: Vec<usize> = std::iter::once(&place[1]).chain(tap).copied().collect();
                each(index(&from, &input), index(&weight, &weights), index(place, &output));
            }
        }
    }
}

/// The position of element `number` of an array.
pub(in super::super) fn position(mut number: usize, dims: &[usize]) -> Vec<usize> {
    let mut position = vec![0; dims.len()];
    for (at, &size) in position.iter_mut().zip(dims).rev() {
        *at = number % size;
        number /= size;
    }
    position
}

/// The number of the element at a position.
fn index(position: &[usize], dims: &[usize]) -> usize {
    position.iter().zip(dims).fold(0, |index, (&at, &size)| index * size + at)
}

/// Random elements for an array.
pub(in super::super) fn filled(seed: u64, dims: &[usize]) -> Vec<f32> {
    numbers(seed, dims.iter().product())
}

/// Panics where an array is not as expected.
pub(in super::super) fn assert_close(found: &Array, dims: &[usize], expected: &[f32]) {
    assert_eq!(&found.shape()[..], dims);
    for (index, (found, expected)) in found.as_floats().unwrap().iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < 1e-4, "[{index}]: {found}, expected {expected}");
    }
}
