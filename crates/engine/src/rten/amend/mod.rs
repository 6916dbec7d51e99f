//! Rewrites what rten answers wrongly into nodes that it answers rightly.
//!
//! Some operators are too common to refuse, and wrong only for some data: ties of `ArgMax`, the
//! sign of 0, rounding at the edge of two quantization steps. The model that rten loads has other
//! nodes in their place; what they cost is small beside being wrong. Nothing is rewritten that
//! rten does right.
//!
//! | module | operators |
//! |---|---|
//! | `select` | ArgMax, ArgMin: rten answers the last of several equals, not the first |
//! | `elementwise` | Sign (of 0 it is 1, of NaN a number), Cast to BOOL (keeps the number) |
//! | `nan` | Relu, Clip (NaN becomes a bound), where NaN comes up inside the model |
//! | `quantize` | QuantizeLinear, DynamicQuantizeLinear: rten multiplies by `1 / scale` |
//! | `convolution` | Conv and ConvTranspose with strides, without `kernel_shape` |
//! | `softmax` | Softmax and LogSoftmax before opset 13, which flatten |

mod convolution;
mod elementwise;
mod nan;
mod quantize;
mod select;
mod softmax;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use modelyard_graph::{AttributeValue, Constant, ElementType, Graph, Kind, Model, Node};

use crate::Refusal;

/// What became of a model.
#[derive(Default)]
pub(super) struct Amended {
    /// The model that rten shall load; `None` when it can stay as it is.
    pub(super) model: Option<Model>,
    /// Nodes that are wrong and cannot be made right.
    pub(super) refusals: Vec<Refusal>,
    /// A node that would lose NaN, in a model that makes none of finite inputs: those are to be
    /// checked.
    pub(super) loses_nan: Option<String>,
}

/// Rewrites `model`.
pub(super) fn amend(model: &Model) -> Amended {
    let candidate = |node: &Node| node.domain.is_empty() && rule(&node.op_type).is_some();
    if !model.nodes().any(candidate) {
        return Amended::default();
    }
    let mut amender = Amender::of(model);
    let mut amended = model.clone();
    amender.graph(&mut amended.graph);
    Amended {
        model: (amender.replaced > 0).then_some(amended),
        refusals: amender.refusals,
        loses_nan: amender.loses_nan,
    }
}

/// Answers what stands for a node; nothing when it is right as it is; or why it stays wrong.
type Rule = fn(&mut Amender, &Node) -> Answer;
type Answer = Result<Option<Vec<Node>>, &'static str>;

fn rule(op_type: &str) -> Option<Rule> {
    match op_type {
        "ArgMax" | "ArgMin" => Some(select::arg),
        "Sign" => Some(elementwise::sign),
        "Cast" => Some(elementwise::cast),
        "Relu" => Some(nan::relu),
        "Clip" => Some(nan::clip),
        "QuantizeLinear" => Some(quantize::linear),
        "DynamicQuantizeLinear" => Some(quantize::dynamic),
        "Conv" | "ConvTranspose" => Some(convolution::convolution),
        "Softmax" | "LogSoftmax" => Some(softmax::softmax),
        _ => None,
    }
}

/// What rules see and use.
struct Amender {
    kinds: HashMap<String, Kind>,
    opset: i64,
    /// Dimensions of the initializers, and of what else convolutions take as weights.
    dims: HashMap<String, Vec<usize>>,
    /// Constants that are the number 0.
    zeros: HashSet<String>,
    /// Whether NaN may come up inside the model whatever it is given.
    makes_nan: bool,
    loses_nan: Option<String>,
    made: usize,
    replaced: usize,
    refusals: Vec<Refusal>,
    /// New constants of the graph at hand.
    constants: Vec<Constant>,
}

impl Amender {
    fn of(model: &Model) -> Self {
        let initializers = model.graph.initializers.iter();
        Amender {
            kinds: model.kinds(),
            opset: model.opset("").unwrap_or(1),
            dims: initializers
                .map(|constant| (constant.name.clone(), constant.dims.clone()))
                .chain(convolution::computed_weights(model))
                .collect(),
            zeros: nan::zeros(model),
            makes_nan: nan::comes_up(model),
            loses_nan: None,
            made: 0,
            replaced: 0,
            refusals: Vec::new(),
            constants: Vec::new(),
        }
    }

    fn graph(&mut self, graph: &mut Graph) {
        let outer = std::mem::take(&mut self.constants);
        let nodes = std::mem::take(&mut graph.nodes);
        for mut node in nodes {
            for attribute in &mut node.attributes {
                if let AttributeValue::Graph(inner) = &mut attribute.value {
                    self.graph(inner);
                }
            }
            let rule = if node.domain.is_empty() { rule(&node.op_type) } else { None };
            match rule.map_or(Ok(None), |rule| rule(self, &node)) {
                Ok(None) => graph.nodes.push(node),
                Ok(Some(instead)) => {
                    self.replaced += 1;
                    graph.nodes.extend(instead);
                }
                Err(reason) => self.refusals.push(Refusal::new(&node, reason)),
            }
        }
        graph.initializers.append(&mut self.constants);
        self.constants = outer;
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        self.kinds.get(name).copied()
    }

    /// Whether this is the number 0 in every run.
    fn is_zero(&self, name: &str) -> bool {
        self.zeros.contains(name)
    }

    /// A name that no model has.
    fn fresh(&mut self) -> String {
        self.made += 1;
        format!("modelyard/amended/{}", self.made)
    }

    /// A constant of floats.
    fn floats(&mut self, dims: &[usize], values: &[f32]) -> String {
        let name = self.fresh();
        if *values == [0.0] {
            self.zeros.insert(name.clone());
        }
        self.constants.push(Constant::floats(&name, dims, values));
        name
    }

    /// A list of integers.
    fn integers(&mut self, values: &[i64]) -> String {
        self.longs(&[values.len()], values)
    }

    /// The integer 0, as a scalar.
    fn zero(&mut self) -> String {
        self.longs(&[], &[0])
    }

    /// The byte 0, as a scalar.
    fn byte_zero(&mut self) -> String {
        let name = self.fresh();
        self.constants.push(Constant::raw(&name, ElementType::Uint8, &[], vec![0]));
        name
    }

    fn longs(&mut self, dims: &[usize], values: &[i64]) -> String {
        let name = self.fresh();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constants.push(Constant::raw(&name, ElementType::Int64, dims, bytes));
        name
    }
}

/// Nodes that stand for one, in the making.
struct Instead<'a> {
    amender: &'a mut Amender,
    label: String,
    nodes: Vec<Node>,
}

impl<'a> Instead<'a> {
    fn of(node: &Node, amender: &'a mut Amender) -> Self {
        Instead { amender, label: node.label().to_owned(), nodes: Vec::new() }
    }

    /// Adds a node with one output; gives its name.
    fn make(&mut self, op_type: &str, inputs: &[&str]) -> String {
        self.make_with(op_type, inputs, &[])
    }

    fn make_with(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: &[(&str, AttributeValue)],
    ) -> String {
        let output = self.amender.fresh();
        self.last(op_type, inputs, attributes, &output);
        output
    }

    /// Adds a node that gives `output`. Errors of rten name the node that it stands for.
    fn last(
        &mut self,
        op_type: &str,
        inputs: &[&str],
        attributes: &[(&str, AttributeValue)],
        output: &str,
    ) {
        let mut node = Node::new(op_type, inputs, &[output]);
        for (name, value) in attributes {
            node = node.with(name, value.clone());
        }
        node.name = format!("{}/{op_type}/{}", self.label, self.nodes.len());
        self.nodes.push(node);
    }
}
