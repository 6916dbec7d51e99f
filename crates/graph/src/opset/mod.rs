//! The same model in another version of ONNX's operators, up or down.
//!
//! A version is left at a time: after each step the model is one of the version in between. A node
//! whose operator did not change stays as it is. Where it changed, `plain` goes by ONNX's own
//! description of the two versions, and where that does not say all, a rule in `adapters` writes
//! the node anew, as one or several. What cannot be written is reported, all of it at once.
//!
//! | module | holds |
//! |---|---|
//! | `schema` | what ONNX says of each version of each operator |
//! | `knowledge` | what is known of values: constants, types, shapes |
//! | `site` | the node that is adapted: what a rule sees and writes |
//! | `plain` | nodes that stay as they are |
//! | `adapters` | a rule for each operator that changed in more than its types |

mod adapters;
mod knowledge;
mod plain;
pub(crate) mod schema;
mod site;

use std::collections::{BTreeSet, HashSet};

pub(crate) use knowledge::Knowledge;
use site::{Refusal, Site};

use crate::names::Names;
use crate::{Graph, Model, Node, Obstacle, Unadaptable};

/// The oldest version that models are converted from and to.
pub const OLDEST: i64 = 7;

/// The newest.
pub const NEWEST: i64 = 28;

/// The domain of trees and other classic models.
const ML: &str = "ai.onnx.ml";

/// By version of ONNX's own operators, from [`OLDEST`] on: the version of the file format and of
/// [`ML`] that the release of ONNX had which brought it. Format 3 wants weights listed as inputs,
/// which nobody needs: 4 is the oldest that is written.
const RELEASES: [(i64, i64); (NEWEST - OLDEST + 1) as usize] = [
    (4, 1),
    (4, 1),
    (4, 1),
    (5, 1),
    (6, 2),
    (7, 2),
    (7, 2),
    (7, 2),
    (8, 2),
    (8, 3),
    (8, 3),
    (8, 3),
    (9, 3),
    (9, 4),
    (10, 5),
    (10, 5),
    (11, 5),
    (12, 5),
    (13, 5),
    (13, 5),
    (13, 5),
    (14, 5),
];

fn release(opset: i64) -> (i64, i64) {
    let index = usize::try_from(opset - OLDEST).unwrap_or(0);
    RELEASES.get(index).copied().unwrap_or(RELEASES[0])
}

/// Writes a model in this version of ONNX's operators; the version of the file format goes with it.
///
/// Functions of the model are put in where they are called. Operators of other domains stay as they
/// are, except that those of `ai.onnx.ml` go back to the version that was current then.
///
/// The result is not verified: see [`Model::verified`].
pub fn convert(model: Model, target: i64) -> Result<Model, Unadaptable> {
    let action = format!("convert the model to opset {target}");
    let source = model.opset("").unwrap_or(target);
    let whole = |reason: String| Unadaptable {
        action: action.clone(),
        obstacles: vec![Obstacle {
            operator: "the model".into(),
            place: model.graph.name.clone(),
            reason,
            way_out: format!("ask for an opset from {OLDEST} to {NEWEST}"),
        }],
    };
    if !(OLDEST..=NEWEST).contains(&target) {
        return Err(whole(format!("opset {target} is none that models are converted to")));
    }
    if source == target {
        return Ok(model);
    }
    if !(OLDEST..=NEWEST).contains(&source) {
        return Err(whole(format!("its opset {source} is none that models are converted from")));
    }
    let mut model = crate::inline(model)?;
    let unused_before = unused(&model);
    let ml = model.opset(ML).unwrap_or(1).min(release(target).1);
    let mut conversion = Conversion::new(&model, target);
    for (domain, target) in [("", target), (ML, ml)] {
        let Some(source) = model.opset(domain) else { continue };
        let steps: Vec<(i64, i64)> = match source < target {
            true => (source..target).map(|from| (from, from + 1)).collect(),
            false => (target..source).rev().map(|to| (to + 1, to)).collect(),
        };
        for (from, to) in steps {
            conversion.step(&mut model, Step { domain, from, to });
        }
    }
    conversion.check(&model);
    if conversion.obstacles.is_empty() {
        model.ir_version = release(target).0;
        let superfluous = &unused(&model) - &unused_before;
        model.graph.initializers.retain(|constant| !superfluous.contains(&constant.name));
        model.graph.nodes.retain(|node| !(node.is("Constant") && superfluous.contains(&key(node))));
        Ok(model)
    } else {
        Err(Unadaptable { action, obstacles: conversion.obstacles })
    }
}

