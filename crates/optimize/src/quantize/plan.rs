//! Which nodes compute with integers, and which tensors are integers for that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use modelyard_graph::{ElementType, Model, Node, ValueType};

use super::Options;
use super::options::usual_operators;
use super::roles::{Role, role};
use crate::OptimizeError;
use crate::links::{Links, types};

/// A table with fewer numbers is not worth it.
const SMALLEST_TABLE: usize = 1024;

/// Which nodes compute with integers, and which tensors are integers for that.
#[derive(Debug)]
pub struct Plan {
    /// Numbers of nodes that take integers.
    pub(crate) nodes: BTreeSet<usize>,
    /// By tensor that is quantized: the tensor whose range it has.
    pub(super) tensors: BTreeMap<String, String>,
    /// Nodes of the operators to quantize that stay as they are, with the reason.
    pub kept: Vec<Kept>,
}

/// A node that stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// Why.
    pub reason: String,
}

impl Kept {
    pub(super) fn new(node: &Node, reason: &str) -> Kept {
        let (node, operator) = (node.label().to_owned(), node.operator());
        Kept { node, operator, reason: reason.to_owned() }
    }

    /// Nodes inside of other nodes and of functions: all of them stay as they are.
    pub(super) fn inside(
        model: &Model,
        options: &Options,
        operators: &BTreeSet<String>,
    ) -> Vec<Kept> {
        let own: HashSet<*const Node> = model.graph.nodes.iter().map(std::ptr::from_ref).collect();
        let inner = model.nodes().filter(|node| !own.contains(&std::ptr::from_ref(*node)));
        let wanted = inner.filter(|node| options.refusal(node, operators).is_none());
        wanted.map(|node| Kept::new(node, "it is inside of control flow or a function")).collect()
    }
}

impl Plan {
    /// Plans the quantization of the main graph of a model with operator set 13 or newer.
    ///
    /// An error where the model is quantized already, or nothing in it can be.
    pub fn new(model: &Model, options: &Options) -> Result<Plan, OptimizeError> {
        refuse_quantized(model)?;
        let mut planner = Planner {
            links: Links::of(&model.graph),
            types: types(model),
            options,
            operators: options.operators.clone().unwrap_or_else(|| usual_operators(model)),
            integers: HashSet::new(),
            plan: Plan { nodes: BTreeSet::new(), tensors: BTreeMap::new(), kept: Vec::new() },
        };
        for (number, node) in model.graph.nodes.iter().enumerate() {
            planner.visit(number, node);
        }
        let Planner { mut plan, operators, .. } = planner;
        plan.kept.extend(Kept::inside(model, options, &operators));
        if plan.nodes.is_empty() {
            let reasons: BTreeSet<&str> = plan.kept.iter().map(|kept| &*kept.reason).collect();
            let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
            return Err(OptimizeError::Nothing(match reasons.as_str() {
                "" => "the model has no nodes of operators that can be quantized".to_owned(),
                reasons => format!("no node can be quantized ({reasons})"),
            }));
        }
        Ok(plan)
    }

    /// All tensors whose ranges any plan of this model may need, whatever nodes it leaves out.
    pub fn possible(model: &Model, options: &Options) -> Vec<String> {
        let links = Links::of(&model.graph);
        let types = types(model);
        let operators = options.operators.clone().unwrap_or_else(|| usual_operators(model));
        let is_float = |name: &str| {
            let stated = types.get(name).and_then(ValueType::as_tensor);
            stated.is_some_and(|(found, _)| found == ElementType::Float32)
        };
        let mut tensors = BTreeSet::new();
        for node in &model.graph.nodes {
            let is_wanted = match role(node, &links) {
                Ok(Role::Moves | Role::Clamps) => true,
                Ok(_) => operators.contains(&node.op_type),
                Err(_) => false,
            };
            let names = node.inputs.iter().chain(&node.outputs).filter(|_| is_wanted);
            let names = names.filter(|name| links.constant(name).is_none() && is_float(name));
            tensors.extend(names.cloned());
        }
        tensors.into_iter().collect()
    }

    /// The tensors whose ranges are needed.
    pub fn observed(&self) -> Vec<&str> {
        let sources: BTreeSet<&str> = self.tensors.values().map(String::as_str).collect();
        sources.into_iter().collect()
    }
}

/// Whether a model holds operators of small integers.
pub fn is_quantized(model: &Model) -> bool {
    model.nodes().any(|node| {
        let operator = node.op_type.as_str();
        operator.starts_with("QLinear")
            || operator.ends_with("Integer")
            || matches!(operator, "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear")
            || matches!(operator, "MatMulNBits" | "DynamicQuantizeMatMul" | "QAttention" | "QGemm")
    })
}

pub(crate) fn refuse_quantized(model: &Model) -> Result<(), OptimizeError> {
    if is_quantized(model) {
        return Err(OptimizeError::Invalid(
            "the model is quantized already: start from the model of floats it was made of".into(),
        ));
    }
    Ok(())
}

