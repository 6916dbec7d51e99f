//! Cross-layer equalization: ranges of channels made alike.
//!
//! With `W1` of one layer (a row an output channel), `b1` its bias and `W2` of the next (a column an
//! input channel), and `r1_i = max |W1_i|`, `r2_i = max |W2_i|` the ranges of channel `i`:
//!
//! ```text
//! s_i = sqrt(r1_i r2_i) / r2_i      W1_i ← W1_i / s_i   b1_i ← b1_i / s_i   W2_i ← s_i W2_i
//! ```
//!
//! Both ranges become `sqrt(r1_i r2_i)`, and the answers stay the same, as what stands between the
//! layers commutes with positive factors. Repeated over all pairs until nothing moves: a depthwise
//! convolution is the second layer of one pair and the first of the next. (Nagel et al., "Data-Free
//! Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1.)

use modelyard_graph::Model;

use super::edit::Edit;
use super::pairs::{Pair, pairs, rows};
use crate::OptimizeError;
use crate::links::Links;
use crate::quantize::refuse_quantized;

/// Rounds over all pairs at most; chains of a hundred layers are still within.
const MOST_ROUNDS: usize = 200;
/// All is still when no factor is further from one.
const STILL: f32 = 1e-3;
/// A factor beyond would trade one bad range for another.
const LARGEST: f32 = (1u32 << 20) as f32;

/// A model with ranges made alike.
#[derive(Debug)]
pub struct Equalized {
    /// The model. Its answers differ by rounding, and where a ceiling was taken off.
    pub model: Model,
    /// Names of the layers between which ranges were moved.
    pub pairs: Vec<[String; 2]>,
    /// Rounds until nothing moved.
    pub rounds: usize,
    /// Names of the Clips that became Relus.
    pub unclipped: Vec<String>,
    /// Names of the Clips that were in the way.
    pub in_the_way: Vec<String>,
}

/// Makes the ranges of channels alike across layers. A Clip from zero to a ceiling (ReLU6) does not
/// commute with factors: it becomes a Relu where `unclip` says so, which changes answers beyond the
/// ceiling, and is in the way otherwise.
pub fn equalize(model: &Model, unclip: bool) -> Result<Equalized, OptimizeError> {
    refuse_quantized(model)?;
    let (pairs, clips) = pairs(&Links::of(&model.graph), unclip);
    let label = |number: usize| model.graph.nodes[number].label().to_owned();
    let labels = |numbers: &[usize]| numbers.iter().map(|&number| label(number)).collect();
    let mut edit = Edit::new(model);
    let mut unclipped = Vec::new();
    for &number in pairs.iter().flat_map(|pair| &pair.between) {
        let node = &mut edit.model.graph.nodes[number];
        if node.op_type == "Clip" {
            node.op_type = "Relu".to_owned();
            node.inputs.truncate(1);
            unclipped.push(number);
        }
    }
    let rounds = settle(&pairs, &mut edit);
    Ok(Equalized {
        pairs: pairs.iter().map(|pair| [label(pair.first), label(pair.second)]).collect(),
        rounds,
        unclipped: labels(&unclipped),
        in_the_way: if unclip { Vec::new() } else { labels(&clips) },
        model: edit.finish()?,
    })
}

/// Whether there are layers between which ranges can be moved.
pub fn can_equalize(model: &Model) -> bool {
    !pairs(&Links::of(&model.graph), false).0.is_empty()
}

/// Moves ranges until nothing moves; gives the number of rounds.
fn settle(pairs: &[Pair], edit: &mut Edit) -> usize {
    for round in 0..MOST_ROUNDS {
        let moved = pairs.iter().filter_map(|pair| balance(pair, edit)).fold(0.0, f32::max);
        if moved < STILL {
            return round;
        }
    }
    MOST_ROUNDS
}

/// Moves ranges between two layers; gives how far the largest factor was from one.
fn balance(pair: &Pair, edit: &mut Edit) -> Option<f32> {
    let (dims1, mut weight1) = edit.constant(pair.first, 1)?;
    let (dims2, mut weight2) = edit.constant(pair.second, 1)?;
    let (node1, node2) = (edit.node(pair.first).clone(), edit.node(pair.second).clone());
    let mut ranges = vec![(0.0f32, 0.0f32); pair.channels];
    let largest = |row: &[f32]| row.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    let inputs1 = inputs(&node1, &dims1);
    rows(&node1, &dims1, inputs1, &mut weight1, |_, output, row| {
        ranges[output].0 = ranges[output].0.max(largest(row));
    });
    rows(&node2, &dims2, pair.channels, &mut weight2, |input, _, row| {
        ranges[input].1 = ranges[input].1.max(largest(row));
    });
    let factors: Vec<f32> = ranges.into_iter().map(|(r1, r2)| factor(r1, r2)).collect();
    let moved = factors.iter().fold(0.0, |most: f32, factor| most.max(factor.ln().abs()));
    if moved < STILL {
        return Some(moved);
    }
    rows(&node1, &dims1, inputs1, &mut weight1, |_, output, row| {
        row.iter_mut().for_each(|x| *x /= factors[output]);
    });
    rows(&node2, &dims2, pair.channels, &mut weight2, |input, _, row| {
        row.iter_mut().for_each(|x| *x *= factors[input]);
    });
    if let Some((dims, mut bias)) = edit.constant(pair.first, 2) {
        bias.iter_mut().zip(&factors).for_each(|(x, factor)| *x /= factor);
        edit.set((pair.first, 2), &dims, &bias);
    }
    edit.set((pair.first, 1), &dims1, &weight1);
    edit.set((pair.second, 1), &dims2, &weight2);
    Some(moved)
}

/// Channels that a layer takes.
fn inputs(node: &modelyard_graph::Node, dims: &[usize]) -> usize {
    match node.op_type.as_str() {
        "Conv" => dims[1],
        _ if node.int("transB").unwrap_or(0) != 0 => dims[1],
        _ => dims[0],
    }
}

/// `s` of one channel; one where a side has nothing in it.
fn factor(r1: f32, r2: f32) -> f32 {
    let factor = (r1 / r2).sqrt();
    let is_usable = r1 > 0.0 && r2 > 0.0 && factor.is_finite();
    if is_usable { factor.clamp(LARGEST.recip(), LARGEST) } else { 1.0 }
}
