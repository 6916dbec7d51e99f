//! A node that is being adapted: what its rule sees, and what it writes.

use modelyard_tensor::Dim;

use super::knowledge::Knowledge;
use crate::names::Names;
use crate::{Attribute, AttributeValue, Constant, ElementType, Node};

/// Why a node cannot be adapted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    /// Empty: the usual way out.
    pub(super) way_out: String,
}

/// A refusal for this reason, with the usual way out.
pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason: reason.into(), way_out: String::new() })
}

/// A node of one version of the operator set, on its way to the next.
pub(super) struct Site<'a> {
    /// The node: a rule changes it, or puts another one in its place.
    pub(super) node: Node,
    pub(super) knowledge: &'a Knowledge,
    pub(super) names: &'a mut Names,
    /// What comes before the node.
    pub(super) before: Vec<Node>,
    /// What comes after it.
    pub(super) after: Vec<Node>,
    pub(super) initializers: Vec<Constant>,
}

impl Site<'_> {
    /// Type of a value.
    pub(super) fn element_type(&self, name: &str) -> Result<ElementType, Refusal> {
        let written = self.initializers.iter().find(|constant| constant.name == name);
        match written.map(|constant| constant.element_type).or(self.knowledge.element_type(name)) {
            Some(element_type) => Ok(element_type),
            None => refuse(format!("the type of '{name}' is not known")),
        }
    }

    /// Number of dimensions of a value.
    pub(super) fn rank(&self, name: &str) -> Result<usize, Refusal> {
        match self.knowledge.rank(name) {
            Some(rank) => Ok(rank),
            None => refuse(format!("the number of dimensions of '{name}' is not known")),
        }
    }

    /// Dimensions of a value, where all of them are fixed.
    pub(super) fn fixed(&self, name: &str) -> Option<Vec<usize>> {
        let dims = self.knowledge.dims(name)?;
        dims.iter().map(|dim| if let Dim::Fixed(size) = dim { Some(*size) } else { None }).collect()
    }

    /// One dimension of a value, where that is fixed.
    pub(super) fn fixed_dim(&self, name: &str, axis: usize) -> Option<usize> {
        match self.knowledge.dims(name)?.get(axis)? {
            Dim::Fixed(size) => Some(*size),
            _ => None,
        }
    }

    /// The input at `index` as constant integers; `None` when it is left out.
    pub(super) fn integers(&self, index: usize) -> Result<Option<Vec<i64>>, Refusal> {
        let Some(name) = self.node.input(index) else { return Ok(None) };
        match self.knowledge.integers(name) {
            Some(values) => Ok(Some(values)),
            None => {
                refuse(format!("input '{name}' is computed at run time, and has to be a constant"))
            }
        }
    }

    /// The input at `index` as constant numbers; `None` when it is left out.
    pub(super) fn numbers(&self, index: usize) -> Result<Option<Vec<f64>>, Refusal> {
        let Some(name) = self.node.input(index) else { return Ok(None) };
        match self.knowledge.numbers(name) {
            Some(values) => Ok(Some(values)),
            None => {
                refuse(format!("input '{name}' is computed at run time, and has to be a constant"))
            }
        }
    }

    /// Name of the input at `index`, which the operator requires.
    pub(super) fn required(&self, index: usize) -> Result<String, Refusal> {
        match self.node.input(index) {
            Some(name) => Ok(name.to_owned()),
            None => refuse(format!("input {index} is left out")),
        }
    }

    /// Takes an attribute off the node.
    pub(super) fn take(&mut self, name: &str) -> Option<AttributeValue> {
        let index = self.node.attributes.iter().position(|attribute| attribute.name == name)?;
        Some(self.node.attributes.remove(index).value)
    }

    /// Takes a list of integers off the node.
    pub(super) fn take_ints(&mut self, name: &str) -> Option<Vec<i64>> {
        match self.take(name)? {
            AttributeValue::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// Gives the node an attribute, in place of one of the same name.
    pub(super) fn set(&mut self, name: &str, value: impl Into<AttributeValue>) {
        self.take(name);
        self.node.attributes.push(Attribute { name: name.into(), value: value.into() });
    }

    /// Gives the node an input, leaving out those before it that it does not have.
    pub(super) fn set_input(&mut self, index: usize, name: String) {
        if self.node.inputs.len() <= index {
            self.node.inputs.resize(index + 1, String::new());
        }
        self.node.inputs[index] = name;
    }

    /// Keeps the first `count` inputs.
    pub(super) fn keep_inputs(&mut self, count: usize) {
        self.node.inputs.truncate(count);
    }

    fn base(&self, what: &str) -> String {
        format!("{}/{what}", self.node.label())
    }

    /// Adds a constant; its name is made from the node's and its own.
    pub(super) fn constant(&mut self, mut constant: Constant) -> String {
        constant.name = self.names.unique(&self.base(&constant.name));
        let name = constant.name.clone();
        self.initializers.push(constant);
        name
    }

    /// Adds a list of integers.
    pub(super) fn ints(&mut self, what: &str, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(Constant::raw(what, ElementType::Int64, &[values.len()], bytes))
    }

    /// Adds an integer without dimensions.
    pub(super) fn int(&mut self, what: &str, value: i64) -> String {
        self.constant(Constant::raw(what, ElementType::Int64, &[], value.to_le_bytes().to_vec()))
    }

    /// Adds a number without dimensions, of this type.
    pub(super) fn scalar(
        &mut self,
        what: &str,
        element_type: ElementType,
        value: f64,
    ) -> Result<String, Refusal> {
        match number(element_type, value) {
            Some(bytes) => Ok(self.constant(Constant::raw(what, element_type, &[], bytes))),
            None => refuse(format!("a constant of type {element_type} is needed")),
        }
    }

    /// Adds a node before this one, and gives the name of its output.
    pub(super) fn add(&mut self, op_type: &str, inputs: &[&str]) -> String {
        self.add_node(Node::new(op_type, inputs, &[]))
    }

    /// Adds a node without outputs before this one, and gives the name of the output it gets.
    pub(super) fn add_node(&mut self, mut node: Node) -> String {
        let output = self.names.unique(&self.base(&node.op_type));
        node.name = self.names.unique(&format!("{output}/node"));
        node.outputs = vec![output.clone()];
        self.before.push(node);
        output
    }

    /// Puts a node in the place of this one; it gives this one's outputs.
    pub(super) fn replace(&mut self, node: Node) {
        let old = std::mem::replace(&mut self.node, node);
        self.node.name = old.name;
        self.node.outputs = old.outputs;
        self.node.doc = old.doc;
        self.node.metadata = old.metadata;
    }

    /// Puts a node in the place of this one.
    pub(super) fn replace_by(&mut self, op_type: &str, inputs: &[&str]) {
        self.replace(Node::new(op_type, inputs, &[]));
    }

    /// The output at `index` is `value`, which was written before; the node itself gives it no more.
    pub(super) fn also(&mut self, index: usize, value: &str) {
        if let Some(name) = self.node.output(index).map(str::to_owned) {
            let mut node = Node::new("Identity", &[value], &[&name]);
            node.name = self.names.unique(&format!("{name}/node"));
            self.after.push(node);
            self.node.outputs[index].clear();
        }
        while self.node.outputs.last().is_some_and(String::is_empty) {
            self.node.outputs.pop();
        }
    }

    /// The output at `index` is what `node`, which comes without inputs and outputs, makes of what
    /// this node gives.
    pub(super) fn pass_output(&mut self, index: usize, node: Node) {
        let Some(name) = self.node.output(index).map(str::to_owned) else { return };
        let inner = self.names.unique(&self.base(&format!("output.{index}")));
        self.node.outputs[index].clone_from(&inner);
        let mut node = node;
        node.name = self.names.unique(&format!("{inner}/node"));
        node.inputs.insert(0, inner);
        node.outputs = vec![name];
        self.after.push(node);
    }
}

/// The little-endian bytes of a number.
pub(super) fn number(element_type: ElementType, value: f64) -> Option<Vec<u8>> {
    Some(match element_type {
        ElementType::Float32 => (value as f32).to_le_bytes().to_vec(),
        ElementType::Float64 => value.to_le_bytes().to_vec(),
        ElementType::Float16 => half::f16::from_f64(value).to_le_bytes().to_vec(),
        ElementType::Bfloat16 => half::bf16::from_f64(value).to_le_bytes().to_vec(),
        ElementType::Int8 => (value as i8).to_le_bytes().to_vec(),
        ElementType::Int16 => (value as i16).to_le_bytes().to_vec(),
        ElementType::Int32 => (value as i32).to_le_bytes().to_vec(),
        ElementType::Int64 => (value as i64).to_le_bytes().to_vec(),
        ElementType::Uint8 => (value as u8).to_le_bytes().to_vec(),
        ElementType::Uint16 => (value as u16).to_le_bytes().to_vec(),
        ElementType::Uint32 => (value as u32).to_le_bytes().to_vec(),
        ElementType::Uint64 => (value as u64).to_le_bytes().to_vec(),
        ElementType::Bool => vec![u8::from(value != 0.0)],
        _ => return None,
    })
}
