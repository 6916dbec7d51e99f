//! Several nodes that are one operator in TensorFlow Lite.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Graph, Node};

use super::super::graph::Facts;
use super::writer::Writer;
use crate::tflite::schema::Activation;

/// Puts Gelu where a graph computes it with Erf, and HardSwish where it does with HardSigmoid.
pub(super) fn merge(graph: &mut Graph, facts: &Facts) {
    let found: Vec<Merged> = {
        let search = Search::new(graph, facts);
        let nodes = 0..graph.nodes.len();
        nodes.filter_map(|index| search.gelu(index).or_else(|| search.hard_swish(index))).collect()
    };
    let mut removed = HashSet::new();
    for merged in found {
        removed.extend(merged.removed);
        if let Some(last) = graph.nodes.get_mut(merged.last) {
            *last = merged.node;
        }
    }
    let mut index = 0;
    graph.nodes.retain(|_| {
        index += 1;
        !removed.contains(&(index - 1))
    });
}

struct Merged {
    /// Where the node goes, in the place of the last of those that it stands for.
    last: usize,
    node: Node,
    /// The others.
    removed: Vec<usize>,
}

struct Search<'a> {
    graph: &'a Graph,
    facts: &'a Facts,
    users: HashMap<&'a str, Vec<usize>>,
    producers: HashMap<&'a str, usize>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, facts: &'a Facts) -> Search<'a> {
        let mut users: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut producers = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            for input in &node.inputs {
                users.entry(input).or_default().push(index);
            }
            for output in &node.outputs {
                producers.insert(output.as_str(), index);
            }
        }
        for output in &graph.outputs {
            // An output is taken by one more.
            users.entry(&output.name).or_default().push(usize::MAX);
        }
        Search { graph, facts, users, producers }
    }

    fn node(&self, index: usize) -> Option<&'a Node> {
        self.graph.nodes.get(index)
    }

    /// The only node that takes what a node gives.
    fn next(&self, index: usize) -> Option<(usize, &'a Node)> {
        match self.users.get(self.node(index)?.output(0)?)?[..] {
            [user] => Some((user, self.node(user)?)),
            _ => None,
        }
    }

    /// The other operand of a node, where one is this number.
    fn beside(&self, node: &'a Node, number: f64) -> Option<&'a str> {
        let is_number = |slot| {
            let found = self.facts.number(node, slot);
            found.is_some_and(|found| (found - number).abs() <= 1e-6 * number.abs())
        };
        match (is_number(0), is_number(1)) {
            (_, true) => node.input(0),
            (true, _) => node.input(1),
            _ => None,
        }
    }

    /// The operand of a node of two that is not this one.
    fn other(&self, node: &'a Node, value: &str) -> Option<&'a str> {
        match (node.input(0)?, node.input(1)?) {
            (other, this) if this == value => Some(other),
            (this, other) if this == value => Some(other),
            _ => None,
        }
    }

    /// `0.5 * x * (1 + erf(x / sqrt(2)))`, whichever way it is multiplied.
    fn gelu(&self, erf: usize) -> Option<Merged> {
        let node = self.node(erf).filter(|node| node.is("Erf"))?;
        let half = *self.producers.get(node.input(0)?)?;
        let before = self.node(half)?;
        let x = match before.op_type.as_str() {
            "Div" => self.beside(before, std::f64::consts::SQRT_2)?,
            "Mul" => self.beside(before, std::f64::consts::FRAC_1_SQRT_2)?,
            _ => return None,
        };
        let (add, plus) = self.next(erf).filter(|(_, node)| node.is("Add"))?;
        self.beside(plus, 1.0)?;
        let (product, times) = self.next(add).filter(|(_, node)| node.is("Mul"))?;
        let mut removed = vec![erf, add];
        if self.next(half).is_some() {
            removed.push(half);
        }
        let beside = self.other(times, plus.output(0)?)?;
        let is_half = self.beside(times, 0.5).is_some();
        let last = if beside == x || is_half {
            // x, then one half; or the other way round.
            let (last, scale) = self.next(product).filter(|(_, node)| node.is("Mul"))?;
            let fits = match is_half {
                true => self.other(scale, times.output(0)?)? == x,
                false => self.beside(scale, 0.5).is_some(),
            };
            fits.then_some(())?;
            removed.push(product);
            last
        } else {
            let halved = *self.producers.get(beside)?;
            let node = self.node(halved).filter(|node| node.is("Mul"))?;
            (self.beside(node, 0.5)? == x).then_some(())?;
            if self.next(halved).is_some() {
                removed.push(halved);
            }
            product
        };
        let old = self.node(last)?;
        let mut node = Node::new("Gelu", &[x], &[old.output(0)?]);
        node.name.clone_from(&old.name);
        Some(Merged { last, node, removed })
    }

    /// `x * HardSigmoid(x)` with a slope of one sixth.
    fn hard_swish(&self, index: usize) -> Option<Merged> {
        let node = self.node(index).filter(|node| node.is("HardSigmoid"))?;
        let alpha = node.float("alpha").unwrap_or(0.2);
        let beta = node.float("beta").unwrap_or(0.5);
        ((alpha - 1.0 / 6.0).abs() < 1e-6 && beta == 0.5).then_some(())?;
        let (last, times) = self.next(index).filter(|(_, node)| node.is("Mul"))?;
        let x = node.input(0)?;
        (self.other(times, node.output(0)?)? == x).then_some(())?;
        let mut node = Node::new("HardSwish", &[x], &[times.output(0)?]);
        node.name.clone_from(&times.name);
        Some(Merged { last, node, removed: vec![index] })
    }
}

impl<'a> Writer<'a> {
    /// The activation that is all that takes what a node gives: it becomes part of the operator.
    /// Gives it with the name of the value behind it.
    pub(super) fn fused(&mut self, output: &'a str) -> (Activation, &'a str) {
        let Some((index, node)) = self.only_user(output) else { return (Activation::None, output) };
        let (Some(activation), Some(behind)) = (self.activation(node), node.output(0)) else {
            return (Activation::None, output);
        };
        self.join(index);
        (activation, behind)
    }

    fn activation(&self, node: &Node) -> Option<Activation> {
        if node.is("Relu") {
            return Some(Activation::Relu);
        }
        if !node.is("Clip") {
            return None;
        }
        match (self.facts.number(node, 1)?, self.facts.number(node, 2)?) {
            (0.0, 6.0) => Some(Activation::Relu6),
            (-1.0, 1.0) => Some(Activation::ReluN1To1),
            _ => None,
        }
    }
}
