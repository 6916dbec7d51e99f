//! PyTorch programs as a typed graph: what every producer fills and every consumer reads.
//!
//! Producers are the reader of `.pt2` files, that of TorchScript, and templates of architectures for
//! files that hold only weights. Consumers are the conversion to ONNX and the evaluator. A program
//! is a list of calls of ATen operators, each naming the values that it takes and gives; nothing in
//! it is executable code.
//!
//! A producer by hand looks like this:
//!
//! ```text
//! let mut program = Program::new("torchvision");
//! program.parameter("conv1.weight", weight);
//! program.input("x", Meta::tensor(ElementType::Float32, &[Size::symbol("batch"), 3.into(), 224.into(), 224.into()]));
//! program.graph.call("aten.conv2d.default", &["x".into(), "conv1.weight".into(), Argument::None, ints(&[2, 2]), ints(&[3, 3])], "conv1");
//! program.graph.call("aten.relu_.default", &["conv1".into()], "relu");
//! program.output("relu", "relu");
//! ```
//!
//! The conversion needs the type and shape of each value ([`Graph::values`]).

use std::collections::{BTreeMap, HashMap};

use modelyard_graph::ElementType;

use super::weight::Weight;

/// A whole program: a graph, what its inputs and outputs stand for, and its weights.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// Who wrote it, such as `PyTorch 2.15.0`.
    pub(crate) producer: String,
    /// The calls.
    pub(crate) graph: Graph,
    /// What each of [`Graph::inputs`] stands for, in the same order.
    pub(crate) inputs: Vec<InputKind>,
    /// What each of [`Graph::outputs`] stands for, in the same order.
    pub(crate) outputs: Vec<OutputKind>,
    /// Parameters, buffers and constants by their names in the module, such as `layer1.0.weight`.
    pub(crate) weights: BTreeMap<String, Weight>,
    /// Sizes that are free, by symbol, and the range of each.
    pub(crate) symbols: BTreeMap<String, Range>,
    /// Conditions on the inputs that the exporter relied on, as it wrote them.
    pub(crate) guards: Vec<String>,
    /// Sizes to try symbols with, where not any will do.
    pub(crate) tried: BTreeMap<String, usize>,
    /// What the reader should know.
    pub(crate) notes: Vec<String>,
}

/// Calls in order, with the values that flow between them. Also the body of a branch or loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Graph {
    /// Names of the values it takes.
    pub(crate) inputs: Vec<String>,
    /// The calls, each after those whose values it takes.
    pub(crate) nodes: Vec<Node>,
    /// What it gives: values, or numbers that do not depend on the inputs.
    pub(crate) outputs: Vec<Argument>,
    /// What is known of each value, by name. Names are unique in a graph.
    pub(crate) values: HashMap<String, Meta>,
}

/// One call of an operator.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Node {
    /// Its name, for people; unique as far as the producer can make it.
    pub(crate) name: String,
    /// Which operator: namespace, name and overload, such as `aten.add_.Tensor`; an operation on
    /// Python numbers as `operator.floordiv`; a higher-order operator as `higher_order.cond`.
    /// Where the producer does not know the overload it may leave it out.
    pub(crate) target: String,
    /// What it is called with, in order.
    pub(crate) arguments: Vec<Named>,
    /// Names of the values it gives. An operator with several results (or a list as its result)
    /// gives as many names; an empty name is not used by anybody.
    pub(crate) outputs: Vec<String>,
}

/// An argument and the name that the operator's schema has for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Named {
    /// The name, such as `dim`; empty where only its position counts. Arguments with names may
    /// come in any order after those without, and defaults may be left out.
    pub(crate) name: String,
    /// The argument.
    pub(crate) value: Argument,
}

/// What an operator is called with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Argument {
    /// An optional argument left out.
    None,
    /// A value of the graph: a tensor or a symbolic number, as its [`Meta`] says.
    Value(String),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A text, such as the padding `same` or the mode `reflect`.
    String(String),
    /// A type of elements.
    Type(ElementType),
    /// A device, such as `cpu`. Means nothing here.
    Device(String),
    /// How elements lie in memory: `strided`, `channels_last`. Means nothing here.
    Layout(String),
    /// Several of these: sizes, indices, tensors.
    List(Vec<Argument>),
    /// The body of a branch or loop.
    Graph(Box<Graph>),
    /// Something that has no counterpart here; named as errors should say it.
    Other(String),
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meta {
    /// A tensor of elements of this type, with these sizes, outermost first.
    Tensor(ElementType, Vec<Size>),
    /// A whole number, such as the size of a dimension.
    Int(Size),
    /// A number.
    Float,
    /// A truth value.
    Bool,
    /// Something that has no counterpart here; named as errors should say it.
    Other(String),
}

/// A size or another whole number: known, or an expression over the symbols.
///
/// Two that are equal are the same number whatever the symbols stand for; two that are not may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Size {
    /// This number.
    Known(i64),
    /// A free size by its symbol.
    Symbol(String),
    /// An expression over the symbols, as the producer wrote it.
    Expression(String),
    /// Nothing is known of it. Equal to itself only by accident, so never rely on that: see
    /// [`Size::same`].
    Unknown,
}

/// Which numbers a symbol stands for, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The smallest.
    pub(crate) min: i64,
    /// The largest; `None` where there is no bound.
    pub(crate) max: Option<i64>,
}

