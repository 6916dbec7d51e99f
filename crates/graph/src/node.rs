//! Nodes and their attributes.

use std::fmt;

use bytes::Bytes;

use crate::{Constant, Graph, SparseConstant, ValueType};

/// One operation of a graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The name; often empty. See [`Node::label`].
    pub name: String,
    /// Whose operator it is; empty for ONNX's own.
    pub domain: String,
    /// The operator within its domain.
    pub op_type: String,
    /// Which overload of a model-local function; almost always empty.
    pub overload: String,
    /// Names of the values it takes; empty for an optional one left out.
    pub inputs: Vec<String>,
    /// Names of the values it gives; empty for an optional one left out.
    pub outputs: Vec<String>,
    /// Its parameters, in the order of the file.
    pub attributes: Vec<Attribute>,
    /// What its author wrote about it.
    pub doc: String,
    /// Keys and values that tools left.
    pub metadata: Vec<(String, String)>,
}

/// A named parameter of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name, unique in its node.
    pub name: String,
    /// The value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum AttributeValue {
    Float(f32),
    Int(i64),
    String(Bytes),
    Tensor(Box<Constant>),
    Graph(Box<Graph>),
    SparseTensor(Box<SparseConstant>),
    Type(Box<ValueType>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Strings(Vec<Bytes>),
    Tensors(Vec<Constant>),
    Graphs(Vec<Graph>),
    SparseTensors(Vec<SparseConstant>),
    Types(Vec<ValueType>),
    /// Inside a function: the value that the caller gives to the function's attribute of this
    /// name.
    Reference {
        name: String,
        /// The number of the attribute's type in `onnx.proto`.
        kind: i32,
    },
}

impl Node {
    /// The operator: `Resize`, or `com.microsoft.Attention` outside ONNX's own domain.
    pub fn operator(&self) -> String {
        if self.domain.is_empty() {
            self.op_type.clone()
        } else {
            format!("{}.{}", self.domain, self.op_type)
        }
    }

    /// What to call it: its name, or its first output where it has none.
    pub fn label(&self) -> &str {
        if self.name.is_empty() {
            self.outputs.iter().find(|output| !output.is_empty()).map_or("", String::as_str)
        } else {
            &self.name
        }
    }

    /// Whether it is this operator of ONNX's own domain.
    pub fn is(&self, op_type: &str) -> bool {
        self.domain.is_empty() && self.op_type == op_type
    }

    /// Name of the input at `index`; `None` when it is left out.
    pub fn input(&self, index: usize) -> Option<&str> {
        self.inputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Name of the output at `index`; `None` when it is left out.
    pub fn output(&self, index: usize) -> Option<&str> {
        self.outputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|found| &found.value)
    }

    /// The integer attribute of this name.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.attribute(name)? {
            AttributeValue::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The float attribute of this name.
    pub fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name)? {
            AttributeValue::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The attribute of this name that is a list of integers.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attribute(name)? {
            AttributeValue::Ints(values) => Some(values),
            _ => None,
        }
    }

    /// The attribute of this name that is a list of floats.
    pub fn floats(&self, name: &str) -> Option<&[f32]> {
        match self.attribute(name)? {
            AttributeValue::Floats(values) => Some(values),
            _ => None,
        }
    }

    /// The string attribute of this name. `None` also when it is not UTF-8.
    pub fn string(&self, name: &str) -> Option<&str> {
        match self.attribute(name)? {
            AttributeValue::String(value) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }

    /// The tensor attribute of this name.
    pub fn tensor(&self, name: &str) -> Option<&Constant> {
        match self.attribute(name)? {
            AttributeValue::Tensor(value) => Some(value),
            _ => None,
        }
    }

    /// The graph attribute of this name.
    pub fn graph(&self, name: &str) -> Option<&Graph> {
        match self.attribute(name)? {
            AttributeValue::Graph(value) => Some(value),
            _ => None,
        }
    }

    /// The graphs inside it: branches of `If`, bodies of `Loop` and `Scan`.
    pub fn subgraphs(&self) -> impl Iterator<Item = &Graph> {
        self.attributes.iter().flat_map(|attribute| match &attribute.value {
            AttributeValue::Graph(graph) => std::slice::from_ref(graph.as_ref()),
            AttributeValue::Graphs(graphs) => graphs.as_slice(),
            _ => &[],
        })
    }

    /// The graphs inside it, to be changed.
    pub fn subgraphs_mut(&mut self) -> impl Iterator<Item = &mut Graph> {
        self.attributes.iter_mut().flat_map(|attribute| match &mut attribute.value {
            AttributeValue::Graph(graph) => std::slice::from_mut(graph.as_mut()),
            AttributeValue::Graphs(graphs) => graphs.as_mut_slice(),
            _ => &mut [],
        })
    }
}

/// `node 'conv1' (Conv)`, as errors name it.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node '{}' ({})", self.label(), self.operator())
    }
}
