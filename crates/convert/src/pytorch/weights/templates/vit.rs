//! torchvision's vision transformers (arXiv:2010.11929).

use super::Template;
use super::builder::{Builder, Value};

/// What differs between them.
#[derive(Clone, Copy)]
struct Shape {
    patch: usize,
    layers: usize,
    heads: usize,
    width: usize,
    hidden: usize,
    /// Size of the images.
    image: usize,
}

const EPSILON: f64 = 1e-6;

pub(super) static TEMPLATES: &[Template] = &[
    Template { name: "vit_b_16", build: |to| build(to, base(16)) },
    Template { name: "vit_b_32", build: |to| build(to, base(32)) },
    Template { name: "vit_l_16", build: |to| build(to, large(16)) },
    Template { name: "vit_l_32", build: |to| build(to, large(32)) },
    Template { name: "vit_h_14", build: |to| build(to, HUGE) },
];

const fn base(patch: usize) -> Shape {
    Shape { patch, layers: 12, heads: 12, width: 768, hidden: 3072, image: 224 }
}

const fn large(patch: usize) -> Shape {
    Shape { patch, layers: 24, heads: 16, width: 1024, hidden: 4096, image: 224 }
}

const HUGE: Shape =
    Shape { patch: 14, layers: 32, heads: 16, width: 1280, hidden: 5120, image: 224 };

/// A small one for tests.
#[cfg(test)]
pub(super) fn small(to: &mut Builder<'_>) {
    build(to, Shape { patch: 16, layers: 2, heads: 2, width: 8, hidden: 16, image: 32 });
}

fn build(to: &mut Builder<'_>, shape: Shape) {
    // The table of positions tells the size of the images that the weights are for.
    let default = (shape.image / shape.patch).pow(2) + 1;
    let positions = to.size_of("encoder.pos_embedding", 1, default);
    let side = positions.saturating_sub(1).isqrt();
    let x = to.images("x", side * shape.patch);
    let x = to.patches(&x, "conv_proj", (shape.patch, shape.width));
    let x = to.with_class_token(&x, "class_token");
    let table = to.weight("encoder.pos_embedding", &[1, positions, shape.width]);
    let mut x = to.both("aten.add.Tensor", &x, &table, "encoder.embedded");
    for layer in 0..shape.layers {
        x = block(to, &x, &format!("encoder.layers.encoder_layer_{layer}"), shape);
    }
    let x = to.layer_norm(&x, "encoder.ln", EPSILON);
    let x = to.select(&x, 1, 0, "class");
    let classes = to.size_of("heads.head.weight", 0, 1000);
    let x = to.linear(&x, "heads.head", classes);
    to.output("output", &x);
}

fn block(to: &mut Builder<'_>, x: &Value, name: &str, shape: Shape) -> Value {
    let y = to.layer_norm(x, &format!("{name}.ln_1"), EPSILON);
    let attention = format!("{name}.self_attention");
    let weight = to.weight(&format!("{attention}.in_proj_weight"), &[3 * shape.width, shape.width]);
    let bias = to.weight(&format!("{attention}.in_proj_bias"), &[3 * shape.width]);
    let all = to.linear_of(&y, (&weight, Some(&bias)), &format!("{attention}.in_proj"));
    let [query, key, value] = to.thirds(&all, 2, &format!("{attention}.part"));
    let y = to.attend([&query, &key, &value], shape.heads, None, &attention);
    let y = to.linear(&y, &format!("{attention}.out_proj"), shape.width);
    let x = to.both("aten.add.Tensor", &y, x, &format!("{name}.attended"));
    let y = to.layer_norm(&x, &format!("{name}.ln_2"), EPSILON);
    // Files before torchvision 0.14 name the two layers.
    let is_old = to.has(&format!("{name}.mlp.linear_1.weight"));
    let [first, second] = if is_old { ["linear_1", "linear_2"] } else { ["0", "3"] };
    let y = to.linear(&y, &format!("{name}.mlp.{first}"), shape.hidden);
    let y = to.each("aten.gelu.default", &y, &format!("{name}.mlp.1"));
    let y = to.linear(&y, &format!("{name}.mlp.{second}"), shape.width);
    to.both("aten.add.Tensor", &x, &y, &format!("{name}.added"))
}
