//! What a program computes, by the definitions of ATen's operators.
//!
//! Shares nothing with the conversion to ONNX but the program itself: changes in place go through
//! views of memory ([`Strided`]), types are promoted by PyTorch's rules, shapes come from the
//! arguments, not from what the file says of them.

mod call;
mod strided;

use std::collections::{BTreeMap, HashMap};

use modelyard_tensor::Tensor;

use super::graph::{Argument, Graph, InputKind, Meta, Node, OutputKind, Program};
use super::{inplace, ops};
use crate::EvaluateError;
use crate::reference::{Array, elementwise, shape};

pub(super) use call::{Eval, Operand};
pub(super) use strided::Strided;

/// How deep branches and loops may nest.
const DEPTH: usize = 16;

/// A value while a program runs.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Tensor(Strided),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// An optional value that is not there.
    None,
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Value::Tensor(Strided::new(array))
    }
}

/// Results of an operator.
pub(super) type Outcome = Result<Vec<Value>, EvaluateError>;

/// A single array as the result of an operator.
pub(super) fn one(array: Result<Array, EvaluateError>) -> Outcome {
    array.map(|array| vec![Value::from(array)])
}

/// Runs a program on inputs in the order of its user inputs; gives what the user gets.
pub(super) fn evaluate(program: &Program, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
    let mut arrays = Vec::new();
    for input in inputs {
        arrays.push(Array::from_tensor(input)?);
    }
    let values = run(program, arrays)?;
    values.iter().map(to_tensor).collect()
}

/// What one call gives, with these values by name.
pub(super) fn call(node: &Node, values: HashMap<String, Value>) -> Outcome {
    let program = Program::default();
    let mut machine = Machine::new(&program);
    machine.values = values;
    machine.call(node, DEPTH)
}

fn run(program: &Program, inputs: Vec<Array>) -> Result<Vec<Value>, EvaluateError> {
    let mut machine = Machine::new(program);
    let mut given = inputs.into_iter();
    for (name, kind) in program.graph.inputs.iter().zip(&program.inputs) {
        let value = match kind {
            InputKind::User => {
                let array = given.next().ok_or_else(|| {
                    EvaluateError::new(format!("there is no value for input '{name}'"))
                })?;
                as_declared(array, program.graph.values.get(name))?
            }
            InputKind::Fixed(argument) => fixed(argument),
            // Weights are read where they are used.
            InputKind::Parameter(weight)
            | InputKind::Buffer(weight)
            | InputKind::Constant(weight) => {
                machine.weights.insert(name.clone(), weight.clone());
                continue;
            }
            InputKind::Other(_) => Value::None,
        };
        machine.set(name, value);
    }
    let outputs = machine.graph(&program.graph, DEPTH)?;
    let kinds = outputs.into_iter().zip(&program.outputs);
    let given = kinds.filter(|(value, kind)| {
        matches!(kind, OutputKind::User(_)) && !matches!(value, Value::None)
    });
    Ok(given.map(|(value, _)| value).collect())
}

/// An input as the program has it: numbers come as tensors without dimensions.
fn as_declared(array: Array, meta: Option<&Meta>) -> Result<Value, EvaluateError> {
    Ok(match meta {
        Some(Meta::Int(_)) => Value::Int(first(&array)? as i64),
        Some(Meta::Float) => Value::Float(first(&array)?),
        Some(Meta::Bool) => Value::Bool(first(&array)? != 0.0),
        _ => array.into(),
    })
}

fn first(array: &Array) -> Result<f64, EvaluateError> {
    let values = array.to_f64s()?;
    values.first().copied().ok_or_else(|| EvaluateError::new("expected a number, found no element"))
}

fn fixed(argument: &Argument) -> Value {
    match argument {
        Argument::Int(value) => Value::Int(*value),
        Argument::Float(value) => Value::Float(*value),
        Argument::Bool(value) => Value::Bool(*value),
        _ => Value::None,
    }
}

fn to_tensor(value: &Value) -> Result<Tensor, EvaluateError> {
    match value {
        Value::Tensor(strided) => strided.array()?.to_tensor(),
        Value::Int(value) => Array::ints(&[], vec![*value])?.to_tensor(),
        Value::Float(value) => Array::scalar(*value as f32).to_tensor(),
        Value::Bool(value) => Array::bools(&[], vec![*value])?.to_tensor(),
        Value::None => Err(EvaluateError::new("an output has no value")),
    }
}

