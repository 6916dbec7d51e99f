//! Shapes of all values, and from them FLOPs and memory.
//!
//! A walk over the nodes in order; each operator has a rule that says what is known of its
//! outputs. Small integers (shapes, axes) are followed through nodes. Dimensions that are not
//! fixed are given by the caller, or stand for 1. Where a rule does not suffice, the file's own
//! word on the outputs is taken, and the node is reported: nothing is guessed.
//!
//! | module | operators |
//! |---|---|
//! | `elementwise` | arithmetic, activations, casts, (de)quantization |
//! | `linear` | MatMul, Gemm, Einsum |
//! | `convolution`, `pooling`, `window` | what slides over space |
//! | `normalization`, `reduction` | what adds up |
//! | `reshape`, `selection`, `resize`, `generation` | what moves or makes elements |
//! | `recurrent`, `attention` | LSTM, GRU, RNN; fused attention |
//! | `conflict` | shapes that can never go together |
//! | `control` | If, Loop, Scan, and functions of the model |
//! | `channels_last` | operators whose images have their channels last |
//!
//! `symbolic` walks several times with different sizes, and keeps what agrees.

mod attention;
mod channels_last;
mod conflict;
mod control;
mod convolution;
mod elementwise;
mod fact;
mod generation;
mod linear;
mod live;
mod normalization;
mod pooling;
mod recurrent;
mod reduction;
mod reshape;
mod resize;
mod selection;
mod symbolic;
#[cfg(test)]
mod tests;
mod window;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

pub use channels_last::CHANNELS_LAST;
pub(crate) use conflict::conflicts;
use fact::{Answer, Fact, Op, Rule};
use modelyard_tensor::Dim;
pub(crate) use symbolic::{Known, Open};

use crate::{Constant, ElementType, Function, Graph, Model, Node, Value, ValueType};

/// Sizes for what a model leaves open. Whatever is not here stands for 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// By name of the symbolic dimension.
    pub symbols: BTreeMap<String, usize>,
    /// Whole shapes by name of the input; these come first.
    pub inputs: BTreeMap<String, Vec<usize>>,
}

impl Sizes {
    /// These sizes for these symbols.
    pub fn of_symbols<'a>(symbols: impl IntoIterator<Item = (&'a str, usize)>) -> Sizes {
        let symbols = symbols.into_iter().map(|(name, size)| (name.to_owned(), size)).collect();
        Sizes { symbols, inputs: BTreeMap::new() }
    }

    fn of(&self, dim: &Dim) -> usize {
        match dim {
            Dim::Fixed(size) => *size,
            Dim::Symbol(name) => self.symbols.get(name).copied().unwrap_or(1),
            Dim::Free => 1,
        }
    }

    fn has(&self, dim: &Dim) -> bool {
        match dim {
            Dim::Fixed(_) => true,
            Dim::Symbol(name) => self.symbols.contains_key(name),
            Dim::Free => false,
        }
    }
}

/// Nodes visited at most: functions may call functions, each several times.
const MOST_VISITS: usize = 1 << 21;

/// Graphs in nodes and calls in functions followed at most: the walk recurses over both.
const MOST_DEPTH: usize = 64;

/// What is known of a value whatever the sizes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What it is made of.
    pub element_type: ElementType,
    /// Number of its dimensions.
    pub rank: usize,
}

impl Model {
    /// Element type and rank of the values whose names mean the same everywhere in the model, as
    /// far as they can be inferred.
    pub fn kinds(&self) -> HashMap<String, Kind> {
        let sizes = Sizes::default();
        let mut walk = Walk::new(self, &sizes);
        let inputs = self.graph.inputs.iter().map(|input| walk.input(input)).collect();
        walk.graph(&self.graph, inputs);
        walk.kinds.into_iter().filter_map(|(name, kind)| Some((name, kind?))).collect()
    }
}

/// Shapes with these sizes, of the values whose names mean the same everywhere in the model. What
/// the file itself says of a value counts only where it has no sizes that are not given; what is in
/// loops is left out.
pub(crate) fn shapes(model: &Model, sizes: &Sizes, trust: Trust) -> HashMap<String, Inferred> {
    let mut walk = Walk::new(model, sizes);
    walk.shapes = Some(HashMap::new());
    walk.trust = Some(trust);
    let inputs = model.graph.inputs.iter().map(|input| walk.input(input)).collect();
    walk.graph(&model.graph, inputs);
    let shapes = walk.shapes.into_iter().flatten();
    shapes.filter_map(|(name, inferred)| Some((name, inferred?))).collect()
}

