//! What the code computes with while it is evaluated.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use modelyard_graph::ElementType;

use super::syntax::{Class, Function};
use crate::pytorch::convert::Scalar;
use crate::pytorch::evaluate::Strided;

/// Values within a value that are looked at.
const MOST_VALUES: usize = 1 << 18;

/// A value: of Python where it is known at conversion, of the graph where it is not.
#[derive(Clone, Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    Device(Rc<str>),
    /// A number that the graph computes.
    Number(Rc<Number>),
    Tensor(Rc<Tensor>),
    List(Rc<RefCell<Vec<Value>>>),
    /// Items, and the class of a named tuple.
    Tuple(Rc<Vec<Value>>, Option<Rc<Class>>),
    Dict(Rc<RefCell<Vec<(Value, Value)>>>),
    Object(Rc<Object>),
    Function(Callee),
    /// What an operator that is not covered would have given.
    Lost,
}

/// Something that can be called.
#[derive(Clone, Debug)]
pub(super) enum Callee {
    /// A function of the archive, with the name of its file.
    Function(Rc<str>, Rc<Function>),
    /// A method of an object.
    Method(Rc<Object>, Rc<Function>),
    /// A class of the archive by its full name.
    Class(Rc<str>, Rc<Class>),
    /// A function that is built in: `torch.add`, `ops.prim.device`, `int`.
    Builtin(Rc<str>),
}

/// A number that the graph computes. What it is in each of the worlds that the code is evaluated in,
/// where it does not depend on the elements of inputs.
#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) name: String,
    pub(super) kind: NumberKind,
    pub(super) worlds: Option<Vec<Scalar>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberKind {
    Int,
    Float,
    Bool,
}

/// A tensor of the graph.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// What it is in each world.
    pub(super) worlds: Vec<Seen>,
    /// Whether the elements in [`Seen::known`] are still those of its memory; tensors that may look
    /// at the same memory share this.
    pub(super) is_known: Rc<Cell<bool>>,
}

/// A tensor in one world.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) element_type: ElementType,
    pub(super) dims: Vec<usize>,
    /// Its elements, where they do not depend on inputs and are few.
    pub(super) known: Option<Strided>,
}

/// An object: a module or an instance of another class.
#[derive(Debug)]
pub(super) struct Object {
    /// Full name of its class.
    pub(super) class_name: Rc<str>,
    pub(super) class: Rc<Class>,
    /// Where it stands in the tree of modules: `layer1.0`. Nothing for the root and for what the code
    /// makes.
    pub(super) path: String,
    pub(super) attributes: RefCell<BTreeMap<String, Value>>,
}

impl Value {
    pub(super) fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    pub(super) fn list(items: Vec<Value>) -> Value {
        Value::List(Rc::new(RefCell::new(items)))
    }

