//! The values of a graph while it is converted: which names they have in ONNX.
//!
//! A quantized tensor has two: its integers as they are stored, and the real numbers they stand
//! for, behind a DequantizeLinear. Operators that move data take the integers; those that compute
//! take the real numbers, and what they give is quantized again.

use modelyard_graph::ElementType;

use super::convert::Converter;
use super::fixed::{Fixed, constant};
use super::model::Tensor;
use super::stop::{Stop, refused};
use crate::emitter::node;

/// Names of one tensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value {
    /// Of what is stored.
    pub(crate) raw: Option<String>,
    /// Of the real numbers; the same as `raw` where it is not quantized.
    pub(crate) real: Option<String>,
}

impl Converter<'_> {
    /// The tensor of this number.
    pub(crate) fn tensor(&self, tensor: usize) -> &Tensor {
        &self.scope.graph.tensors[tensor]
    }

    /// What a tensor's elements are; handles are refused.
    pub(crate) fn element_type(&self, tensor: usize) -> Result<ElementType, Stop> {
        let tensor = self.tensor(tensor);
        tensor.element_type.ok_or_else(|| {
            let reason = format!("the handle '{}' as a value", tensor.name);
            refused(reason, "export a model without tables and lists")
        })
    }

    /// The sizes of a tensor; `None` for dimensions that are free.
    pub(crate) fn dims(&self, tensor: usize) -> &[Option<usize>] {
        &self.scope.dims[tensor]
    }

    pub(crate) fn rank(&self, tensor: usize) -> usize {
        self.scope.dims[tensor].len()
    }

    /// The sizes of a tensor where none is free.
    pub(crate) fn fixed_dims(&self, tensor: usize) -> Option<Vec<usize>> {
        self.dims(tensor).iter().copied().collect()
    }

    /// An axis that may be counted from the end.
    pub(crate) fn axis(&self, tensor: usize, axis: i64) -> Result<usize, Stop> {
        let rank = self.rank(tensor);
        let found = if axis < 0 { axis + rank as i64 } else { axis };
        let found = usize::try_from(found).ok().filter(|&found| found < rank.max(1));
        let tensor = &self.tensor(tensor).name;
        found.ok_or_else(|| {
            refused(
                format!("axis {axis} of '{tensor}', which has {rank} dimensions,"),
                "the file is damaged; convert the model to TensorFlow Lite again",
            )
        })
    }

    /// The name of what is stored of a tensor.
    pub(crate) fn raw(&mut self, tensor: usize) -> Result<String, Stop> {
        if let Some(name) = &self.scope.values[tensor].raw {
            return Ok(name.clone());
        }
        if self.tensor(tensor).is_variable {
            let name = self.variables.read(&self.tensor(tensor).name)?;
            self.give_raw(tensor, name.clone());
            return Ok(name);
        }
        if self.is_constant(tensor) {
            if !self.model.is_constant(self.tensor(tensor)) && !self.is_empty(tensor) {
                // Made real on its way: has no stored form of its own.
                let name = self.real_constant(tensor, None)?;
                self.scope.values[tensor] =
                    Value { raw: Some(name.clone()), real: Some(name.clone()) };
                return Ok(name);
            }
            let fixed = self.fixed(tensor)?;
            let fixed = fixed.ok_or_else(|| self.unavailable(tensor))?;
            let name = self.emitter.weight(constant(&fixed));
            self.scope.values[tensor].raw = Some(name.clone());
            return Ok(name);
        }
        Err(self.unavailable(tensor))
    }

    fn unavailable(&self, tensor: usize) -> Stop {
        let name = &self.tensor(tensor).name;
        if self.scope.complex.contains_key(&tensor) {
            let way_out = "use only the magnitude, the real or the imaginary part of it";
            return refused("a complex number as the input of an operator", way_out);
        }
        let message = format!("'{name}' is used before anything computes it");
        super::model::damaged("a graph", message).into()
    }

    /// The name of the real numbers of a tensor.
    pub(crate) fn real(&mut self, tensor: usize) -> Result<String, Stop> {
        if let Some(name) = &self.scope.values[tensor].real {
            return Ok(name.clone());
        }
        let name = if self.scope.values[tensor].raw.is_none() && self.origin(tensor).is_some() {
            self.real_constant(tensor, None)?
        } else {
            let raw = self.raw(tensor)?;
            match self.tensor(tensor).quantized().cloned() {
                Some(quantization) => {
                    let element_type = self.element_type(tensor)?;
                    self.dequantize(&raw, element_type, &quantization)?
                }
                None => raw,
            }
        };
        self.scope.values[tensor].real = Some(name.clone());
        Ok(name)
    }

    /// The real numbers of a constant, its dimensions in another order. `order` is a permutation.
    pub(crate) fn real_constant(
        &mut self,
        tensor: usize,
        order: Option<&[usize]>,
    ) -> Result<String, Stop> {
        let fixed = self.fixed(tensor)?;
        let mut fixed = fixed.ok_or_else(|| self.unavailable(tensor))?;
        if let Some(order) = order {
            fixed = fixed.transposed(order)?;
        }
        self.real_fixed(fixed)
    }

    /// The real numbers of a constant.
    pub(crate) fn real_fixed(&mut self, fixed: Fixed) -> Result<String, Stop> {
        match (&fixed.quantization, fixed.element_type) {
            (None, ElementType::Float16 | ElementType::Bfloat16) => {
                let stored = self.emitter.weight(constant(&fixed));
                let cast = node("Cast", &[stored]);
                Ok(self.emitter.add(cast.with("to", i64::from(ElementType::Float32.code()))))
            }
            (Some(_), ElementType::Int64) => self.narrow_or_real(fixed),
            (Some(quantization), _) => {
                let quantization = quantization.clone();
                let stored = self.emitter.weight(constant(&fixed));
                self.dequantize(&stored, fixed.element_type, &quantization)
            }
            _ => Ok(self.emitter.weight(constant(&fixed))),
        }
    }

    /// A tensor is what is stored under this name.
    pub(crate) fn give_raw(&mut self, tensor: usize, name: String) {
        let real = self.tensor(tensor).quantized().is_none().then(|| name.clone());
        self.scope.values[tensor] = Value { raw: Some(name), real };
    }

    /// A tensor is the real numbers of this name, rounded to what it can hold.
    pub(crate) fn give(&mut self, tensor: usize, name: String) -> Result<(), Stop> {
        match self.tensor(tensor).quantized().cloned() {
            Some(quantization) => {
                let element_type = self.element_type(tensor)?;
                let raw = self.quantize(&name, element_type, &quantization)?;
                self.scope.values[tensor] = Value { raw: Some(raw), real: None };
            }
            None => self.give_raw(tensor, name),
        }
        Ok(())
    }

    /// A tensor that keeps its value has these real numbers in the next run.
    pub(crate) fn next_state(&mut self, tensor: usize, name: String) -> Result<(), Stop> {
        self.give(tensor, name)?;
        let stored = self.raw(tensor)?;
        self.next_stored_state(tensor, stored)
    }

    /// A tensor that keeps its value is what is stored under this name in the next run.
    pub(crate) fn next_stored_state(&mut self, tensor: usize, raw: String) -> Result<(), Stop> {
        if self.is_inner() {
            let way_out = "keep state outside of conditions and loops";
            return Err(refused("state that changes inside of control flow", way_out));
        }
        self.give_raw(tensor, raw.clone());
        let state = self.tensor(tensor).name.clone();
        self.variables.assign(&state, raw);
        Ok(())
    }

    /// The same elements as another type.
    pub(crate) fn cast(&mut self, value: &str, to: ElementType) -> String {
        self.emitter.add(node("Cast", &[value]).with("to", i64::from(to.code())))
    }

    /// Integers for a node that takes them as 64 bits: shapes, repeats, axes.
    pub(crate) fn int64(&mut self, tensor: usize) -> Result<String, Stop> {
        if self.rank(tensor) < 2
            && let Some(values) = self.integers(tensor)?
        {
            return Ok(match self.rank(tensor) {
                0 => self.emitter.integer("value", values.first().copied().unwrap_or(0)),
                _ => self.emitter.integers("values", &values),
            });
        }
        let raw = self.raw(tensor)?;
        Ok(match self.element_type(tensor)? {
            ElementType::Int64 => raw,
            _ => self.cast(&raw, ElementType::Int64),
        })
    }

    /// Indices of any shape for a node that takes them as 64 bits.
    pub(crate) fn int64_array(&mut self, tensor: usize) -> Result<String, Stop> {
        let raw = self.raw(tensor)?;
        Ok(match self.element_type(tensor)? {
            ElementType::Int64 => raw,
            _ => self.cast(&raw, ElementType::Int64),
        })
    }

    /// The dimensions of a value in another order.
    pub(crate) fn transpose(&mut self, value: &str, order: &[usize]) -> String {
        let order: Vec<i64> = order.iter().map(|&axis| axis as i64).collect();
        self.emitter.add(node("Transpose", &[value]).with("perm", order.as_slice()))
    }
}
