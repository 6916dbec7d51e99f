//! torchvision's EfficientNet (arXiv:1905.11946) and EfficientNetV2 (arXiv:2104.00298).

use super::Template;
use super::builder::{Builder, Conv, Value};
use super::image::{Activation, divisible};

/// A stage of equal blocks.
#[derive(Clone, Copy, Debug)]
struct Stage {
    /// Whether expansion and the convolution over space are one.
    fused: bool,
    expansion: usize,
    kernel: usize,
    stride: usize,
    inputs: usize,
    outputs: usize,
    layers: usize,
}

const fn stage(
    fused: bool,
    [expansion, kernel, stride]: [usize; 3],
    [inputs, outputs, layers]: [usize; 3],
) -> Stage {
    Stage { fused, expansion, kernel, stride, inputs, outputs, layers }
}

const FIRST: [Stage; 7] = [
    stage(false, [1, 3, 1], [32, 16, 1]),
    stage(false, [6, 3, 2], [16, 24, 2]),
    stage(false, [6, 5, 2], [24, 40, 2]),
    stage(false, [6, 3, 2], [40, 80, 3]),
    stage(false, [6, 5, 1], [80, 112, 3]),
    stage(false, [6, 5, 2], [112, 192, 4]),
    stage(false, [6, 3, 1], [192, 320, 1]),
];

const SMALL: [Stage; 6] = [
    stage(true, [1, 3, 1], [24, 24, 2]),
    stage(true, [4, 3, 2], [24, 48, 4]),
    stage(true, [4, 3, 2], [48, 64, 4]),
    stage(false, [4, 3, 2], [64, 128, 6]),
    stage(false, [6, 3, 1], [128, 160, 9]),
    stage(false, [6, 3, 2], [160, 256, 15]),
];

const MEDIUM: [Stage; 7] = [
    stage(true, [1, 3, 1], [24, 24, 3]),
    stage(true, [4, 3, 2], [24, 48, 5]),
    stage(true, [4, 3, 2], [48, 80, 5]),
    stage(false, [4, 3, 2], [80, 160, 7]),
    stage(false, [6, 3, 1], [160, 176, 14]),
    stage(false, [6, 3, 2], [176, 304, 18]),
    stage(false, [6, 3, 1], [304, 512, 5]),
];

const LARGE: [Stage; 7] = [
    stage(true, [1, 3, 1], [32, 32, 4]),
    stage(true, [4, 3, 2], [32, 64, 7]),
    stage(true, [4, 3, 2], [64, 96, 7]),
    stage(false, [4, 3, 2], [96, 192, 10]),
    stage(false, [6, 3, 1], [192, 224, 19]),
    stage(false, [6, 3, 2], [224, 384, 25]),
    stage(false, [6, 3, 1], [384, 640, 7]),
];

/// Of the first ones up to b4; the others have that of TensorFlow.
const EPSILON: f64 = 1e-5;
const LARGER_EPSILON: f64 = 1e-3;

pub(super) static TEMPLATES: &[Template] = &[
    Template { name: "efficientnet_b0", build: |to| first(to, (1.0, 1.0), 224, EPSILON) },
    Template { name: "efficientnet_b1", build: |to| first(to, (1.0, 1.1), 240, EPSILON) },
    Template { name: "efficientnet_b2", build: |to| first(to, (1.1, 1.2), 288, EPSILON) },
    Template { name: "efficientnet_b3", build: |to| first(to, (1.2, 1.4), 300, EPSILON) },
    Template { name: "efficientnet_b4", build: |to| first(to, (1.4, 1.8), 380, EPSILON) },
    Template { name: "efficientnet_b5", build: |to| first(to, (1.6, 2.2), 456, LARGER_EPSILON) },
    Template { name: "efficientnet_b6", build: |to| first(to, (1.8, 2.6), 528, LARGER_EPSILON) },
    Template { name: "efficientnet_b7", build: |to| first(to, (2.0, 3.1), 600, LARGER_EPSILON) },
];