struct Planner<'a> {
    links: Links<'a>,
    types: HashMap<String, ValueType>,
    options: &'a Options,
    operators: BTreeSet<String>,
    /// Tensors that come as integers from a node.
    integers: HashSet<&'a str>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn visit(&mut self, number: usize, node: &'a Node) {
        let role = role(node, &self.links);
        if matches!(role, Ok(Role::Moves | Role::Clamps)) {
            return;
        }
        if let Some(reason) = self.options.refusal(node, &self.operators) {
            if reason == "excluded" {
                self.keep(node, reason);
            }
            return;
        }
        let done = role.and_then(|role| match role {
            Role::Weighted(weighted) => self.weighted(number, node, weighted.input),
            Role::Table => self.table(number, node),
            Role::Product if self.options.products => self.elementwise(number, node, true),
            Role::Product => Err("products of two activations were not asked for"),
            Role::Elementwise => self.elementwise(number, node, false),
            Role::Moves | Role::Clamps => Ok(()),
        });
        if let Err(reason) = done {
            self.keep(node, reason);
        }
    }

    fn weighted(
        &mut self,
        number: usize,
        node: &'a Node,
        input: &'a str,
    ) -> Result<(), &'static str> {
        self.is_float(input).then_some(()).ok_or("its input is not known to be floats")?;
        self.require(input);
        if node.op_type.starts_with("Conv") {
            self.give(node)?;
        } else if let Some(output) = node.output(0) {
            // Integers only where somebody wants them: sums of 32 bits become floats as cheaply.
            self.integers.insert(self.settled(output));
        }
        self.plan.nodes.insert(number);
        Ok(())
    }

    fn table(&mut self, number: usize, node: &Node) -> Result<(), &'static str> {
        let table = node.input(0).and_then(|name| self.links.constant(name));
        let size = table.and_then(|table| table.elements()).unwrap_or(0);
        if node.int("axis").unwrap_or(0) != 0 || table.is_none_or(|table| table.dims.len() < 2) {
            return Err("it does not pick rows of a table");
        }
        if size < SMALLEST_TABLE {
            return Err("its table is small");
        }
        self.plan.nodes.insert(number);
        Ok(())
    }

    /// Where none of the inputs comes as integers, nothing would be won.
    fn elementwise(
        &mut self,
        number: usize,
        node: &'a Node,
        always: bool,
    ) -> Result<(), &'static str> {
        let inputs: Vec<&'a str> = node.inputs.iter().map(String::as_str).collect();
        let is_constant = |name: &&str| self.links.constant(name).is_some();
        let (constants, activations): (Vec<&str>, Vec<&str>) =
            inputs.into_iter().filter(|name| !name.is_empty()).partition(is_constant);
        if !always && !activations.iter().any(|name| self.comes_as_integers(name)) {
            return Err("none of its inputs comes as integers");
        }
        let is_float = |name: &&str| self.is_float(name);
        if !activations.iter().all(is_float) || !constants.iter().all(is_float) {
            return Err("its inputs are not known to be floats");
        }
        activations.into_iter().for_each(|name| self.require(name));
        self.give(node)?;
        self.plan.nodes.insert(number);
        Ok(())
    }

    /// The output of a node is to be integers.
    fn give(&mut self, node: &'a Node) -> Result<(), &'static str> {
        let output = node.output(0).ok_or("it has no output")?;
        let settled = self.settled(output);
        self.integers.insert(settled);
        if !self.links.is_output(settled) {
            self.plan.tensors.insert(settled.to_owned(), settled.to_owned());
        }
        Ok(())
    }

    /// What a value is after an activation that quantization does by itself.
    fn settled(&self, output: &'a str) -> &'a str {
        if self.options.activations.symmetric {
            return output;
        }
        let user = self.links.only_user(output).map(|user| &self.links.graph.nodes[user]);
        match user {
            Some(user) if matches!(role(user, &self.links), Ok(Role::Clamps)) => {
                user.output(0).unwrap_or(output)
            }
            _ => output,
        }
    }

    /// A tensor is needed as integers: those that only moved are so before, too.
    fn require(&mut self, name: &'a str) {
        if self.plan.tensors.contains_key(name) {
            return;
        }
        if let Some(number) = self.links.producer(name)
            && let Some(input) = self.moved(number)
        {
            self.require(input);
            self.plan.nodes.insert(number);
            let source = self.plan.tensors[input].clone();
            self.plan.tensors.insert(name.to_owned(), source);
        } else {
            self.plan.tensors.insert(name.to_owned(), name.to_owned());
        }
    }

    /// What a node moves, if it moves what is integers.
    fn moved(&self, number: usize) -> Option<&'a str> {
        let node = &self.links.graph.nodes[number];
        let input = node.input(0)?;
        let moves = matches!(role(node, &self.links), Ok(Role::Moves));
        (moves && self.comes_as_integers(input)).then_some(input)
    }

    fn comes_as_integers(&self, name: &str) -> bool {
        if self.integers.contains(name) || self.plan.tensors.contains_key(name) {
            return true;
        }
        let producer = self.links.producer(name).map(|number| &self.links.graph.nodes[number]);
        producer.is_some_and(|node| {
            matches!(role(node, &self.links), Ok(Role::Moves))
                && node.input(0).is_some_and(|input| self.comes_as_integers(input))
        })
    }

    fn is_float(&self, name: &str) -> bool {
        let stated = |name: &str| self.types.get(name).and_then(ValueType::as_tensor);
        match self.links.constant(name) {
            Some(constant) => constant.element_type == ElementType::Float32,
            None => stated(name).is_some_and(|(found, _)| found == ElementType::Float32),
        }
    }

    fn keep(&mut self, node: &Node, reason: &str) {
        self.plan.kept.push(Kept::new(node, reason));
    }
}
