//! Layers between which ranges of channels can be moved.
//!
//! Between the two only stand operators with `f(s x) = s f(x)` for each channel and `s > 0`: what the
//! first layer's channel is divided by, the second can be multiplied by.

use modelyard_graph::Node;

use crate::links::Links;
use crate::quantize::roles::{Role, Weighted, role};

/// Two layers.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) first: usize,
    pub(super) second: usize,
    /// Nodes between them, in order.
    pub(super) between: Vec<usize>,
    /// Channels that flow from one to the other.
    pub(super) channels: usize,
}

/// What stands between two layers.
enum Step {
    /// It lets every channel through as it is, up to a factor.
    Through,
    /// It does when its Clip becomes a Relu.
    Clip,
    /// Numbers of one channel come to lie side by side.
    Flattens,
}

/// All pairs in the order of the graph, and the Clips (ReLU6) that are in the way of more. These are
/// walked over where `over_clips` says so: they must become Relus then.
pub(super) fn pairs(links: &Links<'_>, over_clips: bool) -> (Vec<Pair>, Vec<usize>) {
    let mut pairs = Vec::new();
    let mut clips = Vec::new();
    for number in 0..links.graph.nodes.len() {
        if let Some(channels) = channels_out(number, links)
            && let Some((pair, clip)) = walk(number, channels, links)
        {
            clips.extend(clip);
            if clip.is_none() || over_clips {
                pairs.push(pair);
            }
        }
    }
    (pairs, clips)
}

/// The layer that a node is, if ranges can be moved from or to it.
pub(super) fn layer<'a>(number: usize, links: &Links<'a>) -> Option<Weighted<'a>> {
    let node = &links.graph.nodes[number];
    match role(node, links) {
        Ok(Role::Weighted(weighted)) if node.op_type == "Conv" || node.op_type == "Gemm" => {
            Some(weighted)
        }
        _ => None,
    }
}

fn channels_out(number: usize, links: &Links<'_>) -> Option<usize> {
    let layer = layer(number, links)?;
    let channels = *links.constant(layer.weight)?.dims.get(layer.axis?)?;
    let fits = |bias: &str| links.constant(bias).is_some_and(|bias| bias.dims == [channels]);
    layer.bias.is_none_or(fits).then_some(channels)
}

fn walk(first: usize, channels: usize, links: &Links<'_>) -> Option<(Pair, Option<usize>)> {
    let (mut at, mut between, mut clip, mut is_flat) = (first, Vec::new(), None, false);
    loop {
        let output = links.graph.nodes[at].output(0)?;
        let next = links.only_user(output)?;
        let node = &links.graph.nodes[next];
        if let Some(layer) = layer(next, links) {
            let fits =
                layer.input == output && takes(node, layer.weight, (channels, is_flat), links);
            return fits.then_some((Pair { first, second: next, between, channels }, clip));
        }
        match step(node, output, links)? {
            Step::Through => {}
            // One is enough to be asked about.
            Step::Clip => clip = clip.or(Some(next)),
            Step::Flattens => is_flat = true,
        }
        between.push(next);
        at = next;
    }
}

fn step(node: &Node, input: &str, links: &Links<'_>) -> Option<Step> {
    if !node.domain.is_empty() || node.input(0) != Some(input) {
        return None;
    }
    match node.op_type.as_str() {
        "Relu" | "LeakyRelu" | "Identity" | "MaxPool" | "AveragePool" | "GlobalAveragePool"
        | "GlobalMaxPool" => Some(Step::Through),
        "Flatten" if node.int("axis").unwrap_or(1) == 1 => Some(Step::Flattens),
        "Clip" => is_relu6(node, links).then_some(Step::Clip),
        _ => None,
    }
}

/// Whether a Clip is a ReLU with a ceiling.
fn is_relu6(node: &Node, links: &Links<'_>) -> bool {
    let bound = |slot: usize| {
        let constant = links.constant(node.input(slot)?)?;
        crate::floats::floats(constant)?.first().copied()
    };
    bound(1) == Some(0.0) && bound(2).is_some_and(|most| most > 0.0)
}

/// Whether a layer takes so many channels.
fn takes(node: &Node, weight: &str, (channels, is_flat): (usize, bool), links: &Links<'_>) -> bool {
    let Some(dims) = links.constant(weight).map(|weight| weight.dims.as_slice()) else {
        return false;
    };
    match (node.op_type.as_str(), dims) {
        ("Conv", [_, inputs, ..]) => !is_flat && inputs * groups(node) == channels,
        ("Gemm", [rows, columns]) => {
            let inputs = if transposed(node) { columns } else { rows };
            *inputs == channels || is_flat && channels > 0 && inputs % channels == 0
        }
        _ => false,
    }
}

fn groups(node: &Node) -> usize {
    node.int("group").and_then(|groups| usize::try_from(groups).ok()).unwrap_or(1).max(1)
}

fn transposed(node: &Node) -> bool {
    node.int("transB").unwrap_or(0) != 0
}

/// Rows of a weight that belong to one input channel and one output channel each: calls `act` with
/// both and the row. Weights of Conv are `[out, in / groups, kernel…]`, those of Gemm `[in, out]` or
/// `[out, in]`, with `in` a multiple of the channels where these were flattened.
pub(super) fn rows(
    node: &Node,
    dims: &[usize],
    channels: usize,
    numbers: &mut [f32],
    mut act: impl FnMut(usize, usize, &mut [f32]),
) {
    if numbers.is_empty() || channels == 0 {
        return;
    }
    if node.op_type == "Conv" {
        let (outputs, inputs) = (dims[0], dims[1]);
        let inner = numbers.len() / (outputs * inputs);
        let outputs_a_group = (outputs / groups(node)).max(1);
        for (index, row) in numbers.chunks_exact_mut(inner).enumerate() {
            let (output, input) = (index / inputs, index % inputs);
            act(output / outputs_a_group * inputs + input, output, row);
        }
    } else if transposed(node) {
        let inner = dims[1] / channels;
        for (index, row) in numbers.chunks_exact_mut(inner).enumerate() {
            act(index % channels, index / channels, row);
        }
    } else {
        let inner = dims[0] / channels;
        for (index, number) in numbers.iter_mut().enumerate() {
            let (input, output) = (index / dims[1], index % dims[1]);
            act(input / inner, output, std::slice::from_mut(number));
        }
    }
}
