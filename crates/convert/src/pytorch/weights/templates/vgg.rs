//! torchvision's VGG (arXiv:1409.1556), with and without batch normalization.

use super::Template;
use super::builder::{Builder, Conv};

/// Convolutions of each stage.
type Stages = [usize; 5];

const A: Stages = [1, 1, 2, 2, 2];
const B: Stages = [2, 2, 2, 2, 2];
const D: Stages = [2, 2, 3, 3, 3];
const E: Stages = [2, 2, 4, 4, 4];

pub(super) static TEMPLATES: &[Template] = &[
    Template { name: "vgg11", build: |to| build(to, A, false) },
    Template { name: "vgg11_bn", build: |to| build(to, A, true) },
    Template { name: "vgg13", build: |to| build(to, B, false) },
    Template { name: "vgg13_bn", build: |to| build(to, B, true) },
    Template { name: "vgg16", build: |to| build(to, D, false) },
    Template { name: "vgg16_bn", build: |to| build(to, D, true) },
    Template { name: "vgg19", build: |to| build(to, E, false) },
    Template { name: "vgg19_bn", build: |to| build(to, E, true) },
];

fn build(to: &mut Builder<'_>, stages: Stages, normalized: bool) {
    let mut x = to.images("x", 224);
    // Layers are counted through, those without weights too.
    let mut at = 0;
    for (stage, &convs) in stages.iter().enumerate() {
        let channels = (64 << stage).min(512);
        for _ in 0..convs {
            x = to.conv(&x, &format!("features.{at}"), Conv::same(channels, 3).with_bias());
            if normalized {
                at += 1;
                x = to.batch_norm(&x, &format!("features.{at}"), 1e-5);
            }
            x = to.each("aten.relu.default", &x, &format!("features.{}", at + 1));
            at += 2;
        }
        x = to.max_pool(&x, &format!("features.{at}"), (2, 2, 0));
        at += 1;
    }
    let x = to.adaptive_average_pool(&x, "avgpool", 7);
    let x = to.flatten(&x, "flatten");
    let hidden = to.size_of("classifier.0.weight", 0, 4096);
    let x = to.linear(&x, "classifier.0", hidden);
    let x = to.each("aten.relu.default", &x, "classifier.1");
    let x = to.linear(&x, "classifier.3", hidden);
    let x = to.each("aten.relu.default", &x, "classifier.4");
    let classes = to.size_of("classifier.6.weight", 0, 1000);
    let x = to.linear(&x, "classifier.6", classes);
    to.output("output", &x);
}