    pub(super) fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Rc::new(items), None)
    }

    pub(super) fn dict(entries: Vec<(Value, Value)>) -> Value {
        Value::Dict(Rc::new(RefCell::new(entries)))
    }

    /// The number that a scalar is.
    pub(super) fn scalar(scalar: Scalar) -> Value {
        match scalar {
            Scalar::Int(value) => Value::Int(value),
            Scalar::Float(value) => Value::Float(value),
            Scalar::Bool(value) => Value::Bool(value),
        }
    }

    /// The number that it is, where it is known.
    pub(super) fn as_scalar(&self) -> Option<Scalar> {
        match self {
            Value::Int(value) => Some(Scalar::Int(*value)),
            Value::Float(value) => Some(Scalar::Float(*value)),
            Value::Bool(value) => Some(Scalar::Bool(*value)),
            _ => None,
        }
    }

    /// Items of a list or tuple.
    pub(super) fn items(&self) -> Option<Vec<Value>> {
        match self {
            Value::List(items) => Some(items.borrow().clone()),
            Value::Tuple(items, _) => Some(items.to_vec()),
            _ => None,
        }
    }

    /// What to call its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an int",
            Value::Float(_) => "a float",
            Value::Text(_) => "a text",
            Value::Device(_) => "a device",
            Value::Number(_) => "a number that the model computes",
            Value::Tensor(_) => "a tensor",
            Value::List(_) => "a list",
            Value::Tuple(..) => "a tuple",
            Value::Dict(_) => "a dict",
            Value::Object(_) => "an object",
            Value::Function(_) => "a function",
            Value::Lost => "the result of an operator that is not covered",
        }
    }

    /// Whether a tensor, or a number that the graph computes, is in it.
    pub(super) fn is_computed(&self) -> bool {
        let is = |value: &Value| matches!(value, Value::Tensor(_) | Value::Number(_) | Value::Lost);
        self.has(&is, &mut MOST_VALUES.clone())
    }

    /// Whether a tensor is in it.
    pub(super) fn has_tensor(&self) -> bool {
        self.has(&|value| matches!(value, Value::Tensor(_)), &mut MOST_VALUES.clone())
    }

    /// Whether something that is lost is in it.
    pub(super) fn is_lost(&self) -> bool {
        self.has(&|value| matches!(value, Value::Lost), &mut MOST_VALUES.clone())
    }

    /// Whether such a value is in it, or more than `left` values are: the same list may stand in
    /// another one twice, and that one again.
    fn has(&self, is: &dyn Fn(&Value) -> bool, left: &mut usize) -> bool {
        if *left == 0 {
            return true;
        }
        *left -= 1;
        match self {
            Value::List(items) => items.borrow().iter().any(|item| item.has(is, left)),
            Value::Tuple(items, _) => items.iter().any(|item| item.has(is, left)),
            other => is(other),
        }
    }

    /// Whether two values are equal; `None` where that is not known at conversion, or takes too long.
    pub(super) fn equals(&self, other: &Value) -> Option<bool> {
        self.equals_within(other, &mut MOST_VALUES.clone())
    }

    fn equals_within(&self, other: &Value, left: &mut usize) -> Option<bool> {
        *left = left.checked_sub(1)?;
        if let (Some(one), Some(two)) = (self.as_scalar(), other.as_scalar()) {
            return Some(match (one, two) {
                (Scalar::Int(one), Scalar::Int(two)) => one == two,
                _ => one.as_f64() == two.as_f64(),
            });
        }
        let mut all = |one: &[Value], two: &[Value]| -> Option<bool> {
            if one.len() != two.len() {
                return Some(false);
            }
            for (one, two) in one.iter().zip(two) {
                if !one.equals_within(two, left)? {
                    return Some(false);
                }
            }
            Some(true)
        };
        match (self, other) {
            (Value::None, Value::None) => Some(true),
            (Value::Text(one), Value::Text(two)) | (Value::Device(one), Value::Device(two)) => {
                Some(one == two)
            }
            (Value::Tuple(one, _), Value::Tuple(two, _)) => all(one, two),
            (Value::List(one), Value::List(two)) => {
                Rc::ptr_eq(one, two).then_some(true).or_else(|| all(&one.borrow(), &two.borrow()))
            }
            // Dicts that are two are compared by nobody.
            (Value::Dict(one), Value::Dict(two)) => Rc::ptr_eq(one, two).then_some(true),
            (Value::Object(one), Value::Object(two)) => {
                let value = |object: &Object| object.attributes.borrow().get("value").cloned();
                match (Rc::ptr_eq(one, two), one.class.base == "Enum", value(one), value(two)) {
                    (true, ..) => Some(true),
                    (_, true, Some(one), Some(two)) => one.equals(&two),
                    _ => Some(false),
                }
            }
            (Value::Number(one), Value::Number(two)) if one.name == two.name => Some(true),
            // Two that are the same however the model is tried are the same size.
            (Value::Number(one), Value::Number(two)) => {
                let mut pairs = one.worlds.as_ref()?.iter().zip(two.worlds.as_ref()?);
                pairs.all(|(one, two)| one.as_f64() == two.as_f64()).then_some(true)
            }
            // A free size may be any number: those that it is tried with decide nothing.
            (Value::Number(_), _) | (_, Value::Number(_)) => None,
            (Value::Tensor(_) | Value::Lost, _) | (_, Value::Tensor(_) | Value::Lost) => None,
            _ => Some(false),
        }
    }
}

impl Number {
    /// What it is in each world, where it may be a size.
    pub(super) fn sizes(&self) -> Option<Vec<usize>> {
        let worlds = self.worlds.as_ref().filter(|_| self.kind == NumberKind::Int)?;
        worlds.iter().map(|one| usize::try_from(one.as_i64()).ok()).collect()
    }
}

impl Tensor {
    /// The elements in one world, where they are known.
    pub(super) fn known(&self, world: usize) -> Option<&Strided> {
        let seen = self.worlds.get(world).filter(|_| self.is_known.get())?;
        seen.known.as_ref()
    }

    /// What it is in the first world.
    pub(super) fn first(&self) -> (ElementType, &[usize]) {
        let seen = self.worlds.first();
        seen.map_or((ElementType::Float32, &[]), |seen| (seen.element_type, &seen.dims))
    }

    /// Its size along an axis in each world.
    pub(super) fn sizes(&self, axis: usize) -> Vec<usize> {
        self.worlds.iter().map(|seen| seen.dims.get(axis).copied().unwrap_or(0)).collect()
    }

    pub(super) fn rank(&self) -> usize {
        self.first().1.len()
    }
}
