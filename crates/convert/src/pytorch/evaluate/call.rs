//! One call of an operator, as its evaluation sees it.

use std::rc::Rc;

use modelyard_graph::ElementType;

use super::{Machine, Strided, Value};
use crate::EvaluateError;
use crate::pytorch::arguments::Arguments;
use crate::pytorch::graph::{Argument, Graph, Node};
use crate::pytorch::types::{self, Kind};
use crate::reference::{Array, layout};

type Result<T> = std::result::Result<T, EvaluateError>;

/// A call that is being evaluated: arguments by name.
pub(in crate::pytorch) struct Eval<'c, 'p> {
    machine: &'c mut Machine<'p>,
    node: &'c Node,
    target: &'c str,
    arguments: Arguments<'c>,
    depth: usize,
}

/// An argument that may be a tensor or a number.
#[derive(Clone, Debug)]
pub(in crate::pytorch) enum Operand {
    Tensor(Rc<Array>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl Operand {
    /// What takes part in the promotion of types.
    pub(in crate::pytorch) fn promoted(&self) -> types::Operand {
        match self {
            Operand::Tensor(array) if array.rank() == 0 => {
                types::Operand::Scalar(array.element_type())
            }
            Operand::Tensor(array) => types::Operand::Tensor(array.element_type()),
            Operand::Int(_) => types::Operand::Number(Kind::Int),
            Operand::Float(_) => types::Operand::Number(Kind::Float),
            Operand::Bool(_) => types::Operand::Number(Kind::Bool),
        }
    }

    /// It as an array of this type.
    pub(in crate::pytorch) fn array(&self, element_type: ElementType) -> Result<Rc<Array>> {
        let array = match self {
            Operand::Tensor(array) if array.element_type() == element_type => {
                return Ok(Rc::clone(array));
            }
            Operand::Tensor(array) => crate::reference::elementwise::cast(array, element_type)?,
            Operand::Int(value) if types::kind(element_type) == Kind::Int => {
                Array::new(element_type, &[], crate::reference::Data::Ints(vec![*value]))?
            }
            Operand::Int(value) => Array::from_f64s(element_type, &[], vec![*value as f64])?,
            Operand::Float(value) => Array::from_f64s(element_type, &[], vec![*value])?,
            Operand::Bool(value) => Array::from_f64s(element_type, &[], vec![f64::from(*value)])?,
        };
        Ok(Rc::new(array))
    }

    /// It as a number; a tensor must have one element.
    pub(in crate::pytorch) fn number(&self) -> Result<f64> {
        match self {
            Operand::Tensor(array) => super::first(array),
            Operand::Int(value) => Ok(*value as f64),
            Operand::Float(value) => Ok(*value),
            Operand::Bool(value) => Ok(f64::from(*value)),
        }
    }
}

impl<'c, 'p> Eval<'c, 'p> {
    pub(super) fn new(
        machine: &'c mut Machine<'p>,
        node: &'c Node,
        target: &'c str,
        parameters: &'static str,
        depth: usize,
    ) -> Eval<'c, 'p> {
        let arguments = Arguments::new(node, parameters);
        Eval { machine, node, target, arguments, depth }
    }

    /// The operator without namespace and overload: `add`.
    pub(in crate::pytorch) fn operator(&self) -> &'c str {
        self.target.split('.').nth(1).unwrap_or_default()
    }

    /// The overload: `Tensor`.
    pub(in crate::pytorch) fn overload(&self) -> &'c str {
        self.target.split('.').nth(2).unwrap_or_default()
    }

    /// Number of results that the program names.
    pub(in crate::pytorch) fn outputs(&self) -> usize {
        self.node.outputs.len()
    }

    /// Whether the argument was given and is not none.
    pub(in crate::pytorch) fn has(&self, name: &str) -> bool {
        self.arguments.has(name)
    }

    fn wrong(&self, name: &str, expected: &str) -> EvaluateError {
        let found = self.arguments.get(name);
        let found: String = format!("{found:?}").chars().take(60).collect();
        EvaluateError::new(format!("argument '{name}': expected {expected}, found {found}"))
    }

    fn value(&mut self, argument: &Argument) -> Result<Option<Value>> {
        Ok(Some(match argument {
            Argument::Value(name) => self.machine.get(name)?,
            Argument::Int(value) => Value::Int(*value),
            Argument::Float(value) => Value::Float(*value),
            Argument::Bool(value) => Value::Bool(*value),
            Argument::None => Value::None,
            _ => return Ok(None),
        }))
    }

    /// A tensor with the memory that it looks at.
    pub(in crate::pytorch) fn view(&mut self, name: &str) -> Result<Strided> {
        match self.value(self.arguments.get(name))? {
            Some(Value::Tensor(view)) => Ok(view),
            Some(Value::Int(value)) => Ok(Strided::new(Array::ints(&[], vec![value])?)),
            Some(Value::Float(value)) => Ok(Strided::new(Array::scalar(value as f32))),
            Some(Value::Bool(value)) => Ok(Strided::new(Array::bools(&[], vec![value])?)),
            _ => Err(self.wrong(name, "a tensor")),
        }
    }

