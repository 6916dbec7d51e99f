//! Biases that make up for what rounding does to the mean (empirical bias correction).
//!
//! Rounding of weights is the same for every example, so it moves the mean of each channel:
//!
//! ```text
//! b_i ← b_i - (mean over examples of y~_i - mean of y_i)
//! ```
//!
//! with `y` what a layer gives in the model of floats and `y~` what it gives in the quantized model.
//! (Nagel et al., 2019, appendix D.) Layers are corrected in the order of the graph, those of the same
//! depth at once: what a layer takes must have been corrected already, or it would be corrected twice.

use std::collections::{BTreeMap, HashMap};

use modelyard_graph::{Model, Node};

use super::edit::Edit;
use crate::OptimizeError;
use crate::calibrate::{Along, PerChannel};
use crate::floats::floats;
use crate::links::Links;
use crate::quantize::Plan;
use crate::quantize::roles::{Role, role};

/// A layer whose bias can be corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Number of its node.
    pub node: usize,
    /// What it gives in the model of floats.
    pub output: String,
    /// Which dimension the channels of that are.
    pub along: Along,
    /// Node and input that take the bias, and its size.
    bias: (usize, usize),
    channels: usize,
}

/// The layers that a plan makes integers of, from the first to the last, those of one depth together.
/// Second: names of the layers that have no bias and can be given none.
pub fn waves(model: &Model, plan: &Plan) -> (Vec<Vec<Site>>, Vec<String>) {
    let links = Links::of(&model.graph);
    let mut depths: HashMap<&str, usize> = HashMap::new();
    let mut waves: BTreeMap<usize, Vec<Site>> = BTreeMap::new();
    let mut without = Vec::new();
    for (number, node) in model.graph.nodes.iter().enumerate() {
        let inputs = node.inputs.iter().filter_map(|input| depths.get(input.as_str()));
        let mut depth = inputs.copied().max().unwrap_or(0);
        let is_layer = || matches!(role(node, &links), Ok(Role::Weighted(_)));
        if plan.nodes.contains(&number) && is_layer() {
            depth += 1;
            match site(number, &links) {
                Some(site) => waves.entry(depth).or_default().push(site),
                None => without.push(node.label().to_owned()),
            }
        }
        depths.extend(node.outputs.iter().map(|output| (output.as_str(), depth)));
    }
    (waves.into_values().collect(), without)
}

fn site(number: usize, links: &Links<'_>) -> Option<Site> {
    let node = &links.graph.nodes[number];
    let Ok(Role::Weighted(weighted)) = role(node, links) else { return None };
    let output = node.output(0)?;
    let channels = *links.constant(weighted.weight)?.dims.get(weighted.axis?)?;
    let bias = if node.op_type != "MatMul" {
        (number, 2)
    } else {
        let user = links.only_user(output)?;
        let add = &links.graph.nodes[user];
        let slot = add.inputs.iter().position(|input| input != output)?;
        let constant = links.constant(add.input(slot)?)?;
        let is_row = constant.dims == [channels] && floats(constant).is_some();
        (add.is("Add") && is_row).then_some((user, slot))?
    };
    Some(Site { node: number, output: output.to_owned(), along: Along::of(node), bias, channels })
}

/// What a node of the model of floats gives in the quantized model, as floats: its name there.
pub fn outputs<'a>(quantized: &'a Model, nodes: &[usize]) -> Vec<Option<&'a str>> {
    // Static quantization keeps all nodes in their order and puts pairs in between.
    let all = &quantized.graph.nodes;
    let (pairs, kept): (Vec<&Node>, Vec<&Node>) = all
        .iter()
        .partition(|node| matches!(&*node.op_type, "QuantizeLinear" | "DequantizeLinear"));
    // Rows that were picked from a table of integers are integers first.
    let back: HashMap<&str, &str> = pairs
        .into_iter()
        .filter(|node| node.is("DequantizeLinear"))
        .filter_map(|node| node.input(0).zip(node.output(0)))
        .collect();
    let floats = |&number: &usize| {
        let given = kept.get(number)?.output(0)?;
        Some(back.get(given).copied().unwrap_or(given))
    };
    nodes.iter().map(floats).collect()
}

/// The model of floats with the biases of some layers corrected by what was seen of their outputs in
/// the model of floats and in the quantized one, both under the names of [`Site::output`].
pub fn corrected(
    model: &Model,
    sites: &[Site],
    (truth, rounded): (&PerChannel, &PerChannel),
) -> Result<Model, OptimizeError> {
    let mut edit = Edit::new(model);
    for site in sites {
        let means = |seen: &PerChannel| {
            let moments = seen.tensors().get(&site.output)?;
            (moments.channels() == site.channels).then(|| moments.means())
        };
        let Some((truth, rounded)) = means(truth).zip(means(rounded)) else { continue };
        let bias = edit.constant(site.bias.0, site.bias.1);
        let mut bias = match bias {
            None => vec![0.0; site.channels],
            Some((_, bias)) if bias.len() == site.channels => bias,
            // One number for all channels.
            Some((_, bias)) => vec![bias.first().copied().unwrap_or(0.0); site.channels],
        };
        for (bias, (truth, rounded)) in bias.iter_mut().zip(truth.iter().zip(&rounded)) {
            let shift = rounded - truth;
            *bias -= if shift.is_finite() { shift } else { 0.0 };
        }
        edit.set(site.bias, &[site.channels], &bias);
    }
    edit.finish()
}
