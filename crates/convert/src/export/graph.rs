//! A graph on its way to another format: read node by node, written anew.

use std::collections::{HashMap, HashSet};

use modelyard_graph::{Constant, ElementType, Graph, Model, Node, Value, ValueType};
use modelyard_tensor::Dim;

use crate::Missing;

/// Domain of operators that were refused: they stay where they were, with the types of what they
/// gave, so that all that is missing behind them is found too.
pub(crate) const REFUSED: &str = "modelyard.refused";

/// What is known of the values of a model.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    types: HashMap<String, ValueType>,
    constants: HashMap<String, Constant>,
}

impl Facts {
    /// Of the outermost graph of `model`, as far as it can be inferred.
    pub(crate) fn of(model: &Model) -> Facts {
        let constants = model.graph.initializers.iter();
        let mut types = model.types();
        for value in model.graph.inputs.iter().chain(&model.graph.outputs) {
            types.entry(value.name.clone()).or_insert_with(|| value.value_type.clone());
        }
        let is_known = |name: &String| name.is_empty() || types.contains_key(name);
        if !model.graph.nodes.iter().flat_map(|node| &node.outputs).all(is_known) {
            for (name, value_type) in tried(model) {
                types.entry(name).or_insert(value_type);
            }
        }
        // Where sizes cannot be followed, the number of dimensions often can.
        for (name, kind) in model.kinds() {
            types.entry(name).or_insert_with(|| ValueType::Tensor {
                element_type: kind.element_type,
                dims: Some(vec![Dim::Free; kind.rank]),
            });
        }
        let constants =
            constants.map(|constant| (constant.name.clone(), constant.clone())).collect();
        Facts { types, constants }
    }

    /// Dimensions of a value, open ones included; `None` when not even the rank is known.
    pub(crate) fn dims(&self, name: &str) -> Option<Vec<Dim>> {
        if let Some(constant) = self.constants.get(name) {
            return Some(constant.dims.iter().map(|&size| Dim::Fixed(size)).collect());
        }
        self.types.get(name)?.as_tensor()?.1.map(<[Dim]>::to_vec)
    }

    /// Sizes of a value of which none is open.
    pub(crate) fn sizes(&self, name: &str) -> Option<Vec<usize>> {
        self.dims(name)?.iter().map(fixed).collect()
    }

    /// Number of dimensions.
    pub(crate) fn rank(&self, name: &str) -> Option<usize> {
        self.dims(name).map(|dims| dims.len())
    }

    /// What a value is made of.
    pub(crate) fn element_type(&self, name: &str) -> Option<ElementType> {
        match self.constants.get(name) {
            Some(constant) => Some(constant.element_type),
            None => Some(self.types.get(name)?.as_tensor()?.0),
        }
    }

    /// The constant of this name.
    pub(crate) fn constant(&self, name: &str) -> Option<&Constant> {
        self.constants.get(name)
    }

    /// The constant that input `slot` of a node is.
    pub(crate) fn constant_input(&self, node: &Node, slot: usize) -> Option<&Constant> {
        self.constant(node.input(slot)?)
    }

    /// The integers that input `slot` of a node is: axes, sizes, pads.
    pub(crate) fn integers(&self, node: &Node, slot: usize) -> Option<Vec<i64>> {
        /// Longer lists are no axes or sizes.
        const MOST: usize = 1 << 16;
        self.constant_input(node, slot)?.integers(MOST)
    }

    /// The floats that input `slot` of a node is.
    pub(crate) fn floats(&self, node: &Node, slot: usize) -> Option<Vec<f32>> {
        floats(self.constant_input(node, slot)?)
    }

    /// The only number that input `slot` of a node is, of whatever type.
    pub(crate) fn number(&self, node: &Node, slot: usize) -> Option<f64> {
        let constant = self.constant_input(node, slot).filter(|one| one.elements() == Some(1))?;
        if let Some(values) = floats(constant) {
            return values.first().map(|&value| value.into());
        }
        match constant.element_type {
            ElementType::Int8 => constant.bytes()?.first().map(|&byte| f64::from(byte as i8)),
            _ => constant.integers(1)?.first().map(|&value| value as f64),
        }
    }
}