    /// A tensor's elements.
    pub(in crate::pytorch) fn tensor(&mut self, name: &str) -> Result<Rc<Array>> {
        self.view(name)?.array()
    }

    /// A tensor that may be left out.
    pub(in crate::pytorch) fn optional(&mut self, name: &str) -> Result<Option<Rc<Array>>> {
        match self.value(self.arguments.get(name))? {
            Some(Value::None) => Ok(None),
            _ => self.tensor(name).map(Some),
        }
    }

    /// A list of tensors, some of which may be left out.
    pub(in crate::pytorch) fn optional_tensors(
        &mut self,
        name: &str,
    ) -> Result<Vec<Option<Rc<Array>>>> {
        let Argument::List(items) = self.arguments.get(name) else {
            return Err(self.wrong(name, "a list of tensors"));
        };
        let mut tensors = Vec::new();
        for item in items {
            tensors.push(match self.value(item)? {
                Some(Value::Tensor(view)) => Some(view.array()?),
                Some(Value::None) => None,
                _ => return Err(self.wrong(name, "a list of tensors")),
            });
        }
        Ok(tensors)
    }

    /// A list of tensors.
    pub(in crate::pytorch) fn tensors(&mut self, name: &str) -> Result<Vec<Rc<Array>>> {
        let all = self.optional_tensors(name)?;
        all.into_iter().collect::<Option<_>>().ok_or_else(|| self.wrong(name, "tensors"))
    }

    /// A tensor or a number.
    pub(in crate::pytorch) fn operand(&mut self, name: &str) -> Result<Operand> {
        let value = self.value(self.arguments.get(name))?;
        self.as_operand(value).unwrap_or_else(|| Err(self.wrong(name, "a tensor or a number")))
    }

    fn as_operand(&self, value: Option<Value>) -> Option<Result<Operand>> {
        Some(match value? {
            Value::Tensor(view) => view.array().map(Operand::Tensor),
            Value::Int(value) => Ok(Operand::Int(value)),
            Value::Float(value) => Ok(Operand::Float(value)),
            Value::Bool(value) => Ok(Operand::Bool(value)),
            Value::None => return None,
        })
    }

    /// All arguments, for operators that have no schema.
    pub(in crate::pytorch) fn positional(&mut self) -> Result<Vec<Value>> {
        let node = self.node;
        let mut values = Vec::new();
        for named in &node.arguments {
            values.push(self.value(&named.value)?.unwrap_or(Value::None));
        }
        Ok(values)
    }

    /// The values in an argument that is a list.
    pub(in crate::pytorch) fn list(&mut self, index: usize) -> Result<Vec<Value>> {
        let node = self.node;
        let Some(Argument::List(items)) = node.arguments.get(index).map(|named| &named.value)
        else {
            return Ok(Vec::new());
        };
        let mut values = Vec::new();
        for item in items {
            values.push(self.value(item)?.unwrap_or(Value::None));
        }
        Ok(values)
    }

