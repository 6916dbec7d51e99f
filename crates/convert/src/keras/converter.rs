//! What layers write nodes with.

mod shapes;

use std::collections::HashMap;

use modelyard_graph::{Constant, ElementType, Node};
use modelyard_tensor::Dim;

use crate::emitter::{Emitter, node};
use crate::keras::fault::Fault;
use crate::keras::value::{Value, broadcast, fixed};
use crate::keras::variables::Variables;
use crate::keras::weight::Weight;
use crate::keras::weights::Weights;

/// A graph that is being written, and the weights of the model.
pub(crate) struct Converter<'a> {
    /// The graph.
    pub(crate) emitter: Emitter,
    weights: &'a Weights,
    /// Names of weights that are in the graph already: layers may be called several times.
    written: HashMap<(String, &'static str), (String, Vec<usize>)>,
    /// What the reader should know.
    pub(crate) notes: Vec<String>,
    /// Calls that may still be made, so that models inside models inside models end.
    pub(crate) calls_left: usize,
    /// How far answers may be apart, where something is only approximately the same.
    pub(crate) relative: f64,
}

/// One dimension to reshape to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// This many.
    Fixed(usize),
    /// As many as this axis of the value has.
    Axis(usize),
    /// The product of these two neighbouring axes.
    Product(usize, usize),
    /// Whatever is left. At most one.
    Rest,
}

