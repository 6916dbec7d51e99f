//! Control flow of TensorFlow 1 whose condition is always the same: what only training does. The
//! side that is never taken goes, and with it what nobody else needs.

use super::graph::{Graph, Node, Port};
use super::weight::Weight;
use crate::Limits;

/// The graph without sides that are never taken.
///
/// `Switch` gives its input on one of its two outputs, `Merge` the one of its inputs that is there.
/// Where the condition is known, both pass on what is there.
pub(super) fn settled(mut graph: Graph, limits: &Limits) -> Graph {
    if !graph.nodes.iter().any(|node| node.op == "Switch") {
        return graph;
    }
    // Which outputs are never there, by node; all of them for nodes that are not switches.
    let mut dead: Vec<Dead> = Vec::with_capacity(graph.nodes.len());
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let is_dead = |port: &Port| dead.get(port.node).is_some_and(|dead| dead.holds(port.output));
        let found = match (node.op.as_str(), node.inputs.as_slice()) {
            ("Merge", inputs) => {
                let alive = inputs.iter().copied().find(|port| !is_dead(port));
                if let (Some(alive), true) = (alive, inputs.iter().any(is_dead)) {
                    passes(&mut graph.nodes[index], vec![alive]);
                }
                if alive.is_none() { Dead::All } else { Dead::None }
            }
            (_, inputs) if inputs.iter().any(is_dead) => Dead::All,
            ("Switch", &[value, condition]) => match constant(&graph, condition, limits) {
                Some(holds) => {
                    // Both outputs pass the value on; that of the other side has no use left.
                    passes(&mut graph.nodes[index], vec![value, value]);
                    Dead::Output(usize::from(!holds))
                }
                None => Dead::None,
            },
            _ => Dead::None,
        };
        dead.push(found);
    }
    graph.pruned()
}

/// Which outputs of a node are never there.
enum Dead {
    None,
    All,
    Output(usize),
}

impl Dead {
    fn holds(&self, output: usize) -> bool {
        match self {
            Dead::None => false,
            Dead::All => true,
            Dead::Output(dead) => *dead == output,
        }
    }
}

/// Makes a node pass its inputs on.
fn passes(node: &mut Node, inputs: Vec<Port>) {
    node.op = "IdentityN".into();
    node.inputs = inputs;
}

/// A condition that is always the same: a constant, or a default.
fn constant(graph: &Graph, port: Port, limits: &Limits) -> Option<bool> {
    let mut port = graph.origin(port);
    let mut negated = false;
    loop {
        let node = graph.nodes.get(port.node)?;
        match node.op.as_str() {
            "Const" => {
                let weight = Weight::of_proto(node.attrs.tensor("value")?, limits).ok()?;
                let array = weight.array().ok().filter(|array| array.len() == 1)?;
                let holds = array.to_f64s().ok()?.first().is_some_and(|&value| value != 0.0);
                return Some(holds != negated);
            }
            "LogicalNot" => negated = !negated,
            "PlaceholderWithDefault" => {}
            _ => return None,
        }
        port = graph.origin(*node.inputs.first()?);
    }
}
