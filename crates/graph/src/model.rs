//! A model: a graph and what it needs to be understood.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use modelyard_tensor::{Signature, TensorSpec};

use crate::node::Node;
use crate::{
    Attribute, AttributeValue, Constant, Limits, ReadError, SignatureError, SparseConstant, Value,
    ValueType, census, decode, proto, verify,
};

/// A parsed and verified ONNX model.
///
/// The fields are for reading. Whoever changes them calls [`Model::verified`] before handing the
/// model on.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Version of the file format.
    pub ir_version: i64,
    /// Name of the tool that wrote the file.
    pub producer: String,
    /// Version of that tool.
    pub producer_version: String,
    /// Whose model it is, in reverse-DNS notation.
    pub domain: String,
    /// The author's version number.
    pub model_version: i64,
    /// What the author wrote about it.
    pub doc: String,
    /// Operator set versions by domain; "" is ONNX's own.
    pub opsets: BTreeMap<String, i64>,
    /// The author's keys and values.
    pub metadata: BTreeMap<String, String>,
    /// Operators that the model defines itself.
    pub functions: Vec<Function>,
    /// The graph.
    pub graph: Graph,
    /// Training graphs, carried along untouched.
    pub(crate) training: Vec<proto::TrainingInfoProto>,
    /// Made by [`Model::verified`].
    pub(crate) signature: Result<Signature, SignatureError>,
}

/// Nodes and the values that flow between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The name.
    pub name: String,
    /// What its author wrote about it.
    pub doc: String,
    /// The nodes, each after those whose values it takes.
    pub nodes: Vec<Node>,
    /// What it takes; those that are also initializers have a default and are no inputs of the
    /// signature.
    pub inputs: Vec<Value>,
    /// What it gives.
    pub outputs: Vec<Value>,
    /// Constants by name: the weights.
    pub initializers: Vec<Constant>,
    /// Sparse constants.
    pub sparse_initializers: Vec<SparseConstant>,
    /// Types of values between nodes, as far as the file states them.
    pub value_info: Vec<Value>,
    /// Names of scale and zero-point tensors by tensor.
    pub quantization: Vec<Quantization>,
    /// Keys and values that tools left.
    pub metadata: Vec<(String, String)>,
}

/// How a tensor is quantized.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantization {
    /// The tensor.
    pub tensor: String,
    /// Names of other tensors by role, such as `SCALE_TENSOR`.
    pub parameters: Vec<(String, String)>,
}

/// An operator that the model defines itself, as nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    /// The operator's name.
    pub name: String,
    /// The operator's domain.
    pub domain: String,
    /// Which overload; almost always empty.
    pub overload: String,
    /// What its author wrote about it.
    pub doc: String,
    /// Names of what it takes.
    pub inputs: Vec<String>,
    /// Names of what it gives.
    pub outputs: Vec<String>,
    /// Names of attributes that the caller must give.
    pub attributes: Vec<String>,
    /// Attributes that have a default.
    pub defaults: Vec<Attribute>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Operator set versions by domain.
    pub opsets: BTreeMap<String, i64>,
    /// Types of values between nodes.
    pub value_info: Vec<Value>,
    /// Keys and values that tools left.
    pub metadata: Vec<(String, String)>,
}

impl Model {
    /// Reads a model from the bytes of an `.onnx` file. Weights share the memory of `bytes`.
    ///
    /// External data is not looked for: [`crate::file::read_file`] does that too.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Model, ReadError> {
        census::check(&bytes, limits)?;
        let message = prost::Message::decode(bytes)
            .map_err(|error: prost::DecodeError| ReadError::Malformed(error.to_string()))?;
        decode::model(message)?.verified(limits)
    }

    /// Checks the model (again) and makes its signature.
    pub fn verified(mut self, limits: &Limits) -> Result<Model, ReadError> {
        let problems = verify::problems(&self, limits);
        if !problems.is_empty() {
            return Err(ReadError::Invalid(problems));
        }
        self.signature = self.graph.signature();
        Ok(self)
    }

    /// What the model takes and gives, in the order of the file. An error when an input or
    /// output cannot travel over the protocol, such as a sequence of maps.
    pub fn signature(&self) -> Result<&Signature, SignatureError> {
        self.signature.as_ref().map_err(SignatureError::clone)
    }

    /// Version of the operator set of this domain ("" for ONNX's own).
    pub fn opset(&self, domain: &str) -> Option<i64> {
        self.opsets.get(canonical(domain)).copied()
    }

    /// All nodes: of the graph, of the graphs inside nodes, and of functions.
    pub fn nodes(&self) -> Nodes<'_> {
        let mut stack: Vec<_> =
            self.functions.iter().rev().map(|function| function.nodes.iter()).collect();
        stack.push(self.graph.nodes.iter());
        Nodes { stack }
    }

    /// All constants: initializers (the values and indices of sparse ones too) and tensor
    /// attributes, everywhere.
    pub fn constants(&self) -> impl Iterator<Item = &Constant> {
        self.graph.own_constants().chain(self.nodes().flat_map(node_constants))
    }

    /// Files beside the model that hold tensors, as the model states them: relative to its
    /// folder, each once, sorted.
    pub fn external_files(&self) -> Vec<&str> {
        let files: BTreeSet<&str> = self
            .constants()
            .filter_map(Constant::external)
            .map(|external| external.location.as_str())
            .collect();
        files.into_iter().collect()
    }
}