/// Values by name while a graph runs.
pub(super) struct Machine<'p> {
    program: &'p Program,
    values: HashMap<String, Value>,
    /// Weights that are not read yet: by value, the name in the program.
    weights: BTreeMap<String, String>,
}

impl<'p> Machine<'p> {
    fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// A value by name.
    fn get(&mut self, name: &str) -> Result<Value, EvaluateError> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let weight = self.weights.get(name).and_then(|weight| self.program.weights.get(weight));
        let weight =
            weight.ok_or_else(|| EvaluateError::new(format!("there is no value '{name}' here")))?;
        let value = Value::from(weight.array()?);
        self.values.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    /// Runs the calls of a graph whose inputs are set, and gives its outputs. Values are dropped
    /// after their last use.
    fn graph(&mut self, graph: &Graph, depth: usize) -> Result<Vec<Value>, EvaluateError> {
        let mut last = HashMap::new();
        for (index, node) in graph.nodes.iter().enumerate() {
            let used = node.arguments.iter().flat_map(|named| named.value.values());
            last.extend(used.map(|name| (name, index)));
        }
        last.extend(graph.outputs.iter().flat_map(Argument::values).map(|name| (name, usize::MAX)));
        for (index, node) in graph.nodes.iter().enumerate() {
            let at = |error: EvaluateError| error.at(format!("{} at '{}'", node.target, node.name));
            let results = self.call(node, depth).map_err(at)?;
            for (name, result) in node.outputs.iter().zip(results) {
                if last.contains_key(name.as_str()) {
                    self.values.insert(name.clone(), result);
                }
            }
            let used = node.arguments.iter().flat_map(|named| named.value.values());
            for name in used.filter(|name| last.get(name) == Some(&index)) {
                self.values.remove(name);
            }
        }
        let output = |argument: &Argument| match argument {
            Argument::Value(name) => self.get(name),
            other => Ok(fixed(other)),
        };
        graph.outputs.iter().map(output).collect()
    }

    fn call(&mut self, node: &Node, depth: usize) -> Outcome {
        if let Some(target) = inplace::computed_by(&node.target) {
            return self.change(node, &target, depth);
        }
        if inplace::changes_metadata(&node.target) {
            return Err(EvaluateError::new("it changes how a tensor is seen, in place"));
        }
        self.compute(node, &node.target, depth)
    }

    fn compute(&mut self, node: &Node, target: &str, depth: usize) -> Outcome {
        let operator = ops::find(target)
            .ok_or_else(|| EvaluateError::new("the operator has no evaluation"))?;
        (operator.evaluate)(&mut Eval::new(self, node, target, operator.parameters, depth))
    }

    /// An operator in place: its result, as the type and shape of its first argument, is written
    /// into that.
    fn change(&mut self, node: &Node, target: &str, depth: usize) -> Outcome {
        let results = self.compute(node, target, depth)?;
        let first = node.arguments.first().map(|named| &named.value);
        let Some(Argument::Value(name)) = first else {
            return Err(EvaluateError::new("it changes what is no tensor"));
        };
        let (Value::Tensor(to), Some(Value::Tensor(from))) = (self.get(name)?, results.first())
        else {
            return Err(EvaluateError::new("it changes what is no tensor"));
        };
        let cast = elementwise::cast(&*from.array()?, to.element_type())?;
        to.write(&shape::broadcast_to(&cast, to.dims())?)?;
        Ok(vec![Value::Tensor(to)])
    }

    /// Runs an inner graph on these values.
    pub(super) fn inner(
        &mut self,
        graph: &Graph,
        inputs: Vec<Value>,
        depth: usize,
    ) -> Result<Vec<Value>, EvaluateError> {
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or_else(|| EvaluateError::new("graphs nest too deep"))?;
        let mut machine = Machine::new(self.program);
        for (name, value) in graph.inputs.iter().zip(inputs) {
            machine.set(name, value);
        }
        machine.graph(graph, depth)
    }
}

impl<'p> Machine<'p> {
    fn new(program: &'p Program) -> Machine<'p> {
        Machine { program, values: HashMap::new(), weights: BTreeMap::new() }
    }
}