/// The types of values for images that are large: windows of deep networks do not fit into the small
/// ones for which sizes are followed else. What differs between two such images stays open.
fn tried(model: &Model) -> HashMap<String, ValueType> {
    let [one, two] = [96, 160].map(|step| sized(model, step).types());
    let agreed = |(name, found): (String, ValueType)| {
        let (element_type, dims) = found.as_tensor()?;
        let (other_type, others) = two.get(&name)?.as_tensor()?;
        let (dims, others) = (dims?, others?);
        if element_type != other_type || dims.len() != others.len() {
            return None;
        }
        let both = |(dim, other): (&Dim, &Dim)| if dim == other { dim.clone() } else { Dim::Free };
        let dims = dims.iter().zip(others).map(both).collect();
        Some((name, ValueType::Tensor { element_type, dims: Some(dims) }))
    };
    one.into_iter().filter_map(agreed).collect()
}

/// The same model for inputs of sizes that are multiples of `step`: the open ones, each another, those
/// of one symbol the same.
fn sized(model: &Model, step: usize) -> Model {
    let mut model = model.clone();
    let mut symbols: HashMap<String, usize> = HashMap::new();
    let mut count = 5;
    let mut next = || {
        count += 1;
        step * count
    };
    for input in &mut model.graph.inputs {
        let ValueType::Tensor { dims: Some(dims), .. } = &mut input.value_type else { continue };
        for dim in dims.iter_mut() {
            *dim = Dim::Fixed(match dim {
                Dim::Fixed(size) => *size,
                Dim::Symbol(name) => *symbols.entry(name.clone()).or_insert_with(&mut next),
                Dim::Free => next(),
            });
        }
    }
    model
}

/// The size, where it is one.
pub(crate) fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(size) => Some(*size),
        _ => None,
    }
}

/// The elements of a constant of floats.
pub(crate) fn floats(constant: &Constant) -> Option<Vec<f32>> {
    let bytes = constant.bytes()?;
    match constant.element_type {
        ElementType::Float32 => {
            Some(bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item)).collect())
        }
        ElementType::Float16 => {
            let chunks = bytes.as_chunks().0.iter();
            Some(chunks.map(|&item| half::f16::from_le_bytes(item).to_f32()).collect())
        }
        _ => None,
    }
}

/// An axis counted from the front; negative ones count from the back.
pub(crate) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&axis).then_some(axis as usize)
}

/// The number of elements of these sizes, if that many may be made on the way: what a model says of
/// its sizes costs its author nothing.
pub(crate) fn makeable(sizes: &[usize]) -> Option<usize> {
    /// More than any mask, table of factors or spread kernel has.
    const MOST: usize = 1 << 26;
    let count = sizes.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
    (count <= MOST).then_some(count)
}

/// A model that is written anew, node by node.
#[derive(Debug)]
pub(crate) struct Rewriting {
    /// Of the model as it was.
    pub(crate) facts: Facts,
    graph: Graph,
    taken: HashSet<String>,
    /// How often a base of a name was asked for.
    counts: HashMap<String, usize>,
    /// The name that the node in hand is known by.
    label: String,
    missing: Vec<Missing>,
}

/// What becomes of a node: written into the [`Rewriting`], or given back to stay as it is.
pub(crate) type Rule = fn(&mut Rewriting, Node) -> Option<Node>;

/// Writes a model anew: `rule` sees each node of the outermost graph in turn.
pub(crate) fn rewrite(
    mut model: Model,
    missing: &mut Vec<Missing>,
    mut rule: impl FnMut(&mut Rewriting, Node) -> Option<Node>,
) -> Model {
    let mut rewriting = Rewriting::new(&mut model);
    for node in std::mem::take(&mut rewriting.graph.nodes) {
        rewriting.label = node.label().to_owned();
        let (known, written) = (rewriting.missing.len(), rewriting.graph.nodes.len());
        let whole = node.clone();
        let kept = rule(&mut rewriting, node);
        if rewriting.missing.len() > known {
            rewriting.graph.nodes.truncate(written);
            rewriting.graph.nodes.push(whole.in_domain(REFUSED));
        } else {
            rewriting.graph.nodes.extend(kept);
        }
    }
    missing.append(&mut rewriting.missing);
    rewriting.graph.value_info = rewriting.refused_types();
    model.graph = rewriting.graph;
    model.with_opset(REFUSED, 1)
}

