//! torchvision's ResNet (arXiv:1512.03385), ResNeXt and wide ones.

use super::Template;
use super::builder::{Builder, Conv, Value};

/// What differs between them.
struct Shape {
    blocks: [usize; 4],
    /// Whether blocks have three convolutions, the outer ones 1 x 1.
    bottleneck: bool,
    groups: usize,
    /// Channels of a group in the first stage.
    width: usize,
}

const EPSILON: f64 = 1e-5;

pub(super) static TEMPLATES: &[Template] = &[
    Template { name: "resnet18", build: |to| build(to, basic([2, 2, 2, 2])) },
    Template { name: "resnet34", build: |to| build(to, basic([3, 4, 6, 3])) },
    Template { name: "resnet50", build: |to| build(to, bottleneck([3, 4, 6, 3], 1, 64)) },
    Template { name: "resnet101", build: |to| build(to, bottleneck([3, 4, 23, 3], 1, 64)) },
    Template { name: "resnet152", build: |to| build(to, bottleneck([3, 8, 36, 3], 1, 64)) },
    Template { name: "resnext50_32x4d", build: |to| build(to, bottleneck([3, 4, 6, 3], 32, 4)) },
    Template { name: "resnext101_32x8d", build: |to| build(to, bottleneck([3, 4, 23, 3], 32, 8)) },
    Template { name: "resnext101_64x4d", build: |to| build(to, bottleneck([3, 4, 23, 3], 64, 4)) },
    Template { name: "wide_resnet50_2", build: |to| build(to, bottleneck([3, 4, 6, 3], 1, 128)) },
    Template { name: "wide_resnet101_2", build: |to| build(to, bottleneck([3, 4, 23, 3], 1, 128)) },
];

const fn basic(blocks: [usize; 4]) -> Shape {
    Shape { blocks, bottleneck: false, groups: 1, width: 64 }
}

const fn bottleneck(blocks: [usize; 4], groups: usize, width: usize) -> Shape {
    Shape { blocks, bottleneck: true, groups, width }
}

/// A small one for tests.
#[cfg(test)]
pub(super) fn small(to: &mut Builder<'_>) {
    build(to, Shape { blocks: [1, 2, 1, 1], bottleneck: true, groups: 2, width: 8 });
}

fn build(to: &mut Builder<'_>, shape: Shape) {
    let x = to.images("x", 224);
    let x = to.conv(&x, "conv1", Conv::same(64, 7).stride(2));
    let x = to.batch_norm(&x, "bn1", EPSILON);
    let x = to.each("aten.relu.default", &x, "relu");
    let mut x = to.max_pool(&x, "maxpool", (3, 2, 1));
    for (stage, &blocks) in shape.blocks.iter().enumerate() {
        let planes = 64 << stage;
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", stage + 1);
            x = residual(to, &x, &name, (&shape, planes, stride));
        }
    }
    let x = to.pooled(&x, "avgpool");
    let classes = to.size_of("fc.weight", 0, 1000);
    let x = to.linear(&x, "fc", classes);
    to.output("output", &x);
}

fn residual(
    to: &mut Builder<'_>,
    x: &Value,
    name: &str,
    (shape, planes, stride): (&Shape, usize, usize),
) -> Value {
    let outputs = if shape.bottleneck { planes * 4 } else { planes };
    let short = if stride > 1 || x.size(1) != outputs {
        let conv = Conv::same(outputs, 1).stride(stride);
        let short = to.conv(x, &format!("{name}.downsample.0"), conv);
        to.batch_norm(&short, &format!("{name}.downsample.1"), EPSILON)
    } else {
        x.clone()
    };
    let convs = if shape.bottleneck {
        let width = planes * shape.width / 64 * shape.groups;
        // The stride is at the 3 x 3 convolution: "version 1.5".
        vec![
            Conv::same(width, 1),
            Conv::same(width, 3).stride(stride).groups(shape.groups),
            Conv::same(outputs, 1),
        ]
    } else {
        vec![Conv::same(planes, 3).stride(stride), Conv::same(planes, 3)]
    };
    let last = convs.len();
    let mut y = x.clone();
    for (at, conv) in convs.into_iter().enumerate() {
        y = to.conv(&y, &format!("{name}.conv{}", at + 1), conv);
        y = to.batch_norm(&y, &format!("{name}.bn{}", at + 1), EPSILON);
        if at + 1 < last {
            y = to.each("aten.relu.default", &y, &format!("{name}.relu"));
        }
    }
    let sum = to.both("aten.add.Tensor", &y, &short, &format!("{name}.add"));
    to.each("aten.relu.default", &sum, &format!("{name}.relu"))
}
