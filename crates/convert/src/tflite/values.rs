//! The values of a graph while it is converted: which names they have in ONNX.
//!
//! A quantized tensor has two: its integers as they are stored, and the real numbers they stand
//! for, behind a DequantizeLinear. Operators that move data take the integers; those that compute
//! take the real numbers, and what they give is quantized again.

use std::collections::HashMap;

use bytes::Bytes;
use modelyard_graph::{Constant, ElementType, Node};

use super::convert::Converter;
use super::model::{Operator, Quantization, Tensor};
use super::stop::{Stop, refused};
use crate::ConvertError;
use crate::emitter::node;

/// Names of one tensor.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value {
    /// Of what is stored.
    pub(crate) raw: Option<String>,
    /// Of the real numbers; the same as `raw` where it is not quantized.
    pub(crate) real: Option<String>,
}

/// A constant, whatever stands between the file and its use: dense, as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Fixed {
    pub(crate) name: String,
    pub(crate) element_type: ElementType,
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Bytes,
    pub(crate) quantization: Option<Quantization>,
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

    /// The tensor that a constant comes from: it may be made dense or real on its way.
    fn origin(&self, mut tensor: usize) -> Option<usize> {
        // Longer chains are none of a converter's.
        for _ in 0..8 {
            if self.model.is_constant(self.tensor(tensor)) {
                return Some(tensor);
            }
            let producer = self.scope.producers.get(&tensor)?;
            if !matches!(producer.kind.as_str(), "DEQUANTIZE" | "DENSIFY") {
                return None;
            }
            tensor = producer.optional(0)?;
        }
        None
    }

    /// Whether the file holds the elements of a tensor.
    pub(crate) fn is_constant(&self, tensor: usize) -> bool {
        self.scope.bound.contains_key(&tensor)
            || self.origin(tensor).is_some()
            || self.is_empty(tensor)
    }

    /// A constant without elements has no buffer; nothing computes it.
    fn is_empty(&self, tensor: usize) -> bool {
        let found = self.tensor(tensor);
        found.shape.contains(&0)
            && found.signature.iter().all(Option::is_some)
            && !self.scope.producers.contains_key(&tensor)
            && self.scope.values[tensor].raw.is_none()
    }

    /// A constant as the file has it; `None` for a tensor that is computed.
    pub(crate) fn fixed(&self, tensor: usize) -> Result<Option<Fixed>, Stop> {
        if let Some(bound) = self.scope.bound.get(&tensor) {
            return Ok(Some(bound.clone()));
        }
        let (origin, is_empty) = match self.origin(tensor) {
            Some(origin) => (origin, false),
            None if self.is_empty(tensor) => (tensor, true),
            None => return Ok(None),
        };
        let element_type = self.element_type(origin)?;
        let found = self.tensor(origin);
        let bytes = if is_empty { Bytes::new() } else { self.model.elements(found)? };
        Ok(Some(Fixed {
            name: found.name.clone(),
            // Spread to bytes by `elements`.
            element_type: match element_type {
                ElementType::Int4 => ElementType::Int8,
                other => other,
            },
            dims: found.shape.clone(),
            bytes,
            quantization: found.quantized().cloned(),
        }))
    }

    /// The elements of a constant of integers; `None` for a tensor that is computed.
    pub(crate) fn integers(&self, tensor: usize) -> Result<Option<Vec<i64>>, Stop> {
        // Shapes, axes, paddings: short lists.
        const MOST: usize = 1 << 16;
        let Some(fixed) = self.fixed(tensor)? else { return Ok(None) };
        let constant =
            Constant::raw(&fixed.name, fixed.element_type, &fixed.dims, fixed.bytes.clone());
        Ok(constant.integers(MOST))
    }

    /// The elements of an input that must be a constant of integers.
    pub(crate) fn required(
        &self,
        op: &Operator,
        input: usize,
        what: &str,
    ) -> Result<Vec<i64>, Stop> {
        let way_out = "export the model with fixed shapes, or fold its constants";
        self.integers(op.input(input)?)?
            .ok_or_else(|| refused(format!("{what} that is computed at run time"), way_out))
    }

    /// The elements of a constant of floats, real numbers of quantized ones; `None` for a tensor
    /// that is computed.
    pub(crate) fn floats(&self, tensor: usize) -> Result<Option<Vec<f32>>, Stop> {
        let Some(fixed) = self.fixed(tensor)? else { return Ok(None) };
        Ok(Some(super::quantization::real_elements(
            fixed.element_type,
            &fixed.dims,
            &fixed.bytes,
            fixed.quantization.as_ref(),
        )?))
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

    /// DequantizeLinear takes no integers of 64 bits: those that fit are stored in 32, others as
    /// the numbers they stand for.
    fn narrow_or_real(&mut self, mut fixed: Fixed) -> Result<String, Stop> {
        let values: Vec<i64> =
            fixed.bytes.as_chunks().0.iter().map(|&item| i64::from_le_bytes(item)).collect();
        let narrow: Option<Vec<i32>> =
            values.iter().map(|&value| i32::try_from(value).ok()).collect();
        let (element_type, bytes): (_, Vec<u8>) = match narrow {
            Some(narrow) => {
                (ElementType::Int32, narrow.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
            None => {
                let real = super::quantization::real_elements(
                    fixed.element_type,
                    &fixed.dims,
                    &fixed.bytes,
                    fixed.quantization.take().as_ref(),
                )?;
                (ElementType::Float32, real.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        };
        self.real_fixed(Fixed { element_type, bytes: bytes.into(), ..fixed })
    }

    /// The real numbers of integers.
    pub(crate) fn dequantize(
        &mut self,
        raw: &str,
        element_type: ElementType,
        quantization: &Quantization,
    ) -> Result<String, Stop> {
        let (scale, zero_point) = self.parameters(element_type, quantization)?;
        let mut inputs = vec![raw.to_owned(), scale];
        inputs.extend(zero_point);
        let node = node("DequantizeLinear", &inputs);
        Ok(self.emitter.add(per_axis(node, quantization)))
    }

    /// The integers of real numbers.
    pub(crate) fn quantize(
        &mut self,
        real: &str,
        element_type: ElementType,
        quantization: &Quantization,
    ) -> Result<String, Stop> {
        let (scale, zero_point) = self.parameters(element_type, quantization)?;
        let Some(zero_point) = zero_point else {
            return self.quantize_wide(real, element_type, &scale);
        };
        let node = node("QuantizeLinear", &[real.to_owned(), scale, zero_point]);
        Ok(self.emitter.add(per_axis(node, quantization)))
    }

    /// QuantizeLinear gives no integers of 32 bits.
    fn quantize_wide(
        &mut self,
        real: &str,
        element_type: ElementType,
        scale: &str,
    ) -> Result<String, Stop> {
        let steps = self.emitter.add(node("Div", &[real, scale]));
        let rounded = self.emitter.add(node("Round", &[steps]));
        Ok(self.cast(&rounded, element_type))
    }

    /// Scale and zero point as constants, one of each for all uses; integers of 32 bits have no
    /// zero point.
    fn parameters(
        &mut self,
        element_type: ElementType,
        quantization: &Quantization,
    ) -> Result<(String, Option<String>), Stop> {
        if matches!(element_type, ElementType::Int16 | ElementType::Uint16) {
            self.emitter.require("", 21);
        }
        let key = format!("{element_type} {quantization:?}");
        if let Some(found) = self.parameters.get(&key) {
            return Ok(found.clone());
        }
        let dims: Vec<usize> = match quantization.scales.len() {
            1 => Vec::new(),
            count => vec![count],
        };
        let scale = self.emitter.weight(Constant::floats("scale", &dims, &quantization.scales));
        let points = &quantization.zero_points;
        let bytes: Option<Vec<u8>> = match element_type {
            ElementType::Int8 | ElementType::Uint8 => {
                Some(points.iter().map(|&point| point as u8).collect())
            }
            ElementType::Int16 => {
                Some(points.iter().flat_map(|&point| (point as i16).to_le_bytes()).collect())
            }
            ElementType::Int32 if points.iter().all(|&point| point == 0) => None,
            _ => {
                return Err(refused(
                    format!("quantization to {element_type} with zero points"),
                    "convert the model to TensorFlow Lite again with 8-bit integers",
                ));
            }
        };
        let zero_point = bytes
            .map(|bytes| self.emitter.weight(Constant::raw("zero", element_type, &dims, bytes)));
        self.parameters.insert(key, (scale.clone(), zero_point.clone()));
        Ok((scale, zero_point))
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

fn per_axis(node: Node, quantization: &Quantization) -> Node {
    match quantization.scales.len() {
        1 => node,
        _ => node.with("axis", quantization.axis as i64),
    }
}

fn constant(fixed: &Fixed) -> Constant {
    Constant::raw(&fixed.name, fixed.element_type, &fixed.dims, fixed.bytes.clone())
}

impl Fixed {
    /// The same with its dimensions in another order, a permutation.
    pub(crate) fn transposed(self, order: &[usize]) -> Result<Fixed, ConvertError> {
        let size = self.element_type.bits() / 8;
        let bytes = transposed(&self.bytes, &self.dims, order, size).ok_or_else(|| {
            let (dims, place) = (&self.dims, format!("tensor '{}'", self.name));
            super::model::damaged(&place, format!("shape {dims:?} cannot be ordered as {order:?}"))
        })?;
        let quantization = self.quantization.map(|quantization| {
            let axis = order.iter().position(|&axis| axis == quantization.axis).unwrap_or(0);
            Quantization { axis, ..quantization }
        });
        let dims = order.iter().map(|&axis| self.dims[axis]).collect();
        Ok(Fixed { dims, bytes: bytes.into(), quantization, ..self })
    }
}

/// Elements of `size` bytes with their dimensions in another order; `None` where that fits not.
fn transposed(bytes: &[u8], dims: &[usize], order: &[usize], size: usize) -> Option<Vec<u8>> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    let elements: usize = dims.iter().product();
    if !sorted.iter().copied().eq(0..dims.len()) || elements.checked_mul(size)? != bytes.len() {
        return None;
    }
    let mut strides = vec![size; dims.len()];
    for axis in (0..dims.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * dims[axis + 1];
    }
    let sizes: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
    let strides: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
    let mut result = Vec::with_capacity(bytes.len());
    let mut index = vec![0; sizes.len()];
    let mut at = 0;
    for _ in 0..elements {
        result.extend_from_slice(bytes.get(at..at + size)?);
        for axis in (0..sizes.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < sizes[axis] {
                break;
            }
            at -= strides[axis] * sizes[axis];
            index[axis] = 0;
        }
    }
    Some(result)
}

/// Which operator gives each tensor.
pub(crate) fn producers(operators: &[Operator]) -> HashMap<usize, &Operator> {
    let each = |op| Operator::outputs_of(op).map(move |output| (output, op));
    operators.iter().flat_map(each).collect()
}

impl Operator {
    fn outputs_of(&self) -> impl Iterator<Item = usize> + use<'_> {
        self.outputs.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_transposed_once() {
        let bytes: Vec<u8> = (0..6).collect();
        assert_eq!(transposed(&bytes, &[2, 3], &[1, 0], 1), Some(vec![0, 3, 1, 4, 2, 5]));
        assert_eq!(transposed(&bytes, &[1, 3], &[1, 0], 2), Some(bytes.clone()));
        assert_eq!(transposed(&bytes, &[2, 3], &[0, 0], 1), None);
        assert_eq!(transposed(&bytes, &[2, 4], &[1, 0], 1), None);
    }
}