impl Rewriting {
    fn new(model: &mut Model) -> Rewriting {
        let facts = Facts::of(model);
        let graph = std::mem::take(&mut model.graph);
        let mut taken: HashSet<String> = graph.inputs.iter().map(|one| one.name.clone()).collect();
        taken.extend(graph.initializers.iter().map(|constant| constant.name.clone()));
        for node in &graph.nodes {
            taken.insert(node.name.clone());
            taken.extend(node.inputs.iter().chain(&node.outputs).cloned());
        }
        Rewriting {
            facts,
            graph,
            taken,
            counts: HashMap::new(),
            label: String::new(),
            missing: Vec::new(),
        }
    }

    /// The types of what refused operators gave: nothing else says them any more.
    fn refused_types(&self) -> Vec<Value> {
        let refused = self.graph.nodes.iter().filter(|node| node.domain == REFUSED);
        let stated = |name: &String| {
            let value_type = self.facts.types.get(name)?.clone();
            Some(Value { name: name.clone(), value_type })
        };
        refused.flat_map(|node| &node.outputs).filter_map(stated).collect()
    }

    /// Notes that something of the node in hand has no counterpart. Writing goes on, so that all
    /// that is missing is found.
    pub(crate) fn refuse(
        &mut self,
        node: &Node,
        reason: impl Into<String>,
        way_out: impl Into<String>,
    ) {
        self.missing.push(missing(node, reason, way_out));
    }

    fn unique(&mut self, base: &str) -> String {
        let base = format!("{}/{base}", self.label);
        let count = self.counts.entry(base.clone()).or_insert(0);
        loop {
            let name = if *count == 0 { base.clone() } else { format!("{base}_{count}") };
            *count += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }

    /// Adds a node, which comes without outputs, and gives the name of its only output.
    pub(crate) fn add(&mut self, node: Node) -> String {
        let output = self.unique(&node.op_type);
        self.add_as(node, &output);
        output
    }

    /// Adds a node, which comes without outputs, that gives the value of this name.
    pub(crate) fn add_as(&mut self, mut node: Node, output: &str) {
        if node.name.is_empty() {
            node.name = self.unique(&format!("{}/node", node.op_type));
        }
        node.outputs = vec![output.to_owned()];
        self.graph.nodes.push(node);
    }

    /// Adds a node as it is.
    pub(crate) fn keep(&mut self, node: Node) {
        self.graph.nodes.push(node);
    }

    /// Adds a node that has several outputs, which are already named.
    pub(crate) fn fresh(&mut self, base: &str) -> String {
        self.unique(base)
    }

    /// Adds a constant, named below the node in hand.
    pub(crate) fn constant(&mut self, mut constant: Constant) -> String {
        constant.name = self.unique(&constant.name);
        let name = constant.name.clone();
        self.graph.initializers.push(constant);
        name
    }

    /// Adds a constant of floats.
    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        self.constant(Constant::floats(name, dims, values))
    }

    /// Adds a list of 64-bit integers: axes, sizes, pads.
    pub(crate) fn integers(&mut self, name: &str, values: &[i64]) -> String {
        self.constant(integers(name, &[values.len()], values))
    }
}

/// A constant of 64-bit integers.
pub(crate) fn integers(name: &str, dims: &[usize], values: &[i64]) -> Constant {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Constant::raw(name, ElementType::Int64, dims, bytes)
}

/// Something of a node that has no counterpart.
pub(crate) fn missing(
    node: &Node,
    reason: impl Into<String>,
    way_out: impl Into<String>,
) -> Missing {
    let operator = match node.domain.as_str() {
        modelyard_graph::CHANNELS_LAST => node.op_type.clone(),
        _ => node.operator(),
    };
    let place = node.label().to_owned();
    Missing { operator, place, reason: reason.into(), way_out: way_out.into() }
}

/// A node of ONNX's own domain without outputs and name yet.
pub(crate) fn node<S: AsRef<str>>(op_type: &str, inputs: &[S]) -> Node {
    let inputs: Vec<&str> = inputs.iter().map(AsRef::as_ref).collect();
    Node::new(op_type, &inputs, &[])
}
