//! What conversions of operators write with: names of values, small graphs of common use, and the
//! elements of constants.

use std::sync::Arc;

use modelyard_graph::{Constant, ConstantData, ElementType, Node as OnnxNode};
use modelyard_tensor::{Dim, strings};

use super::context::{Call, Context};
use super::ops::Size;
use super::value::{Known, Refusal, Val, Value};
use crate::emitter::node;
use crate::reference::{Array, Data};

/// Constants of at most so many elements may be looked at by value.
const MAX_LISTED: usize = 1 << 16;

impl Context<'_> {
    /// The name of a value; a constant is written when it is first asked for.
    pub(super) fn name(&mut self, value: &Value) -> Result<String, Refusal> {
        if let Some(name) = value.name.get() {
            return Ok(name.clone());
        }
        let name = match &value.known {
            Some(Known::Weight(weight)) => {
                let constant = as_floats(weight.constant()?);
                match constant.name.is_empty() {
                    true => self.emitter.constant(constant),
                    false => self.emitter.weight(constant),
                }
            }
            Some(Known::Array(array)) => {
                let constant = constant_of("constant", array)?;
                self.emitter.constant(constant)
            }
            None => {
                return Err(Refusal::new("an input that is no tensor", "the file may be damaged"));
            }
        };
        // Nobody else writes it meanwhile.
        let _ = value.name.set(name.clone());
        Ok(name)
    }

    /// The names of the first inputs of a node.
    pub(super) fn names<const N: usize>(
        &mut self,
        call: &Call<'_>,
    ) -> Result<[String; N], Refusal> {
        let mut names = [const { String::new() }; N];
        for (index, name) in names.iter_mut().enumerate() {
            *name = self.name(call.input(index)?)?;
        }
        Ok(names)
    }

    /// Adds a node without attributes, and gives the name of its output.
    pub(super) fn add<S: AsRef<str>>(&mut self, op_type: &str, inputs: &[S]) -> String {
        self.emitter.add(node(op_type, inputs))
    }

    /// Adds a node, and gives the name of its output.
    pub(super) fn add_node(&mut self, node: OnnxNode) -> String {
        self.emitter.add(node)
    }

    /// Adds a node with axes as its second input.
    pub(super) fn with_axes(&mut self, op_type: &str, input: &str, axes: &[i64]) -> String {
        let axes = self.emitter.integers("axes", axes);
        self.add(op_type, &[input, &axes])
    }

    pub(super) fn transpose(&mut self, input: &str, order: &[usize]) -> String {
        if order.iter().enumerate().all(|(to, &from)| to == from) {
            return input.to_owned();
        }
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.emitter.add(node("Transpose", &[input]).with("perm", order.as_slice()))
    }

    pub(super) fn cast(&mut self, input: &str, to: ElementType) -> String {
        self.emitter.add(node("Cast", &[input]).with("to", i64::from(to.code())))
    }

    /// Reshapes to sizes known here; -1 for what follows from the others.
    pub(super) fn reshape(&mut self, input: &str, sizes: &[i64]) -> String {
        let shape = self.emitter.integers("shape", sizes);
        let reshape = node("Reshape", &[input, &shape]);
        // To ONNX, 0 says "as before".
        let reshape = if sizes.contains(&0) { reshape.with("allowzero", 1) } else { reshape };
        self.emitter.add(reshape)
    }

    /// Reshapes to sizes some of which follow from the input.
    pub(super) fn reshape_or_copy(&mut self, input: &str, sizes: &[Size]) -> String {
        let number = |size: &Size| match size {
            Size::Is(size) => *size as i64,
            Size::Same => 0,
            Size::Rest => -1,
        };
        let copies = sizes.contains(&Size::Same);
        let sizes: Vec<i64> = sizes.iter().map(number).collect();
        if !copies {
            return self.reshape(input, &sizes);
        }
        let shape = self.emitter.integers("shape", &sizes);
        self.emitter.add(node("Reshape", &[input, &shape]))
    }

    /// A constant without dimensions, of the type of `like`.
    pub(super) fn scalar(
        &mut self,
        name: &str,
        value: f64,
        like: ElementType,
    ) -> Result<String, Refusal> {
        let array = Array::from_f64s(like, &[], vec![value])?;
        let constant = constant_of(name, &array)?;
        Ok(self.emitter.constant(constant))
    }

    /// The elements of a constant; `None` where they differ from run to run.
    pub(super) fn array(&self, value: &Value) -> Result<Option<Arc<Array>>, Refusal> {
        Ok(match &value.known {
            Some(Known::Array(array)) => Some(Arc::clone(array)),
            Some(Known::Weight(weight)) => Some(Arc::new(weight.array()?)),
            None => None,
        })
    }

    /// The elements of a list of integers that must be the same for every run. `what` is for the
    /// refusal.
    pub(super) fn integers(&self, value: &Value, what: &str) -> Result<Vec<i64>, Refusal> {
        let found = match value.known_elements() {
            Some(count) if count <= MAX_LISTED => self.array(value)?,
            _ => None,
        };
        let found = found.as_ref().and_then(|array| array.as_ints().ok());
        found.map(<[i64]>::to_vec).ok_or_else(|| {
            Refusal::new(
                format!("{what} that is computed from the input"),
                "make it a constant, or give the input a fixed shape when it is exported",
            )
        })
    }

    /// One integer that must be the same for every run.
    pub(super) fn integer(&self, value: &Value, what: &str) -> Result<i64, Refusal> {
        let values = self.integers(value, what)?;
        values.first().copied().filter(|_| values.len() == 1).ok_or_else(|| {
            Refusal::new(format!("{what} of {} elements", values.len()), "the file may be damaged")
        })
    }

    /// A list of sizes as 64-bit integers, for operators that take a shape.
    pub(super) fn shape(&mut self, value: &Val) -> Result<String, Refusal> {
        if let Ok(sizes) = self.integers(value, "a shape") {
            return Ok(self.emitter.integers("shape", &sizes));
        }
        let name = self.name(value)?;
        match value.element_type {
            ElementType::Int64 => Ok(name),
            _ => Ok(self.cast(&name, ElementType::Int64)),
        }
    }

    /// A tensor value of a name.
    pub(super) fn value(
        &self,
        name: String,
        element_type: ElementType,
        dims: Option<Vec<Dim>>,
    ) -> Val {
        Value::tensor(name, element_type, dims)
    }
}

/// A constant of the elements of an array.
pub(super) fn constant_of(name: &str, array: &Array) -> Result<Constant, Refusal> {
    let tensor = array.to_tensor()?;
    let data = match array.data() {
        Data::Strings(_) => {
            let items = strings::iter(tensor.data()).map(|item| tensor.data().slice_ref(item));
            ConstantData::Strings(items.collect())
        }
        _ => ConstantData::Raw(tensor.data().clone()),
    };
    let (element_type, dims) = (array.element_type(), array.dims().to_vec());
    Ok(Constant { name: name.into(), element_type, dims, data })
}

/// Complex numbers are pairs of floats in one more dimension.
fn as_floats(constant: Constant) -> Constant {
    let element_type = match constant.element_type {
        ElementType::Complex64 => ElementType::Float32,
        ElementType::Complex128 => ElementType::Float64,
        _ => return constant,
    };
    let dims = [constant.dims.as_slice(), &[2]].concat();
    Constant { element_type, dims, ..constant }
}