    /// The body of a branch or loop.
    pub(in crate::pytorch) fn graph(&self, index: usize) -> Option<&'c Graph> {
        match self.node.arguments.get(index).map(|named| &named.value) {
            Some(Argument::Graph(graph)) => Some(graph),
            _ => None,
        }
    }

    /// Runs a branch or body on these values.
    pub(in crate::pytorch) fn run(
        &mut self,
        graph: &Graph,
        inputs: Vec<Value>,
    ) -> Result<Vec<Value>> {
        self.machine.inner(graph, inputs, self.depth)
    }

    fn int_of(&mut self, argument: &Argument) -> Result<Option<i64>> {
        Ok(match self.value(argument)? {
            Some(Value::Int(value)) => Some(value),
            Some(Value::Bool(value)) => Some(i64::from(value)),
            Some(Value::Float(value)) if value.fract() == 0.0 => Some(value as i64),
            Some(Value::Tensor(view)) if layout::elements(view.dims())? == 1 => {
                Some(super::first(&*view.array()?)? as i64)
            }
            _ => None,
        })
    }

    /// An integer.
    pub(in crate::pytorch) fn int(&mut self, name: &str) -> Result<i64> {
        let found = self.int_of(self.arguments.get(name))?;
        found.ok_or_else(|| self.wrong(name, "an integer"))
    }

    /// An integer, or this one where it is left out.
    pub(in crate::pytorch) fn int_or(&mut self, name: &str, default: i64) -> Result<i64> {
        if self.has(name) { self.int(name) } else { Ok(default) }
    }

    /// Integers; a single one is a list of one.
    pub(in crate::pytorch) fn ints(&mut self, name: &str) -> Result<Vec<i64>> {
        let items = match self.arguments.get(name) {
            Argument::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut ints = Vec::new();
        for item in items {
            let found = self.int_of(item)?;
            ints.push(found.ok_or_else(|| self.wrong(name, "integers"))?);
        }
        Ok(ints)
    }

    /// Integers, or these where they are left out.
    pub(in crate::pytorch) fn ints_or(&mut self, name: &str, default: &[i64]) -> Result<Vec<i64>> {
        if self.has(name) { self.ints(name) } else { Ok(default.to_vec()) }
    }

    /// Sizes: integers that are not negative.
    pub(in crate::pytorch) fn dims(&mut self, name: &str) -> Result<Vec<usize>> {
        let ints = self.ints(name)?;
        let dims: Option<Vec<usize>> = ints.iter().map(|&int| usize::try_from(int).ok()).collect();
        let dims = dims.ok_or_else(|| self.wrong(name, "sizes"))?;
        layout::elements(&dims)?;
        Ok(dims)
    }

    /// As many integers as there are spatial dimensions: one number stands for all.
    pub(in crate::pytorch) fn spatial(
        &mut self,
        name: &str,
        rank: usize,
        default: i64,
    ) -> Result<Vec<i64>> {
        let given = self.ints_or(name, &[default])?;
        match given.as_slice() {
            [] => Ok(vec![default; rank]),
            [one] => Ok(vec![*one; rank]),
            all if all.len() == rank => Ok(given),
            _ => Err(self.wrong(name, &format!("{rank} integers"))),
        }
    }

    /// A number, or this one where it is left out.
    pub(in crate::pytorch) fn float_or(&mut self, name: &str, default: f64) -> Result<f64> {
        if self.has(name) { self.operand(name)?.number() } else { Ok(default) }
    }

    /// Numbers of a list; none where it is left out.
    pub(in crate::pytorch) fn floats(&mut self, name: &str) -> Result<Vec<f64>> {
        let Argument::List(items) = self.arguments.get(name) else { return Ok(Vec::new()) };
        let mut floats = Vec::new();
        for item in items {
            let value = self.value(item)?;
            let operand =
                self.as_operand(value).unwrap_or_else(|| Err(self.wrong(name, "numbers")));
            floats.push(operand?.number()?);
        }
        Ok(floats)
    }

    /// A truth value, or this one where it is left out.
    pub(in crate::pytorch) fn bool_or(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.value(self.arguments.get(name))? {
            Some(Value::None) => Ok(default),
            Some(Value::Bool(value)) => Ok(value),
            Some(Value::Int(value)) => Ok(value != 0),
            _ => Err(self.wrong(name, "a truth value")),
        }
    }

    /// A text, or this one where it is left out.
    pub(in crate::pytorch) fn text_or(&self, name: &str, default: &str) -> Result<String> {
        match self.arguments.get(name) {
            Argument::None => Ok(default.to_owned()),
            Argument::String(text) => Ok(text.clone()),
            _ => Err(self.wrong(name, "a text")),
        }
    }

    /// A type of elements; `None` where it is left out.
    pub(in crate::pytorch) fn element_type(&self, name: &str) -> Result<Option<ElementType>> {
        match self.arguments.get(name) {
            Argument::None => Ok(None),
            Argument::Type(element_type) => Ok(Some(*element_type)),
            _ => Err(self.wrong(name, "a type of elements")),
        }
    }

    /// An axis of a tensor of this rank, counted from the front. Tensors without dimensions have
    /// axis 0.
    pub(in crate::pytorch) fn axis(
        &mut self,
        name: &str,
        rank: usize,
        default: i64,
    ) -> Result<usize> {
        layout::axis(self.int_or(name, default)?, rank.max(1))
    }

    /// Axes of a tensor of this rank, counted from the front, in the order given.
    pub(in crate::pytorch) fn axes(&mut self, name: &str, rank: usize) -> Result<Vec<usize>> {
        let given = self.ints_or(name, &[])?;
        given.iter().map(|&axis| layout::axis(axis, rank.max(1))).collect()
    }
}

impl<'c> Eval<'c, '_> {
    /// The arguments as they are.
    pub(in crate::pytorch) fn arguments(&self) -> Arguments<'c> {
        self.arguments
    }
}

impl<'c> Eval<'c, '_> {
    /// Where a region's graph stands among the arguments, and the values of the operands behind it.
    pub(in crate::pytorch) fn region(&mut self) -> Option<(usize, Vec<Value>)> {
        let node = self.node;
        let arguments = &node.arguments;
        let at = arguments.iter().position(|named| matches!(named.value, Argument::Graph(_)))?;
        let mut values = Vec::new();
        for named in arguments.iter().skip(at + 1) {
            if !matches!(named.value, Argument::String(_)) {
                values.push(self.value(&named.value).ok()??);
            }
        }
        Some((at, values))
    }
}