/// What an input of the graph stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InputKind {
    /// What the caller gives; it becomes an input of the converted model under the value's name.
    User,
    /// A parameter by its name in [`Program::weights`].
    Parameter(String),
    /// A buffer (weight that is not trained) by its name in [`Program::weights`].
    Buffer(String),
    /// A tensor that the code made, by its name in [`Program::weights`].
    Constant(String),
    /// A Python value that was fixed when the program was exported: a number, text or nothing.
    Fixed(Argument),
    /// Something that has no counterpart here; named as errors should say it.
    Other(String),
}

/// What an output of the graph stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OutputKind {
    /// What the caller gets, under this name.
    User(String),
    /// The new value of a buffer of this name.
    BufferMutation(String),
    /// The new value of the input of this name, which the code changed in place.
    InputMutation(String),
    /// Nothing that inference has: a gradient, a token.
    Ignored,
}

impl Program {
    /// An empty program by this producer.
    pub(crate) fn new(producer: &str) -> Program {
        Program { producer: producer.into(), ..Program::default() }
    }

    /// Adds an input that the caller gives.
    pub(crate) fn input(&mut self, name: &str, meta: Meta) {
        self.add_input(name, InputKind::User, meta);
    }

    /// Adds a parameter; its value has the same name.
    pub(crate) fn parameter(&mut self, name: &str, weight: Weight) {
        self.add_weight(name, InputKind::Parameter(name.into()), name, weight);
    }

    /// Adds a parameter, buffer or constant as the value `value`. `kind` names it as `weight_name`.
    pub(crate) fn add_weight(
        &mut self,
        value: &str,
        kind: InputKind,
        weight_name: &str,
        weight: Weight,
    ) {
        let sizes: Vec<Size> = weight.sizes().iter().map(|&size| size.into()).collect();
        self.add_input(value, kind, Meta::Tensor(weight.element_type(), sizes));
        self.weights.insert(weight_name.into(), weight);
    }

    /// Adds an input of this kind.
    pub(crate) fn add_input(&mut self, name: &str, kind: InputKind, meta: Meta) {
        self.graph.inputs.push(name.into());
        self.graph.values.insert(name.into(), meta);
        self.inputs.push(kind);
    }

    /// Adds an output that the caller gets: `value` under this name.
    pub(crate) fn output(&mut self, name: &str, value: &str) {
        self.graph.outputs.push(Argument::Value(value.into()));
        self.outputs.push(OutputKind::User(name.into()));
    }

    /// The inputs that the caller gives, with what is known of them, in order.
    pub(crate) fn user_inputs(&self) -> impl Iterator<Item = (&str, Option<&Meta>)> {
        let pairs = self.graph.inputs.iter().zip(&self.inputs);
        let user = pairs.filter(|(_, kind)| **kind == InputKind::User);
        user.map(|(name, _)| (name.as_str(), self.graph.values.get(name)))
    }
}

impl Graph {
    /// Adds a call with one result, with its arguments by position. Names the node after it.
    pub(crate) fn call(&mut self, target: &str, arguments: &[Argument], output: &str) {
        self.call_many(target, arguments, &[output]);
    }

    /// Adds a call with several results, or a list as its result.
    pub(crate) fn call_many(&mut self, target: &str, arguments: &[Argument], outputs: &[&str]) {
        let positional = |value: &Argument| Named { name: String::new(), value: value.clone() };
        self.nodes.push(Node {
            name: outputs.first().map_or(String::new(), |&name| name.into()),
            target: target.into(),
            arguments: arguments.iter().map(positional).collect(),
            outputs: outputs.iter().map(|&name| name.into()).collect(),
        });
    }
}

impl Argument {
    /// Names of the values in it, those of inner graphs not included.
    pub(crate) fn values(&self) -> Vec<&str> {
        match self {
            Argument::Value(name) => vec![name],
            Argument::List(items) => items.iter().flat_map(Argument::values).collect(),
            _ => Vec::new(),
        }
    }
}

impl From<&str> for Argument {
    /// The value of this name.
    fn from(name: &str) -> Self {
        Argument::Value(name.into())
    }
}

impl From<i64> for Argument {
    fn from(value: i64) -> Self {
        Argument::Int(value)
    }
}

impl From<f64> for Argument {
    fn from(value: f64) -> Self {
        Argument::Float(value)
    }
}

impl From<bool> for Argument {
    fn from(value: bool) -> Self {
        Argument::Bool(value)
    }
}

/// A list of integers as an argument.
pub(crate) fn ints(values: &[i64]) -> Argument {
    Argument::List(values.iter().map(|&value| Argument::Int(value)).collect())
}

impl Meta {
    /// A tensor.
    pub(crate) fn tensor(element_type: ElementType, sizes: &[Size]) -> Meta {
        Meta::Tensor(element_type, sizes.to_vec())
    }
}

impl Size {
    /// A free size by its symbol.
    pub(crate) fn symbol(name: &str) -> Size {
        Size::Symbol(name.into())
    }

    /// The number, where it is known.
    pub(crate) fn known(&self) -> Option<i64> {
        match self {
            Size::Known(value) => Some(*value),
            _ => None,
        }
    }

    /// Whether the two are surely the same number.
    pub(crate) fn same(&self, other: &Size) -> bool {
        *self != Size::Unknown && self == other
    }
}

impl From<i64> for Size {
    fn from(value: i64) -> Self {
        Size::Known(value)
    }
}

impl From<usize> for Size {
    fn from(value: usize) -> Self {
        i64::try_from(value).map_or(Size::Unknown, Size::Known)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Size::Known(value) => write!(f, "{value}"),
            Size::Symbol(text) | Size::Expression(text) => f.write_str(text),
            Size::Unknown => f.write_str("?"),
        }
    }
}
