//! The walk over a model's nodes that ties what goes together.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Constant, Graph, Model, Node};

use super::rules;
use super::site::Site;
use super::space::{Axis, Role, Space};

/// How often reshapes whose first choice leads nowhere are given another one.
const MOST_TRIES: usize = 4;

/// Everything that is tied in a model. `None` where it is too large to be followed.
pub(super) fn explore(model: &Model, narrows: bool) -> Option<Space> {
    let mut choices: HashMap<usize, usize> = HashMap::new();
    let mut best: Option<(usize, Space)> = None;
    for _ in 0..MOST_TRIES {
        let (space, open) = walk(model, narrows, &choices)?;
        let found = removable(&space);
        let stuck: Vec<usize> = open
            .into_iter()
            .filter(|(node, count, (name, axis))| {
                let next = choices.get(node).copied().unwrap_or(0) + 1;
                next < *count && !space.is_free((name, *axis))
            })
            .map(|(node, ..)| node)
            .collect();
        if best.as_ref().is_none_or(|(most, _)| found > *most) {
            best = Some((found, space));
        }
        if stuck.is_empty() {
            break;
        }
        stuck.into_iter().for_each(|node| *choices.entry(node).or_default() += 1);
    }
    best.map(|(_, space)| space)
}

/// A reshape with a choice: its node, how many choices, and the axis that has to stay free.
type Open = (usize, usize, (String, usize));

fn walk(
    model: &Model,
    narrows: bool,
    choices: &HashMap<usize, usize>,
) -> Option<(Space, Vec<Open>)> {
    let mut space = Space::of(model)?;
    space.narrows = narrows;
    let graph = &model.graph;
    let constants: HashMap<&str, &Constant> =
        graph.initializers.iter().map(|constant| (constant.name.as_str(), constant)).collect();
    freeze_borders(&mut space, graph);
    let mut open = Vec::new();
    for (number, node) in graph.nodes.iter().enumerate() {
        let mut site = Site {
            node,
            number,
            opset: model.opset(&node.domain).unwrap_or(1),
            constants: &constants,
            choice: choices.get(&number).copied().unwrap_or(0),
            choices: None,
            space: &mut space,
        };
        let ruled = match rules::find(&node.operator()) {
            Some(rule) if node.subgraphs().next().is_none() => rule(&mut site),
            _ if node.subgraphs().next().is_some() => {
                Err(format!("{node} holds graphs, which are left as they are"))
            }
            _ => Err(format!("{node} is an operator that pruning does not know")),
        };
        open.extend(site.choices.take().map(|(count, axis)| (number, count, axis)));
        if let Err(reason) = ruled {
            touched(node).into_iter().for_each(|name| space.freeze_all(name, &reason));
        }
    }
    Some((space, open))
}

/// What the caller gives and takes stays as it is, and what is in a form that cannot be cut.
fn freeze_borders(space: &mut Space, graph: &Graph) {
    for input in &graph.inputs {
        space.freeze_all(&input.name, &format!("it is input '{}' of the model", input.name));
    }
    for output in &graph.outputs {
        space.freeze_all(&output.name, &format!("it is output '{}' of the model", output.name));
    }
    for constant in &graph.initializers {
        if constant.bytes().is_none() || constant.element_type.bits() < 8 {
            space.freeze_all(&constant.name, &format!("'{}' cannot be cut", constant.name));
        }
    }
    for sparse in &graph.sparse_initializers {
        let name = &sparse.values.name;
        space.freeze_all(name, &format!("'{name}' is sparse"));
    }
}

/// All that a node takes and gives, what graphs inside it take from around included.
fn touched(node: &Node) -> Vec<&str> {
    let mut names: HashSet<&str> = HashSet::new();
    let mut nodes: Vec<&Node> = vec![node];
    while let Some(node) = nodes.pop() {
        names.extend(node.inputs.iter().chain(&node.outputs).map(String::as_str));
        for graph in node.subgraphs() {
            names.extend(graph.outputs.iter().map(|output| output.name.as_str()));
            nodes.extend(&graph.nodes);
        }
    }
    let mut names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names
}

/// Classes with a filter that can be removed.
fn removable(space: &Space) -> usize {
    let filters = space.roles.iter().filter(|(_, role)| *role == Role::Out);
    let mut roots: HashSet<usize> = HashSet::new();
    for ((name, axis), _) in filters {
        roots.extend(indices(space, (name, *axis)).map(|index| space.root(index)));
    }
    roots.into_iter().filter(|&root| space.reason(root).is_none()).count()
}

/// The indices of an axis.
pub(super) fn indices(space: &Space, axis: Axis<'_>) -> std::ops::Range<usize> {
    match (space.base(axis), space.size(axis)) {
        (Some(base), Some(size)) => base..base + size,
        _ => 0..0,
    }
}
