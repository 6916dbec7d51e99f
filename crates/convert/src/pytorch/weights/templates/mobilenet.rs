//! torchvision's MobileNetV2 (arXiv:1801.04381) and V3 (arXiv:1905.02244).

use super::Template;
use super::builder::{Builder, Conv, Value};
use super::image::{Activation, divisible};

pub(super) static TEMPLATES: &[Template] = &[
    Template { name: "mobilenet_v2", build: second },
    Template { name: "mobilenet_v3_large", build: |to| third(to, &LARGE, 1280) },
    Template { name: "mobilenet_v3_small", build: |to| third(to, &SMALL, 1024) },
];

/// Expansion, channels, blocks and stride of each stage of the second version.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

fn second(to: &mut Builder<'_>) {
    let how = (1e-5, Activation::Relu6);
    // Narrower and wider ones keep the shape: the first convolution tells the factor.
    let width = to.size_of("features.0.0.weight", 0, 32) as f64 / 32.0;
    let x = to.images("x", 224);
    let mut x =
        to.conv_norm(&x, "features.0", Conv::same(divisible(32.0 * width), 3).stride(2), how);
    let mut at = 1;
    for (expansion, channels, blocks, stride) in STAGES {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let channels = divisible(channels as f64 * width);
            x = second_block(to, &x, &format!("features.{at}.conv"), (expansion, channels, stride));
            at += 1;
        }
    }
    let last = divisible(1280.0 * width.max(1.0));
    let x = to.conv_norm(&x, &format!("features.{at}"), Conv::same(last, 1), how);
    let x = to.pooled(&x, "avgpool");
    let classes = to.size_of("classifier.1.weight", 0, 1000);
    let x = to.linear(&x, "classifier.1", classes);
    to.output("output", &x);
}

fn second_block(
    to: &mut Builder<'_>,
    x: &Value,
    name: &str,
    (expansion, channels, stride): (usize, usize, usize),
) -> Value {
    let how = (1e-5, Activation::Relu6);
    let hidden = x.size(1) * expansion;
    let mut y = x.clone();
    let mut at = 0;
    if expansion != 1 {
        y = to.conv_norm(&y, &format!("{name}.0"), Conv::same(hidden, 1), how);
        at += 1;
    }
    let depthwise = Conv::same(hidden, 3).stride(stride).groups(hidden);
    y = to.conv_norm(&y, &format!("{name}.{at}"), depthwise, how);
    y = to.conv(&y, &format!("{name}.{}", at + 1), Conv::same(channels, 1));
    y = to.batch_norm(&y, &format!("{name}.{}", at + 2), 1e-5);
    if stride == 1 && x.size(1) == channels {
        y = to.both("aten.add.Tensor", x, &y, &format!("{name}.add"));
    }
    y
}

/// A block of the third version.
#[derive(Clone, Copy)]
struct Block {
    kernel: usize,
    expanded: usize,
    channels: usize,
    excite: bool,
    swish: bool,
    stride: usize,
}

const fn block(
    (kernel, expanded, channels): (usize, usize, usize),
    excite: bool,
    swish: bool,
    stride: usize,
) -> Block {
    Block { kernel, expanded, channels, excite, swish, stride }
}

const LARGE: [Block; 15] = [
    block((3, 16, 16), false, false, 1),
    block((3, 64, 24), false, false, 2),
    block((3, 72, 24), false, false, 1),
    block((5, 72, 40), true, false, 2),
    block((5, 120, 40), true, false, 1),
    block((5, 120, 40), true, false, 1),
    block((3, 240, 80), false, true, 2),
    block((3, 200, 80), false, true, 1),
    block((3, 184, 80), false, true, 1),
    block((3, 184, 80), false, true, 1),
    block((3, 480, 112), true, true, 1),
    block((3, 672, 112), true, true, 1),
    block((5, 672, 160), true, true, 2),
    block((5, 960, 160), true, true, 1),
    block((5, 960, 160), true, true, 1),
];

const SMALL: [Block; 11] = [
    block((3, 16, 16), true, false, 2),
    block((3, 72, 24), false, false, 2),
    block((3, 88, 24), false, false, 1),
    block((5, 96, 40), true, true, 2),
    block((5, 240, 40), true, true, 1),
    block((5, 240, 40), true, true, 1),
    block((5, 120, 48), true, true, 1),
    block((5, 144, 48), true, true, 1),
    block((5, 288, 96), true, true, 2),
    block((5, 576, 96), true, true, 1),
    block((5, 576, 96), true, true, 1),
];

/// Epsilon of the third version.
const EPSILON: f64 = 0.001;

fn third(to: &mut Builder<'_>, blocks: &[Block], last: usize) {
    let swish = (EPSILON, Activation::HardSwish);
    let x = to.images("x", 224);
    let mut x = to.conv_norm(&x, "features.0", Conv::same(16, 3).stride(2), swish);
    for (at, block) in blocks.iter().enumerate() {
        x = third_block(to, &x, &format!("features.{}", at + 1), *block);
    }
    let wide = Conv::same(x.size(1) * 6, 1);
    let x = to.conv_norm(&x, &format!("features.{}", blocks.len() + 1), wide, swish);
    let x = to.pooled(&x, "avgpool");
    let x = to.linear(&x, "classifier.0", last);
    let x = to.activation(&x, Activation::HardSwish, "classifier.1");
    let classes = to.size_of("classifier.3.weight", 0, 1000);
    let x = to.linear(&x, "classifier.3", classes);
    to.output("output", &x);
}

fn third_block(to: &mut Builder<'_>, x: &Value, name: &str, block: Block) -> Value {
    let activation = if block.swish { Activation::HardSwish } else { Activation::Relu };
    let mut y = x.clone();
    let mut at = 0;
    if block.expanded != x.size(1) {
        let expand = Conv::same(block.expanded, 1);
        y = to.conv_norm(&y, &format!("{name}.block.0"), expand, (EPSILON, activation));
        at += 1;
    }
    let depthwise =
        Conv::same(block.expanded, block.kernel).stride(block.stride).groups(block.expanded);
    y = to.conv_norm(&y, &format!("{name}.block.{at}"), depthwise, (EPSILON, activation));
    at += 1;
    if block.excite {
        let squeeze = divisible((block.expanded / 4) as f64);
        let how = (Activation::Relu, "aten.hardsigmoid.default");
        y = to.squeeze_excite(&y, &format!("{name}.block.{at}"), squeeze, how);
        at += 1;
    }
    let project = Conv::same(block.channels, 1);
    y = to.conv_norm(&y, &format!("{name}.block.{at}"), project, (EPSILON, Activation::None));
    if block.stride == 1 && x.size(1) == block.channels {
        y = to.both("aten.add.Tensor", &y, x, &format!("{name}.add"));
    }
    y
}
