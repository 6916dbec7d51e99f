//! Channels last: each operator whose images have their channels first in ONNX becomes one whose
//! images have them last, with transposes before and behind it. The passes of `graph::rewrite` move
//! these to where they cancel.
//!
//! | module | does |
//! |---|---|
//! | `borders` | what windows reach over: `SAME`, or a Pad of its own |
//! | `average` | averages that count no padding |
//! | `transposed` | transposed convolutions: what is cut off behind them |

mod average;
mod borders;
mod transposed;

use modelyard_graph::{CHANNELS_LAST, Model, Node};

use super::graph::{Rewriting, node, rewrite};
use super::interface::{to_first, to_last};
use crate::Missing;

/// Rewrites the operators whose images have their channels first.
pub(super) fn channels_last(model: Model, missing: &mut Vec<Missing>) -> Model {
    rewrite(model, missing, |graph, node| {
        if !node.domain.is_empty() {
            return Some(node);
        }
        let rule = match node.op_type.as_str() {
            "Conv" => convolution,
            "ConvTranspose" => transposed::rewrite,
            "MaxPool" => max_pool,
            "AveragePool" => average::rewrite,
            "Resize" | "LRN" | "DepthToSpace" | "SpaceToDepth" => plain,
            _ => return Some(node),
        };
        let rank = node.input(0).and_then(|input| graph.facts.rank(input));
        match rank {
            Some(rank @ 3..=5) => rule(graph, node, rank),
            Some(rank) => {
                let reason = format!("an image of {rank} dimensions");
                graph.refuse(&node, reason, "");
                None
            }
            None => {
                let way_out = "state the shapes of the inputs when the model is converted";
                graph.refuse(&node, "an image whose number of dimensions is not known", way_out);
                None
            }
        }
    })
}

/// The image that a node takes, with its channels last.
fn taken(graph: &mut Rewriting, node: &Node, rank: usize) -> String {
    let image = node.input(0).unwrap_or_default().to_owned();
    let order = to_last(rank);
    graph.add(self::node("Transpose", &[image]).with("perm", order.as_slice()))
}

/// Writes a node that takes `image` and gives what `old` gives, both with their channels last.
fn give(graph: &mut Rewriting, old: Node, image: &str, rank: usize) {
    let output = old.output(0).unwrap_or_default().to_owned();
    let image = put(graph, old, image);
    give_back(graph, &image, &output, rank);
}

/// Writes a node that takes `image` and gives one, both with their channels last.
fn put(graph: &mut Rewriting, mut node: Node, image: &str) -> String {
    if let Some(first) = node.inputs.first_mut() {
        *first = image.to_owned();
    }
    graph.add(node.in_domain(CHANNELS_LAST))
}

/// Gives an image under the name that it had with its channels first.
fn give_back(graph: &mut Rewriting, image: &str, output: &str, rank: usize) {
    let order = to_first(rank);
    graph.add_as(node("Transpose", &[image]).with("perm", order.as_slice()), output);
}

/// Operators that say nothing of borders.
fn plain(graph: &mut Rewriting, node: Node, rank: usize) -> Option<Node> {
    let image = taken(graph, &node, rank);
    give(graph, node, &image, rank);
    None
}

fn convolution(graph: &mut Rewriting, mut node: Node, rank: usize) -> Option<Node> {
    let Some(window) = borders::Window::of_convolution(&graph.facts, &node) else {
        return borders::refuse(graph, &node);
    };
    let image = taken(graph, &node, rank);
    let image = borders::settle(graph, &mut node, &window, (&image, 0.0));
    give(graph, node, &image, rank);
    None
}

fn max_pool(graph: &mut Rewriting, mut node: Node, rank: usize) -> Option<Node> {
    if node.output(1).is_some() {
        graph.refuse(&node, "the positions of the largest", "");
        return None;
    }
    let Some(window) = borders::Window::of_pool(&graph.facts, &node) else {
        return borders::refuse(graph, &node);
    };
    let image = taken(graph, &node, rank);
    let image = borders::settle(graph, &mut node, &window, (&image, f32::MIN));
    give(graph, node, &image, rank);
    None
}
