//! Outliers of activations moved into weights (SmoothQuant).
//!
//! With an activation `X` (a column a channel) and the weights `W` (a row a channel) of all products
//! that take it, for each channel `j`:
//!
//! ```text
//! s_j = max |X_j|^α / max |W_j|^(1 - α)      X' = X diag(s)^-1      W' = diag(s) W      X' W' = X W
//! ```
//!
//! `X'` is what comes of it when what gives `X` is divided by `s`: the scale and bias of a
//! normalization, a product's columns. Where that is not possible a multiplication is put in. (Xiao et
//! al., "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models",
//! 2023, section 4.)

mod error;
mod fold;

use std::collections::BTreeMap;

use modelyard_graph::Model;

use super::edit::Edit;
use crate::OptimizeError;
use crate::calibrate::{Moments, PerChannel};
use crate::links::Links;
use crate::quantize::roles::{Role, role};
use crate::quantize::{Options, Plan};
use error::{Product, error};
use fold::{Divided, divided};

/// How much of the difficulty moves from activations to weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alpha {
    /// This much in all products: 0 leaves all to activations.
    Fixed(f32),
    /// For each activation what promises the least error; none where nothing promises less.
    Search,
}

/// A model with smoother activations.
#[derive(Debug)]
pub struct Smoothed {
    /// The model. Its answers differ by rounding.
    pub model: Model,
    /// The activations that were smoothed.
    pub groups: Vec<Group>,
}

/// An activation that was smoothed.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Group {
    /// Its name.
    pub tensor: String,
    /// Names of the products that take it.
    pub nodes: Vec<String>,
    /// How much of the difficulty moved to weights.
    pub alpha: f32,
    /// The part of the expected squared error that remains.
    pub error: f64,
    /// Whether a multiplication was put in.
    pub multiplies: bool,
}

/// Numbers of the products that take the same activation, by its name.
type Groups<'a> = BTreeMap<&'a str, Vec<usize>>;

/// The tensors whose channels, along their last dimension, [`smooth`] has to know.
pub fn smoothable(model: &Model, plan: &Plan) -> Vec<String> {
    groups(&Links::of(&model.graph), plan).into_keys().map(str::to_owned).collect()
}

/// Smooths the activations of products that a plan makes integers of. Multiplications are put in only
/// where `multiplies` says so.
pub fn smooth(
    model: &Model,
    (plan, options): (&Plan, &Options),
    seen: &PerChannel,
    (alpha, multiplies): (Alpha, bool),
) -> Result<Smoothed, OptimizeError> {
    let links = Links::of(&model.graph);
    let mut edit = Edit::new(model);
    let mut smoothed = Vec::new();
    for (tensor, numbers) in groups(&links, plan) {
        let Some(moments) = seen.tensors().get(tensor) else { continue };
        let Some(products) = products(&edit, &numbers, moments) else { continue };
        let Some((alpha, factors, error)) = chosen(alpha, moments, &products, options) else {
            continue;
        };
        let folded = divided(tensor, &numbers, factors.len(), &links);
        if folded.is_none() && !multiplies {
            continue;
        }
        for &number in &numbers {
            scale_rows(number, &factors, &mut edit);
        }
        match &folded {
            Some(places) => places.iter().for_each(|place| divide(place, &factors, &mut edit)),
            None => {
                let inverse: Vec<f32> = factors.iter().map(|factor| factor.recip()).collect();
                edit.multiply(tensor, &inverse, &numbers);
            }
        }
        smoothed.push(Group {
            tensor: tensor.to_owned(),
            nodes: numbers.iter().map(|&it| model.graph.nodes[it].label().to_owned()).collect(),
            alpha,
            error,
            multiplies: folded.is_none(),
        });
    }
    Ok(Smoothed { model: edit.finish()?, groups: smoothed })
}

fn groups<'a>(links: &Links<'a>, plan: &Plan) -> Groups<'a> {
    let mut groups = Groups::new();
    for &number in &plan.nodes {
        let node = &links.graph.nodes[number];
        if let Ok(Role::Weighted(weighted)) = role(node, links)
            && matches!(node.op_type.as_str(), "MatMul" | "Gemm")
            && weighted.axis.is_some()
        {
            groups.entry(weighted.input).or_default().push(number);
        }
    }
    groups
}

/// The weights of some products, if all have the activation's channels.
fn products(edit: &Edit, numbers: &[usize], moments: &Moments) -> Option<Vec<Product>> {
    let product = |&number: &usize| {
        let (dims, weight) = edit.constant(number, 1)?;
        let product = Product::new(weight, &dims, is_transposed(edit, number))?;
        (product.channels == moments.channels()).then_some(product)
    };
    numbers.iter().map(product).collect()
}

fn is_transposed(edit: &Edit, number: usize) -> bool {
    edit.node(number).int("transB").unwrap_or(0) != 0
}

/// How much moves, the factors, and the part of the error that remains.
fn chosen(
    alpha: Alpha,
    moments: &Moments,
    products: &[Product],
    options: &Options,
) -> Option<(f32, Vec<f32>, f64)> {
    let none = vec![1.0; moments.channels()];
    let before = error(moments, products, &none, options);
    let with = |alpha: f32| {
        let factors = factors(&moments.largest(), products, alpha);
        let error = error(moments, products, &factors, options) / before;
        (alpha, factors, error)
    };
    match alpha {
        Alpha::Fixed(alpha) => Some(with(alpha)),
        Alpha::Search => {
            let all = (2..=19).map(|twentieths| with(twentieths as f32 / 20.0));
            let best = all.min_by(|one, two| one.2.total_cmp(&two.2));
            best.filter(|best| best.2 < WORTH_IT)
        }
    }
}

/// Smoothing that leaves more of the error than this is not worth it.
const WORTH_IT: f64 = 0.9;

/// `s`; one where a side has nothing in it.
fn factors(activations: &[f32], products: &[Product], alpha: f32) -> Vec<f32> {
    let mut weights = vec![0.0f32; activations.len()];
    for product in products {
        product.each(|channel, _, x| weights[channel] = weights[channel].max(x.abs()));
    }
    let factor = |(x, w): (&f32, f32)| {
        let factor = x.powf(alpha) / w.powf(1.0 - alpha);
        let is_usable = *x > 0.0 && w > 0.0 && factor.is_normal();
        if is_usable { factor.clamp(1e-5, 1e5) } else { 1.0 }
    };
    activations.iter().zip(weights).map(factor).collect()
}

/// Multiplies the rows of a weight.
fn scale_rows(number: usize, factors: &[f32], edit: &mut Edit) {
    let Some((dims, mut weight)) = edit.constant(number, 1) else { return };
    let axis = usize::from(is_transposed(edit, number));
    crate::floats::Channels::of(&dims, Some(axis)).rows_mut(&mut weight, |channel, row| {
        row.iter_mut().for_each(|x| *x *= factors[channel]);
    });
    edit.set((number, 1), &dims, &weight);
}

/// Divides what gives the activation.
fn divide(place: &Divided, factors: &[f32], edit: &mut Edit) {
    let Some((dims, mut numbers)) = edit.constant(place.node, place.slot) else { return };
    crate::floats::Channels::of(&dims, Some(place.axis)).rows_mut(&mut numbers, |channel, row| {
        row.iter_mut().for_each(|x| *x /= factors[channel]);
    });
    edit.set((place.node, place.slot), &dims, &numbers);
}