/// What to make of sizes that disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Nothing is known of the result.
    Nothing,
    /// They are equal whenever the model is run, and the larger stands for both: these sizes are
    /// larger than what the model takes, as a sentence is than its table of positions. Only the
    /// agreement with a walk that trusts nothing says something then.
    Sizes,
}

/// What was inferred of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Inferred {
    pub(crate) element_type: ElementType,
    pub(crate) dims: Vec<usize>,
    /// The elements, where they are a few integers.
    pub(crate) integers: Option<Vec<i64>>,
}

impl Inferred {
    fn of(fact: &Fact) -> Inferred {
        const MOST: usize = 64;
        let is_integral = matches!(fact.element_type, ElementType::Int32 | ElementType::Int64);
        let values = fact.values.as_ref().filter(|values| is_integral && values.len() <= MOST);
        let integers = values.map(|values| values.iter().map(|&value| value as i64).collect());
        Inferred { element_type: fact.element_type, dims: fact.dims.clone(), integers }
    }
}

/// What the walk found.
#[derive(Default)]
pub(crate) struct Estimate {
    pub(crate) flops: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) generated: u64,
    pub(crate) generated_bytes: u64,
    /// By operator: how many nodes could not be inferred, and the first of them.
    pub(crate) unknown: BTreeMap<String, (usize, String)>,
}

/// Walks `model` with these sizes.
pub(crate) fn estimate(model: &Model, sizes: &Sizes) -> Estimate {
    let mut walk = Walk::new(model, sizes);
    walk.is_estimate = true;
    let inputs = model.graph.inputs.iter().map(|input| walk.input(input)).collect();
    let walked = walk.graph(&model.graph, inputs);
    let mut estimate = walk.estimate;
    estimate.flops = walked.flops;
    estimate.peak_bytes = walked.peak_bytes;
    estimate
}

/// The rule for an operator, named as [`Node::operator`] does.
fn rule(operator: &str) -> Option<Rule> {
    let families = [
        elementwise::rule,
        linear::rule,
        convolution::rule,
        pooling::rule,
        normalization::rule,
        reduction::rule,
        reshape::rule,
        selection::rule,
        resize::rule,
        generation::rule,
        recurrent::rule,
        attention::rule,
    ];
    families.iter().find_map(|family| family(operator))
}

/// What a graph gives and costs in one run.
#[derive(Default)]
struct Walked {
    outputs: Vec<Option<Fact>>,
    flops: u64,
    peak_bytes: u64,
}

struct Walk<'a> {
    model: &'a Model,
    sizes: &'a Sizes,
    /// Facts by name, the outermost graph's first; a function starts anew.
    scopes: Vec<HashMap<String, Fact>>,
    functions: HashMap<(&'a str, &'a str), &'a Function>,
    visits: usize,
    depth: usize,
    estimate: Estimate,
    conflicts: conflict::Conflicts,
    /// Kinds by name; `None` where a name stands for different ones.
    kinds: HashMap<String, Option<Kind>>,
    /// Shapes by name, where they are asked for: see [`shapes`].
    shapes: Option<HashMap<String, Option<Inferred>>>,
    /// Whether only what always holds is wanted: an open dimension stands for nothing, and a loop
    /// may end early.
    strict: bool,
    /// Whether a branch that the sizes of this walk decide on is taken for the one that is always
    /// taken: right for costs only.
    is_estimate: bool,
    /// What to make of sizes that disagree, where sizes are made up and no real ones.
    trust: Option<Trust>,
    /// Facts of the outermost graph, after the walk.
    outermost: HashMap<String, Fact>,
}

