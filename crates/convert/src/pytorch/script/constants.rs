//! `torch.tensor(...)`: tensors of numbers, known or computed.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use modelyard_graph::ElementType;

use super::codes::element_type;
use super::interpret::{Interpreter, Result};
use super::value::{NumberKind, Seen, Value};
use crate::pytorch::convert::Scalar;
use crate::pytorch::evaluate::Strided;
use crate::pytorch::graph::{Argument, Named};
use crate::pytorch::types::{Kind, kind};
use crate::pytorch::weight::{Storage, Weight};
use crate::reference::{Array, Data};

impl Interpreter<'_> {
    /// `torch.tensor(...)`: a constant of numbers, or a stack of numbers that are computed.
    pub(super) fn tensor(
        &mut self,
        positional: &[Value],
        named: &[(String, Value)],
    ) -> Result<Value> {
        let Some(data) = positional.first() else {
            return Err(self.wrong("torch.tensor without data"));
        };
        let by_name = named.iter().find(|(name, _)| name == "dtype").map(|(_, value)| value);
        if let Value::Tensor(_) = data {
            return match by_name.or(positional.get(1)) {
                None | Some(Value::None) => Ok(data.clone()),
                Some(dtype) => self.aten("to", vec![data.clone(), dtype.clone()], Vec::new()),
            };
        }
        let element_type = match by_name.or(positional.get(1)) {
            Some(Value::Int(code)) => element_type(*code),
            _ => None,
        };
        let (mut dims, mut numbers) = (Vec::new(), Vec::new());
        if !flatten(data, 0, &mut dims, (&mut numbers, &mut MOST_NUMBERS.clone())) {
            let way_out = "give torch.tensor numbers in lists of equal length";
            return Err(self.refusal("aten.tensor", "a tensor of other data", way_out));
        }
        let strongest = numbers.iter().filter_map(number_kind_of).max().unwrap_or(Kind::Float);
        let element_type = element_type.unwrap_or(match strongest {
            Kind::Bool => ElementType::Bool,
            Kind::Int => ElementType::Int64,
            Kind::Float => ElementType::Float32,
        });
        let known: Option<Vec<Scalar>> = numbers.iter().map(Value::as_scalar).collect();
        match known {
            Some(known) => self.constant(element_type, &dims, &known),
            None => self.stacked(&numbers, &dims, element_type),
        }
    }

    /// A tensor of these numbers.
    fn constant(
        &mut self,
        element_type: ElementType,
        dims: &[usize],
        numbers: &[Scalar],
    ) -> Result<Value> {
        let array = match kind(element_type) {
            Kind::Int => {
                let data = numbers.iter().map(|number| number.as_i64()).collect();
                Array::new(element_type, dims, Data::Ints(data))
            }
            _ => {
                let data = numbers.iter().map(|number| number.as_f64()).collect();
                Array::from_f64s(element_type, dims, data)
            }
        };
        let wrong = |interpreter: &Self, error: &dyn std::fmt::Display| {
            interpreter.wrong(format!("a constant: {error}"))
        };
        let array = array.map_err(|error| wrong(self, &error))?;
        let tensor = array.to_tensor().map_err(|error| wrong(self, &error))?;
        let bytes = Bytes::copy_from_slice(tensor.data());
        let weight = Weight::dense(Storage::Memory(bytes), element_type, dims)?;
        let name = self.fresh("constant");
        self.weights.insert(name.clone(), weight);
        let seen = Seen { element_type, dims: dims.to_vec(), known: Some(Strided::new(array)) };
        // A memory of its own for each world.
        let worlds = (0..self.worlds).map(|_| Seen {
            known: seen
                .known
                .as_ref()
                .and_then(|known| known.array().ok())
                .map(|array| Strided::new(Array::clone(&array))),
            ..seen.clone()
        });
        let worlds = worlds.collect();
        Ok(self.keep(name, worlds, Rc::new(Cell::new(true))))
    }

    fn stacked(
        &mut self,
        numbers: &[Value],
        dims: &[usize],
        element_type: ElementType,
    ) -> Result<Value> {
        let mut parts = Vec::new();
        for number in numbers {
            let own = Named { name: String::new(), value: self.argument(number)? };
            let dtype = Named { name: "dtype".into(), value: Argument::Type(element_type) };
            let arguments = vec![own, dtype];
            parts.extend(self.emit("aten.scalar_tensor.default", arguments)?);
        }
        if dims.is_empty() {
            return Ok(parts.into_iter().next().unwrap_or(Value::Lost));
        }
        let stack = self.aten("stack", vec![Value::list(parts)], Vec::new())?;
        let dims = dims.iter().map(|&dim| Value::Int(dim as i64)).collect();
        self.aten("reshape", vec![stack, Value::list(dims)], Vec::new())
    }
}

/// Numbers and lists that `torch.tensor` takes at once.
const MOST_NUMBERS: usize = 1 << 22;

/// Numbers in nested lists, row-major; false where they do not make a tensor.
fn flatten(
    value: &Value,
    depth: usize,
    dims: &mut Vec<usize>,
    (numbers, left): (&mut Vec<Value>, &mut usize),
) -> bool {
    const DEPTH: usize = 8;
    if *left == 0 {
        return false;
    }
    *left -= 1;
    match value.items() {
        _ if depth > DEPTH => false,
        Some(items) => {
            match dims.get(depth) {
                None => dims.push(items.len()),
                Some(&length) if length == items.len() => {}
                Some(_) => return false,
            }
            items.iter().all(|item| flatten(item, depth + 1, dims, (&mut *numbers, &mut *left)))
        }
        None => {
            numbers.push(value.clone());
            depth == dims.len()
                && (value.as_scalar().is_some() || matches!(value, Value::Number(_)))
        }
    }
}

/// The kind of a number, whether it is known or not.
fn number_kind_of(value: &Value) -> Option<Kind> {
    match value {
        Value::Number(number) => Some(match number.kind {
            NumberKind::Bool => Kind::Bool,
            NumberKind::Int => Kind::Int,
            NumberKind::Float => Kind::Float,
        }),
        other => other.as_scalar().map(Scalar::kind),
    }
}