/// Constants of the outermost graph that nobody takes.
fn unused(model: &Model) -> BTreeSet<String> {
    let mut taken: HashSet<&str> =
        model.nodes().flat_map(|node| &node.inputs).map(String::as_str).collect();
    let mut graphs = vec![&model.graph];
    while let Some(graph) = graphs.pop() {
        taken.extend(graph.outputs.iter().map(|output| output.name.as_str()));
        graphs.extend(graph.nodes.iter().flat_map(Node::subgraphs));
    }
    let graph = &model.graph;
    let given = graph.initializers.iter().map(|constant| constant.name.clone());
    let made = graph.nodes.iter().filter(|node| node.is("Constant")).map(key);
    given.chain(made).filter(|name| !taken.contains(name.as_str())).collect()
}

/// Names of the operators whose versions are known, as [`Node::operator`] has them, in no order.
pub fn operators() -> impl Iterator<Item = &'static str> {
    schema::names()
}

/// From one version to the next or the one before.
#[derive(Clone, Copy)]
struct Step<'a> {
    domain: &'a str,
    from: i64,
    to: i64,
}

impl Step<'_> {
    /// The newer of the two versions: operators changed when it came.
    fn boundary(self) -> i64 {
        self.from.max(self.to)
    }
}

/// A conversion under way.
struct Conversion {
    target: i64,
    names: Names,
    knowledge: Knowledge,
    /// Whether nodes were written since it was gathered.
    outdated: bool,
    obstacles: Vec<Obstacle>,
    /// Outputs of nodes that were refused: once is enough.
    refused: HashSet<String>,
    /// Outputs of nodes that rules wrote.
    written: BTreeSet<String>,
}

impl Conversion {
    fn new(model: &Model, target: i64) -> Conversion {
        Conversion {
            target,
            names: Names::of(model),
            knowledge: Knowledge::default(),
            outdated: true,
            obstacles: Vec::new(),
            refused: HashSet::new(),
            written: BTreeSet::new(),
        }
    }

    fn step(&mut self, model: &mut Model, step: Step<'_>) {
        if !model.nodes().any(|node| changes(node, step)) {
            model.opsets.insert(step.domain.to_owned(), step.to);
            return;
        }
        if self.outdated {
            self.knowledge = Knowledge::of(model);
            self.outdated = false;
        }
        self.graph(&mut model.graph, step);
        model.opsets.insert(step.domain.to_owned(), step.to);
    }

    fn graph(&mut self, graph: &mut Graph, step: Step<'_>) {
        let nodes = std::mem::take(&mut graph.nodes);
        graph.nodes.reserve(nodes.len());
        for mut node in nodes {
            for inner in node.subgraphs_mut() {
                self.graph(inner, step);
            }
            if changes(&node, step) && !self.refused.contains(&key(&node)) {
                self.node(node, step, graph);
            } else {
                graph.nodes.push(node);
            }
        }
    }