impl Graph {
    /// The initializer of this name.
    pub fn initializer(&self, name: &str) -> Option<&Constant> {
        self.initializers.iter().find(|constant| constant.name == name)
    }

    /// The constants of this graph itself, without those of its nodes.
    fn own_constants(&self) -> impl Iterator<Item = &Constant> {
        let sparse =
            self.sparse_initializers.iter().flat_map(|sparse| [&sparse.values, &sparse.indices]);
        self.initializers.iter().chain(sparse)
    }

    fn signature(&self) -> Result<Signature, SignatureError> {
        let initializers: BTreeSet<&str> = self
            .initializers
            .iter()
            .chain(self.sparse_initializers.iter().map(|sparse| &sparse.values))
            .map(|constant| constant.name.as_str())
            .collect();
        let inputs = self.inputs.iter().filter(|input| !initializers.contains(&*input.name));
        Ok(Signature {
            inputs: inputs.map(|input| spec("input", input)).collect::<Result<_, _>>()?,
            outputs: self
                .outputs
                .iter()
                .map(|output| spec("output", output))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn spec(role: &str, value: &Value) -> Result<TensorSpec, SignatureError> {
    if let Some((element_type, dims)) = value.value_type.as_tensor()
        && let Some(data_type) = element_type.data_type()
    {
        return Ok(TensorSpec {
            name: value.name.clone(),
            data_type,
            dims: dims.map(<[_]>::to_vec),
        });
    }
    let hint = match &value.value_type {
        ValueType::Sequence(element) if matches!(**element, ValueType::Map { .. }) => {
            "; export the model without ZipMap (skl2onnx: zipmap=False)"
        }
        _ => "",
    };
    let place = format!("{role} '{}'", value.name);
    Err(SignatureError { place, found: value.value_type.to_string(), hint })
}

/// ONNX's own domain has two names.
pub(crate) fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

/// The constants in a node's attributes, with the initializers of the graphs in them (but not
/// what is in the nodes of those).
fn node_constants(node: &Node) -> impl Iterator<Item = &Constant> {
    let direct = node.attributes.iter().flat_map(|attribute| match &attribute.value {
        AttributeValue::Tensor(tensor) => vec![tensor.as_ref()],
        AttributeValue::Tensors(tensors) => tensors.iter().collect(),
        AttributeValue::SparseTensor(sparse) => vec![&sparse.values, &sparse.indices],
        AttributeValue::SparseTensors(list) => {
            list.iter().flat_map(|sparse| [&sparse.values, &sparse.indices]).collect()
        }
        _ => Vec::new(),
    });
    direct.chain(node.subgraphs().flat_map(Graph::own_constants))
}

/// All nodes of a model, a node before those inside it. Made by [`Model::nodes`].
pub struct Nodes<'a> {
    stack: Vec<std::slice::Iter<'a, Node>>,
}

impl<'a> Iterator for Nodes<'a> {
    type Item = &'a Node;

    fn next(&mut self) -> Option<&'a Node> {
        loop {
            match self.stack.last_mut()?.next() {
                Some(node) => {
                    self.stack.extend(node.subgraphs().map(|graph| graph.nodes.iter()));
                    return Some(node);
                }
                None => self.stack.pop(),
            };
        }
    }
}
