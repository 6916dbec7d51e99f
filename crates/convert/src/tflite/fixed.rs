//! Constants, whatever stands between the file and their use.

use std::collections::HashMap;

use bytes::Bytes;
use modelyard_graph::{Constant, ElementType};

use super::convert::Converter;
use super::model::{Operator, Quantization};
use super::stop::{Stop, refused};
use crate::ConvertError;

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
    /// The tensor that a constant comes from: it may be made dense or real on its way.
    pub(super) fn origin(&self, mut tensor: usize) -> Option<usize> {
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
    pub(super) fn is_empty(&self, tensor: usize) -> bool {
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
}

pub(super) fn constant(fixed: &Fixed) -> Constant {
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