impl<'a> Walk<'a> {
    fn new(model: &'a Model, sizes: &'a Sizes) -> Walk<'a> {
        let functions = model.functions.iter();
        Walk {
            model,
            sizes,
            scopes: Vec::new(),
            functions: functions
                .map(|function| ((&*function.domain, &*function.name), function))
                .collect(),
            visits: 0,
            depth: 0,
            estimate: Estimate::default(),
            conflicts: conflict::Conflicts::new(),
            kinds: HashMap::new(),
            shapes: None,
            strict: false,
            is_estimate: false,
            trust: None,
            outermost: HashMap::new(),
        }
    }

    /// A graph whose inputs are as given.
    fn graph(&mut self, graph: &Graph, inputs: Vec<Option<Fact>>) -> Walked {
        let mut facts: HashMap<String, Fact> = graph
            .initializers
            .iter()
            .map(|constant| (constant.name.clone(), Fact::of_constant(constant)))
            .collect();
        for sparse in &graph.sparse_initializers {
            let fact = Fact::new(sparse.values.element_type, &sparse.dims);
            facts.insert(sparse.values.name.clone(), Fact { constant: true, ..fact });
        }
        for (input, fact) in graph.inputs.iter().zip(inputs) {
            // An initializer of the same name is a default, which estimates go by.
            if let (Some(fact), false) = (fact, facts.contains_key(&input.name)) {
                facts.insert(input.name.clone(), fact);
            }
        }
        let declared = graph.value_info.iter().chain(&graph.outputs);
        let outputs: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
        self.body(&graph.nodes, facts, declared, &outputs)
    }

    /// The nodes of a graph or function that sees `facts` at first.
    fn body<'n>(
        &mut self,
        nodes: &[Node],
        facts: HashMap<String, Fact>,
        declared: impl Iterator<Item = &'n Value>,
        outputs: &[&str],
    ) -> Walked {
        let declared: HashMap<&str, &ValueType> =
            declared.map(|value| (value.name.as_str(), &value.value_type)).collect();
        let given = facts.values().filter(|fact| !fact.constant).map(Fact::bytes);
        let mut live = live::Live::new(nodes, outputs, given.fold(0, u64::saturating_add));
        let mut flops = 0u64;
        self.scopes.push(facts);
        self.depth += 1;
        for (index, node) in nodes.iter().enumerate() {
            let walked = self.node(node, &declared);
            flops = flops.saturating_add(walked.flops);
            let made = walked.outputs.iter().flatten().filter(|fact| !fact.constant);
            live.grow(made.map(Fact::bytes).fold(0, u64::saturating_add), walked.peak_bytes);
            for (name, fact) in node.outputs.iter().zip(walked.outputs) {
                if let (Some(fact), Some(scope)) = (fact, self.scopes.last_mut()) {
                    scope.insert(name.clone(), fact);
                }
            }
            if let Some(scope) = self.scopes.last() {
                live.shrink(index, scope);
            }
        }
        self.depth -= 1;
        let facts = self.scopes.pop().unwrap_or_default();
        self.remember(&facts);
        let walked = Walked {
            outputs: outputs.iter().map(|name| facts.get(*name).cloned()).collect(),
            flops,
            peak_bytes: live.peak(),
        };
        if self.depth == 0 {
            self.outermost = facts;
        }
        walked
    }

    fn remember(&mut self, facts: &HashMap<String, Fact>) {
        for (name, fact) in facts {
            let kind = Kind { element_type: fact.element_type, rank: fact.dims.len() };
            let known = self.kinds.entry(name.clone()).or_insert(Some(kind));
            if *known != Some(kind) {
                *known = None;
            }
            if let Some(shapes) = &mut self.shapes {
                let inferred = Inferred::of(fact);
                match shapes.entry(name.clone()) {
                    Entry::Vacant(entry) => drop(entry.insert(Some(inferred))),
                    Entry::Occupied(mut entry) if entry.get().as_ref() != Some(&inferred) => {
                        entry.insert(None);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
    }

    /// One node: by its rule, or by what the file says of its outputs.
    fn node(&mut self, node: &Node, declared: &HashMap<&str, &ValueType>) -> Walked {
        self.visits += 1;
        let operator = node.operator();
        let function = self.functions.get(&(&*node.domain, &*node.op_type)).copied();
        let inputs: Vec<Option<Fact>> =
            node.inputs.iter().map(|name| self.fact(name).cloned()).collect();
        let constant = !operator.starts_with("Random")
            && node.inputs.iter().zip(&inputs).all(|(name, fact)| {
                name.is_empty() || fact.as_ref().is_some_and(|fact| fact.constant)
            });
        let certain = function.is_none() && node.subgraphs().next().is_none() && {
            let mut stated = node.inputs.iter().zip(&inputs).filter(|(name, _)| !name.is_empty());
            stated.all(|(_, fact)| fact.as_ref().is_some_and(|fact| fact.certain))
        };
        if certain && self.depth == 1 {
            self.look_for_conflict(node, &operator, &inputs);
        }
        let answer = match (function, operator.as_str()) {
            (Some(function), _) => self.call(function, node, inputs),
            (None, "If" | "Loop" | "Scan") => self.control(node, inputs),
            _ => self.ruled(node, &operator, &inputs),
        };
        let known = answer.is_some();
        let mut walked = answer.unwrap_or_default();
        walked.outputs.resize(node.outputs.len(), None);
        let mut missing = false;
        for (name, fact) in node.outputs.iter().zip(&mut walked.outputs) {
            let ruled = certain && fact.is_some();
            if fact.is_none() {
                *fact = declared.get(name.as_str()).and_then(|found| self.declared(found));
                missing |= fact.is_none() && self.is_dense(declared.get(name.as_str()));
            }
            if let Some(fact) = fact.as_mut() {
                fact.constant = constant;
                fact.certain = ruled;
            }
        }
        if constant {
            // Done once, at load.
            walked.flops = 0;
            self.count_generated(&operator, &walked.outputs);
        }
        let wanted = node.outputs.iter().any(|name| !name.is_empty());
        if !known || (missing && wanted && node.subgraphs().next().is_some()) {
            let label = node.label().to_owned();
            self.estimate.unknown.entry(operator).or_insert((0, label)).0 += 1;
        }
        walked
    }

    fn ruled(&mut self, node: &Node, operator: &str, inputs: &[Option<Fact>]) -> Option<Walked> {
        let op = self.op(node, inputs);
        let Answer { outputs, flops } = match node.domain.as_str() {
            crate::CHANNELS_LAST => {
                channels_last::answer(&op, rule(&node.op_type)?, self.model.opset("").unwrap_or(1))
            }
            _ => rule(operator)?(&op),
        }?;
        Some(Walked { outputs, flops, peak_bytes: 0 })
    }

    fn look_for_conflict(&mut self, node: &Node, operator: &str, inputs: &[Option<Fact>]) {
        let conflict = conflict::at(&self.op(node, inputs), operator);
        self.conflicts.extend(conflict.map(|message| (node.to_string(), message)));
    }

    fn op<'n>(&self, node: &'n Node, inputs: &'n [Option<Fact>]) -> Op<'n> {
        Op {
            node,
            inputs: inputs.iter().map(Option::as_ref).collect(),
            opset: self.model.opset(&node.domain).unwrap_or(1),
            trust: self.trust,
        }
    }

    fn fact(&self, name: &str) -> Option<&Fact> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    /// An input of the model, by the caller's word first.
    fn input(&self, input: &Value) -> Option<Fact> {
        let fact = match (input.value_type.as_tensor(), self.sizes.inputs.get(&input.name)) {
            (Some((element_type, _)), Some(dims)) => Some(Fact::new(element_type, dims)),
            _ => self.declared(&input.value_type),
        };
        fact.map(|fact| Fact { certain: true, ..fact })
    }

    /// What the file says of a value, with sizes for its symbols.
    fn declared(&self, value_type: &ValueType) -> Option<Fact> {
        let (element_type, dims) = value_type.as_tensor()?;
        // A size that nobody gave would pass for a fixed one.
        let is_open = |dim| !self.sizes.has(dim);
        if (self.shapes.is_some() && dims?.iter().any(is_open))
            || (self.strict && dims?.contains(&Dim::Free))
        {
            return None;
        }
        let dims: Vec<usize> = dims?.iter().map(|dim| self.sizes.of(dim)).collect();
        Some(Fact::new(element_type, &dims))
    }

    /// Whether a value is a dense tensor as far as the file says.
    fn is_dense(&self, value_type: Option<&&ValueType>) -> bool {
        value_type
            .is_none_or(|found| matches!(found, ValueType::Tensor { .. } | ValueType::Unknown))
    }

    /// Some files make their weights by nodes instead of storing them.
    fn count_generated(&mut self, operator: &str, outputs: &[Option<Fact>]) {
        if operator == "ConstantOfShape" {
            for fact in outputs.iter().flatten() {
                let estimate = &mut self.estimate;
                estimate.generated = estimate.generated.saturating_add(fact.elements());
                estimate.generated_bytes = estimate.generated_bytes.saturating_add(fact.bytes());
            }
        }
    }
}

/// Bytes of a stored constant.
pub(crate) fn stored_bytes(constant: &Constant) -> u64 {
    constant.byte_len().map_or(0, |bytes| bytes as u64)
}
