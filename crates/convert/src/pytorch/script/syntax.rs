//! What TorchScript's source text consists of.

use std::rc::Rc;

/// A mistake in the text, or something in it that is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: u32,
    pub(super) message: String,
}

/// One file: classes and functions by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct File {
    pub(super) classes: Vec<Rc<Class>>,
    pub(super) functions: Vec<Rc<Function>>,
}

/// A class: a module, a named tuple, an enumeration or a plain class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Class {
    pub(super) name: String,
    /// `Module`, `NamedTuple`, `Enum`, `Interface` or nothing.
    pub(super) base: String,
    /// Declared attributes in order: fields of a named tuple, members of an enumeration.
    pub(super) fields: Vec<Field>,
    pub(super) methods: Vec<Rc<Function>>,
}

/// An attribute of a class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Option<Expression>,
    pub(super) value: Option<Expression>,
}

/// A function or method.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Vec<Statement>,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) kind: Option<Expression>,
    pub(super) default: Option<Expression>,
}

/// A statement and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Statement {
    pub(super) line: u32,
    pub(super) what: What,
}

/// What a statement does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Pass,
    Expression(Expression),
    /// Targets (a tuple of them where there are several or a comma) and the value.
    Assign(Expression, Expression),
    If(Expression, Vec<Statement>, Vec<Statement>),
    For(Expression, Expression, Vec<Statement>),
    While(Expression, Vec<Statement>),
    With(Vec<Statement>),
    Return(Option<Expression>),
    Break,
    Continue,
    /// `assert condition, message`
    Assert(Expression),
    /// `raise ...`
    Raise(Expression),
}

/// An expression. Types are written as expressions too.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Name(String),
    Attribute(Box<Expression>, String),
    Index(Box<Expression>, Box<Expression>),
    Slice(Box<Expression>, Box<[Option<Expression>; 3]>),
    Call(Box<Call>),
    List(Vec<Expression>),
    Tuple(Vec<Expression>),
    Dict(Vec<(Expression, Expression)>),
    /// An operator in front: `-`, `+`, `not`, `~`.
    Unary(&'static str, Box<Expression>),
    /// An operator between, by the name that ATen has for it.
    Binary(&'static str, Box<(Expression, Expression)>),
    /// `and`, `or`: the second is looked at only where it matters.
    Lazy(bool, Box<(Expression, Expression)>),
    /// `a if condition else b`: condition, a, b.
    Choice(Box<(Expression, Expression, Expression)>),
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) line: u32,
    pub(super) function: Expression,
    pub(super) positional: Vec<Expression>,
    pub(super) named: Vec<(String, Expression)>,
}

impl Class {
    /// The method of this name.
    pub(super) fn method(&self, name: &str) -> Option<&Rc<Function>> {
        self.methods.iter().find(|method| method.name == name)
    }
}

impl Expression {
    /// A name with dots as one text: `torch.add`.
    pub(super) fn dotted(&self) -> Option<String> {
        match self {
            Expression::Name(name) => Some(name.clone()),
            Expression::Attribute(of, name) => Some(format!("{}.{name}", of.dotted()?)),
            _ => None,
        }
    }
}