impl<'a> Converter<'a> {
    /// A converter that writes into `emitter`.
    pub(crate) fn new(emitter: Emitter, weights: &'a Weights, calls: usize) -> Converter<'a> {
        Converter {
            emitter,
            weights,
            written: HashMap::new(),
            notes: Vec::new(),
            calls_left: calls,
            relative: 0.0,
        }
    }

    /// Tells the reader that something is only approximately the same, and how far it may be off
    /// relative to the largest answer.
    pub(crate) fn approximate(&mut self, relative: f64, note: &str) {
        self.relative = self.relative.max(relative);
        self.notes.push(note.to_owned());
    }

    /// Reads a weight.
    pub(crate) fn read(&self, of: &Variables, name: &str) -> Result<Weight, Fault> {
        self.weights.read(of, name)
    }

    /// Adds a weight to the graph as it is, and gives its name and shape.
    pub(crate) fn weight(
        &mut self,
        of: &Variables,
        name: &'static str,
    ) -> Result<(String, Vec<usize>), Fault> {
        self.weight_as(of, name, Ok)
    }

    /// Adds a weight to the graph in another layout, and gives its name and shape. A layer that is
    /// called again gets the one that is there: `change` is always the same for a weight.
    pub(crate) fn weight_as(
        &mut self,
        of: &Variables,
        name: &'static str,
        change: impl FnOnce(Weight) -> Result<Weight, Fault>,
    ) -> Result<(String, Vec<usize>), Fault> {
        self.derived_weight(of, name, |to| change(to.read(of, name)?))
    }

    /// Adds something that is computed of the weights of a layer, once for all calls, under the
    /// name that a weight would have.
    pub(crate) fn derived_weight(
        &mut self,
        of: &Variables,
        name: &'static str,
        make: impl FnOnce(&mut Converter<'a>) -> Result<Weight, Fault>,
    ) -> Result<(String, Vec<usize>), Fault> {
        let key = (of.path.clone(), name);
        if let Some(written) = self.written.get(&key) {
            return Ok(written.clone());
        }
        let weight = make(self)?;
        let constant = weight.constant(&format!("{}/{name}", of.label));
        let written = (self.emitter.weight(constant), weight.dims);
        self.written.insert(key, written.clone());
        Ok(written)
    }

    /// A value of the graph.
    pub(crate) fn value(&self, name: String, dims: Vec<Dim>, element_type: ElementType) -> Value {
        Value { name, dims, element_type, mask: None, declared: None }
    }

    /// A float value like another one, but for its name.
    pub(crate) fn like(&self, value: &Value, name: String) -> Value {
        self.value(name, value.dims.clone(), value.element_type)
    }

    /// Adds a node without attributes.
    pub(crate) fn op<S: AsRef<str>>(&mut self, op_type: &str, inputs: &[S]) -> String {
        self.emitter.add(node(op_type, inputs))
    }

    /// Adds a node.
    pub(crate) fn add(&mut self, node: Node) -> String {
        self.emitter.add(node)
    }

    /// Adds an elementwise node of one input.
    pub(crate) fn unary(&mut self, op_type: &str, value: &Value) -> Value {
        let name = self.op(op_type, &[&value.name]);
        self.like(value, name)
    }

    /// Adds an elementwise node of two inputs that are broadcast.
    pub(crate) fn binary(
        &mut self,
        op_type: &str,
        one: &Value,
        two: &Value,
    ) -> Result<Value, Fault> {
        let dims = broadcast(&one.dims, &two.dims).ok_or_else(|| {
            let (one, two) = (&one.dims, &two.dims);
            Fault::malformed(format!("shapes {one:?} and {two:?} do not fit together"))
        })?;
        let name = self.op(op_type, &[&one.name, &two.name]);
        Ok(self.value(name, dims, one.element_type))
    }

    /// Adds an elementwise node of a value and a float.
    pub(crate) fn with_scalar(&mut self, op_type: &str, value: &Value, scalar: f32) -> Value {
        let scalar = self.emitter.scalar("value", scalar);
        let name = self.op(op_type, &[&value.name, &scalar]);
        self.like(value, name)
    }

    /// A float constant of no dimensions as a value.
    pub(crate) fn scalar(&mut self, value: f32) -> Value {
        let name = self.emitter.scalar("value", value);
        self.value(name, Vec::new(), ElementType::Float32)
    }

    /// A constant as a value.
    pub(crate) fn constant(&mut self, constant: Constant) -> Value {
        let dims = constant.dims.iter().map(|&size| Dim::Fixed(size)).collect();
        let element_type = constant.element_type;
        let name = self.emitter.constant(constant);
        self.value(name, dims, element_type)
    }

    /// The value in another type.
    pub(crate) fn cast(&mut self, value: &Value, element_type: ElementType) -> Value {
        if value.element_type == element_type {
            return value.clone();
        }
        let cast = node("Cast", &[&value.name]).with("to", i64::from(element_type.code()));
        let name = self.add(cast);
        Value { name, element_type, declared: None, ..value.clone() }
    }

    /// The value as floats.
    pub(crate) fn float(&mut self, value: &Value) -> Value {
        self.cast(value, ElementType::Float32)
    }

    /// A reduction over these axes.
    pub(crate) fn reduce(
        &mut self,
        op_type: &str,
        value: &Value,
        axes: &[usize],
        keep: bool,
    ) -> Value {
        let list: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let list = self.emitter.integers("axes", &list);
        let reduce = node(op_type, &[&value.name, &list]).with("keepdims", i64::from(keep));
        let name = self.add(reduce);
        let dims = value.dims.iter().enumerate().filter_map(|(axis, dim)| {
            match (axes.contains(&axis), keep) {
                (false, _) => Some(dim.clone()),
                (true, true) => Some(Dim::Fixed(1)),
                (true, false) => None,
            }
        });
        self.value(name, dims.collect(), value.element_type)
    }

    /// A slice along one axis: every `step`th from `start` to `end` (left out).
    pub(crate) fn slice(
        &mut self,
        value: &Value,
        axis: usize,
        (start, end, step): (i64, i64, i64),
    ) -> Value {
        let inputs = [
            value.name.clone(),
            self.emitter.integers("starts", &[start]),
            self.emitter.integers("ends", &[end]),
            self.emitter.integers("axes", &[axis as i64]),
            self.emitter.integers("steps", &[step]),
        ];
        let name = self.op("Slice", &inputs);
        let mut dims = value.dims.clone();
        dims[axis] =
            crate::keras::value::derived(&value.dims[axis], |size| sliced(size, start, end, step));
        self.value(name, dims, value.element_type)
    }

    /// The values one after the other along an axis.
    pub(crate) fn concat(&mut self, values: &[Value], axis: usize) -> Result<Value, Fault> {
        let Some(first) = values.first() else {
            return Err(Fault::malformed("expected tensors to join, found none"));
        };
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        let name = self.add(node("Concat", &names).with("axis", axis as i64));
        let mut dims = first.dims.clone();
        for value in values {
            // Sizes that only some of them know hold for all.
            for (index, dim) in value.dims.iter().enumerate().take(dims.len()) {
                if index != axis && fixed(&dims[index]).is_none() && fixed(dim).is_some() {
                    dims[index] = dim.clone();
                }
            }
        }
        let sizes: Option<Vec<usize>> = values.iter().map(|value| value.size(axis)).collect();
        if let Some(dim) = dims.get_mut(axis) {
            *dim = sizes.map_or(Dim::Free, |sizes| Dim::Fixed(sizes.iter().sum()));
        }
        Ok(self.value(name, dims, first.element_type))
    }

    /// The product of two values, whose matrices are in the last two axes; with this shape.
    pub(crate) fn matmul(&mut self, one: &Value, two: &Value, dims: Vec<Dim>) -> Value {
        let name = self.op("MatMul", &[&one.name, &two.name]);
        self.value(name, dims, ElementType::Float32)
    }
}

/// How many elements a slice takes of so many.
pub(crate) fn sliced(size: usize, start: i64, end: i64, step: i64) -> Option<usize> {
    let size = i64::try_from(size).ok()?;
    let place = |index: i64| if index < 0 { index.saturating_add(size) } else { index };
    let count = if step > 0 {
        let (start, end) = (place(start).clamp(0, size), place(end).clamp(0, size));
        (end - start).max(0).checked_add(step - 1)? / step
    } else {
        let (start, end) = (place(start).clamp(-1, size - 1), place(end).clamp(-1, size - 1));
        (start - end).max(0).checked_add(step.checked_neg()? - 1)? / step.checked_neg()?
    };
    usize::try_from(count).ok()
}