    fn node(&mut self, node: Node, step: Step<'_>, graph: &mut Graph) {
        let before = node.clone();
        let mut site = Site {
            node,
            knowledge: &self.knowledge,
            names: &mut self.names,
            before: Vec::new(),
            after: Vec::new(),
            initializers: Vec::new(),
        };
        if let Err(refusal) = adapt(&mut site, step) {
            self.refuse(&before, step, refusal);
            graph.nodes.push(before);
            return;
        }
        let Site { node, before: first, after, initializers, .. } = site;
        let nodes: Vec<Node> = first.into_iter().chain([node]).chain(after).collect();
        if nodes.len() > 1 || nodes.first().is_some_and(|node| node.op_type != before.op_type) {
            self.outdated = true;
            self.written.extend(nodes.iter().map(key));
        }
        for constant in &initializers {
            self.knowledge.add_constant(&constant.name, Some(constant));
        }
        graph.initializers.extend(initializers);
        graph.nodes.extend(nodes);
    }

    fn refuse(&mut self, node: &Node, step: Step<'_>, refusal: Refusal) {
        self.refused.insert(key(node));
        let way_out = match refusal.way_out.is_empty() {
            false => refusal.way_out,
            true if step.to < step.from && step.domain.is_empty() => {
                format!("ask for opset {} or later", step.boundary())
            }
            true if step.domain.is_empty() => format!("ask for opset {} or earlier", step.from),
            true => "ask for a later opset".to_owned(),
        };
        self.obstacles.push(Obstacle {
            operator: node.operator(),
            place: node.label().to_owned(),
            reason: refusal.reason,
            way_out,
        });
    }

    /// What rules wrote must be right for its types too.
    fn check(&mut self, model: &Model) {
        if self.written.is_empty() || !self.obstacles.is_empty() {
            return;
        }
        self.knowledge = Knowledge::of(model);
        let nodes: Vec<&Node> =
            model.nodes().filter(|node| self.written.contains(&key(node))).collect();
        for node in nodes {
            let Some(opset) = model.opset(&node.domain) else { continue };
            let fits = match schema::at(&node.operator(), opset) {
                Some(schema) if !schema.deprecated => plain::fits(&self.knowledge, node, schema),
                _ => site::refuse(format!("opset {opset} has no operator {}", node.op_type)),
            };
            if let Err(refusal) = fits {
                self.obstacles.push(Obstacle {
                    operator: node.operator(),
                    place: node.label().to_owned(),
                    reason: refusal.reason,
                    way_out: format!(
                        "ask for an opset nearer to the model's own than {}",
                        self.target
                    ),
                });
            }
        }
    }
}

/// What identifies a node while others are written around it.
fn key(node: &Node) -> String {
    node.outputs.iter().find(|output| !output.is_empty()).cloned().unwrap_or_default()
}

/// Whether the operator is another one on the other side.
fn changes(node: &Node, step: Step<'_>) -> bool {
    node.domain == step.domain
        && schema::versions(&node.operator()).iter().any(|schema| schema.since == step.boundary())
}

/// Writes a node as the next version has it.
fn adapt(site: &mut Site<'_>, step: Step<'_>) -> Result<(), Refusal> {
    let operator = site.node.operator();
    let (from, to) = (schema::at(&operator, step.from), schema::at(&operator, step.to));
    // What was deprecated is an operator all the same.
    let to = to.filter(|schema| !schema.deprecated);
    if let Some(rule) = adapters::find(&operator, step.boundary(), step.to > step.from) {
        rule(site)?;
        // Where it is still this operator, a rule has said nothing of its types.
        return match (from, to) {
            (Some(from), Some(to)) if site.node.operator() == operator => {
                plain::types(site.knowledge, &site.node, from, to)
            }
            _ => Ok(()),
        };
    }
    match (from, to) {
        (Some(from), Some(to)) => plain::adapt(site, from, to),
        (None, _) => Ok(()),
        (Some(_), None) => {
            let opset = step.boundary();
            site::refuse(match step.to < step.from {
                true => format!("the operator came with opset {opset}, and has no equal before"),
                false => format!("the operator was given up with opset {opset}"),
            })
        }
    }
}
