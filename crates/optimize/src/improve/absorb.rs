//! Large biases moved into the next layer.
//!
//! Equalization may leave channels that are never near zero: their range is wasted on what is always
//! there. With mean `m_i` and deviation `d_i` of channel `i` before a ReLU,
//!
//! ```text
//! c_i = max(0, m_i - 3 d_i)      b1_i ← b1_i - c_i      b2_o ← b2_o + Σ_i c_i Σ W2_oi
//! ```
//!
//! as `relu(x - c) = relu(x) - c` wherever `x > c`, which is nearly everywhere: answers differ where it
//! is not. (Nagel et al., 2019, section 4.1.3; there mean and deviation come from batch normalization,
//! here from examples.) Not where the second layer pads with zeros, which `c` would have to pad.

use modelyard_graph::{Model, Node};

use super::edit::Edit;
use super::pairs::{Pair, pairs, rows};
use crate::OptimizeError;
use crate::calibrate::{Along, PerChannel};
use crate::links::Links;

/// The tensors whose channels [`absorb`] has to know.
pub fn absorbable(model: &Model) -> Vec<(String, Along)> {
    let tensor = |pair: &Pair| {
        let node = &model.graph.nodes[pair.first];
        Some((node.output(0)?.to_owned(), Along::of(node)))
    };
    usable(model).iter().filter_map(tensor).collect()
}

/// Moves biases of channels that are never near zero into the next layer. Second: the names of the
/// layers they were taken from.
pub fn absorb(model: &Model, seen: &PerChannel) -> Result<(Model, Vec<String>), OptimizeError> {
    let mut edit = Edit::new(model);
    let mut layers = Vec::new();
    for pair in usable(model) {
        let node = &model.graph.nodes[pair.first];
        let moments = node.output(0).and_then(|output| seen.tensors().get(output));
        let Some(moments) = moments.filter(|moments| moments.channels() == pair.channels) else {
            continue;
        };
        let (means, deviations) = (moments.means(), moments.deviations());
        let both = means.iter().zip(&deviations);
        let constant: Vec<f32> = both.map(|(mean, width)| (mean - 3.0 * width).max(0.0)).collect();
        if constant.iter().any(|c| *c > 0.0) && shift(&pair, &constant, &mut edit).is_some() {
            layers.push(node.label().to_owned());
        }
    }
    Ok((edit.finish()?, layers))
}

fn shift(pair: &Pair, constant: &[f32], edit: &mut Edit) -> Option<()> {
    let (dims1, mut bias1) = edit.constant(pair.first, 2)?;
    let (dims2, mut weight2) = edit.constant(pair.second, 1)?;
    let node2 = edit.node(pair.second).clone();
    let outputs = match node2.op_type.as_str() {
        "Conv" => dims2[0],
        _ if node2.int("transB").unwrap_or(0) != 0 => dims2[0],
        _ => dims2[1],
    };
    let bias2 = edit.constant(pair.second, 2);
    let (_, mut bias2) = bias2.unwrap_or_else(|| (vec![outputs], vec![0.0; outputs]));
    if bias2.len() != outputs {
        return None;
    }
    rows(&node2, &dims2, pair.channels, &mut weight2, |input, output, row| {
        bias2[output] += constant[input] * row.iter().sum::<f32>();
    });
    bias1.iter_mut().zip(constant).for_each(|(bias, c)| *bias -= c);
    edit.set((pair.first, 2), &dims1, &bias1);
    edit.set((pair.second, 2), &[outputs], &bias2);
    Some(())
}

/// Pairs with a bias, a ReLU between them, and no padding after it.
fn usable(model: &Model) -> Vec<Pair> {
    let nodes = &model.graph.nodes;
    let (pairs, _) = pairs(&Links::of(&model.graph), false);
    let moves = |node: &Node| matches!(node.op_type.as_str(), "GlobalAveragePool" | "Flatten");
    let is_usable = |pair: &Pair| match pair.between.split_first() {
        Some((&relu, rest)) => {
            nodes[relu].op_type == "Relu"
                && rest.iter().all(|&number| moves(&nodes[number]))
                && nodes[pair.first].input(2).is_some()
                && !pads(&nodes[pair.second])
        }
        None => false,
    };
    pairs.into_iter().filter(is_usable).collect()
}

fn pads(node: &Node) -> bool {
    let automatic = node.string("auto_pad").unwrap_or("NOTSET");
    !matches!(automatic, "NOTSET" | "VALID")
        || node.ints("pads").is_some_and(|pads| pads.iter().any(|pad| *pad != 0))
}