pub(super) static TEMPLATES_V2: &[Template] = &[
    Template { name: "efficientnet_v2_s", build: |to| second(to, &SMALL, 384) },
    Template { name: "efficientnet_v2_m", build: |to| second(to, &MEDIUM, 480) },
    Template { name: "efficientnet_v2_l", build: |to| second(to, &LARGE, 480) },
];

/// A small one for tests.
#[cfg(test)]
pub(super) fn small(to: &mut Builder<'_>) {
    let stages = [
        stage(true, [1, 3, 1], [8, 8, 2]),
        stage(true, [4, 3, 2], [8, 16, 2]),
        stage(false, [4, 3, 2], [16, 24, 2]),
    ];
    second(to, &stages, 64);
}

fn first(to: &mut Builder<'_>, (width, depth): (f64, f64), size: usize, epsilon: f64) {
    let scaled = |stage: Stage| Stage {
        inputs: divisible(stage.inputs as f64 * width),
        outputs: divisible(stage.outputs as f64 * width),
        layers: (stage.layers as f64 * depth).ceil() as usize,
        ..stage
    };
    let stages = FIRST.map(scaled);
    let last = 4 * stages[6].outputs;
    build(to, (&stages, last), size, epsilon);
}

fn second(to: &mut Builder<'_>, stages: &[Stage], size: usize) {
    build(to, (stages, 1280), size, LARGER_EPSILON);
}

fn build(to: &mut Builder<'_>, (stages, last): (&[Stage], usize), size: usize, epsilon: f64) {
    let silu = (epsilon, Activation::Silu);
    let x = to.images("x", size);
    let channels = stages.first().map_or(32, |stage| stage.inputs);
    let mut x = to.conv_norm(&x, "features.0", Conv::same(channels, 3).stride(2), silu);
    for (at, stage) in stages.iter().enumerate() {
        for layer in 0..stage.layers {
            let stride = if layer == 0 { stage.stride } else { 1 };
            let name = format!("features.{}.{layer}", at + 1);
            x = block(to, &x, &name, (&Stage { stride, ..*stage }, epsilon));
        }
    }
    let x = to.conv_norm(&x, &format!("features.{}", stages.len() + 1), Conv::same(last, 1), silu);
    let x = to.pooled(&x, "avgpool");
    let classes = to.size_of("classifier.1.weight", 0, 1000);
    let x = to.linear(&x, "classifier.1", classes);
    to.output("output", &x);
}

fn block(to: &mut Builder<'_>, x: &Value, name: &str, (stage, epsilon): (&Stage, f64)) -> Value {
    let (silu, plain) = ((epsilon, Activation::Silu), (epsilon, Activation::None));
    let inputs = x.size(1);
    let expanded = divisible((inputs * stage.expansion) as f64);
    let is_expanded = expanded != inputs;
    let project = Conv::same(stage.outputs, 1);
    let mut y = x.clone();
    if stage.fused {
        let width = if is_expanded { expanded } else { stage.outputs };
        let whole = Conv::same(width, stage.kernel).stride(stage.stride);
        y = to.conv_norm(&y, &format!("{name}.block.0"), whole, silu);
        if is_expanded {
            y = to.conv_norm(&y, &format!("{name}.block.1"), project, plain);
        }
    } else {
        let mut at = 0;
        if is_expanded {
            y = to.conv_norm(&y, &format!("{name}.block.0"), Conv::same(expanded, 1), silu);
            at += 1;
        }
        let depthwise = Conv::same(expanded, stage.kernel).stride(stage.stride).groups(expanded);
        y = to.conv_norm(&y, &format!("{name}.block.{at}"), depthwise, silu);
        let squeeze = (inputs / 4).max(1);
        let how = (Activation::Silu, "aten.sigmoid.default");
        y = to.squeeze_excite(&y, &format!("{name}.block.{}", at + 1), squeeze, how);
        y = to.conv_norm(&y, &format!("{name}.block.{}", at + 2), project, plain);
    }
    if stage.stride == 1 && inputs == stage.outputs {
        y = to.both("aten.add.Tensor", &y, x, &format!("{name}.add"));
    }
    y
}
