//! Models made in code, for tests and converters.

use std::collections::BTreeMap;

use modelyard_tensor::{Dim, Signature};

use crate::{
    Attribute, AttributeValue, Constant, ElementType, Function, Graph, Limits, Model, Node,
    ReadError, Value, ValueType,
};

/// Version of the file format that built models state: what every runtime of the last years
/// reads.
const IR_VERSION: i64 = 8;

/// Operator set version of ONNX that built models state.
const OPSET: i64 = 17;

/// Makes a [`Graph`] step by step.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// An empty graph of this name.
    pub fn new(name: &str) -> GraphBuilder {
        GraphBuilder { graph: Graph { name: name.into(), ..Graph::default() } }
    }

    /// Adds an input.
    pub fn input(mut self, name: &str, element_type: impl Into<ElementType>, dims: &[Dim]) -> Self {
        let value_type = ValueType::tensor(element_type, dims);
        self.graph.inputs.push(Value { name: name.into(), value_type });
        self
    }

    /// Adds an output.
    pub fn output(
        mut self,
        name: &str,
        element_type: impl Into<ElementType>,
        dims: &[Dim],
    ) -> Self {
        let value_type = ValueType::tensor(element_type, dims);
        self.graph.outputs.push(Value { name: name.into(), value_type });
        self
    }

    /// Adds an initializer.
    pub fn initializer(mut self, constant: Constant) -> Self {
        self.graph.initializers.push(constant);
        self
    }

    /// Adds an initializer of floats.
    pub fn floats(self, name: &str, dims: &[usize], values: &[f32]) -> Self {
        self.initializer(Constant::floats(name, dims, values))
    }

    /// Adds an initializer of 64-bit integers.
    pub fn integers(self, name: &str, dims: &[usize], values: &[i64]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.initializer(Constant::raw(name, ElementType::Int64, dims, bytes))
    }

    /// Adds a node.
    pub fn node(mut self, node: Node) -> Self {
        self.graph.nodes.push(node);
        self
    }

    /// The graph, not yet verified.
    pub fn build(self) -> Graph {
        self.graph
    }

    /// A model of this graph with a usual opset, not yet verified: see [`Model::verified`].
    pub fn model(self) -> Model {
        Model::unverified(self.graph)
    }
}

/// Goes on with a graph that exists.
impl From<Graph> for GraphBuilder {
    fn from(graph: Graph) -> Self {
        GraphBuilder { graph }
    }
}

impl Node {
    /// A node of ONNX's own domain, named after its first output.
    pub fn new(op_type: &str, inputs: &[&str], outputs: &[&str]) -> Node {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Node {
            name: outputs.first().map_or(String::new(), |output| format!("{op_type}_{output}")),
            op_type: op_type.into(),
            inputs: owned(inputs),
            outputs: owned(outputs),
            ..Node::default()
        }
    }

    /// The same node in another domain.
    pub fn in_domain(mut self, domain: &str) -> Node {
        self.domain = domain.into();
        self
    }

    /// The same node with one more attribute.
    pub fn with(mut self, name: &str, value: impl Into<AttributeValue>) -> Node {
        self.attributes.push(Attribute { name: name.into(), value: value.into() });
        self
    }
}

impl Constant {
    /// A constant of floats.
    pub fn floats(name: &str, dims: &[usize], values: &[f32]) -> Constant {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Constant::raw(name, ElementType::Float32, dims, bytes)
    }
}

impl Model {
    /// A model of `graph`. Has no signature before [`Model::verified`].
    pub fn unverified(graph: Graph) -> Model {
        Model {
            ir_version: IR_VERSION,
            producer: "modelyard".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            domain: String::new(),
            model_version: 0,
            doc: String::new(),
            opsets: BTreeMap::from([(String::new(), OPSET)]),
            metadata: BTreeMap::new(),
            functions: Vec::new(),
            graph,
            training: Vec::new(),
            signature: Ok(Signature::default()),
        }
    }

    /// The same model with this version of an operator set.
    pub fn with_opset(mut self, domain: &str, version: i64) -> Model {
        self.opsets.insert(crate::model::canonical(domain).to_owned(), version);
        self
    }

    /// The same model with one more function.
    pub fn with_function(mut self, function: Function) -> Model {
        self.functions.push(function);
        self
    }

    /// Checks the model against the default limits. See [`Model::verified`].
    pub fn check(self) -> Result<Model, ReadError> {
        self.verified(&Limits::default())
    }
}

impl From<i64> for AttributeValue {
    fn from(value: i64) -> Self {
        AttributeValue::Int(value)
    }
}

impl From<f32> for AttributeValue {
    fn from(value: f32) -> Self {
        AttributeValue::Float(value)
    }
}

impl From<&str> for AttributeValue {
    fn from(value: &str) -> Self {
        AttributeValue::String(value.to_owned().into())
    }
}

impl From<&[i64]> for AttributeValue {
    fn from(values: &[i64]) -> Self {
        AttributeValue::Ints(values.to_vec())
    }
}

impl<const N: usize> From<[i64; N]> for AttributeValue {
    fn from(values: [i64; N]) -> Self {
        AttributeValue::Ints(values.to_vec())
    }
}

impl From<Constant> for AttributeValue {
    fn from(value: Constant) -> Self {
        AttributeValue::Tensor(Box::new(value))
    }
}

impl From<Graph> for AttributeValue {
    fn from(value: Graph) -> Self {
        AttributeValue::Graph(Box::new(value))
    }
}
