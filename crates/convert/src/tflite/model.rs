//! A model as the file says it: graphs of operators over tensors, and where the weights lie.

use std::collections::HashMap;

use bytes::Bytes;
use modelyard_graph::ElementType;

use super::flatbuffer::{Span, Table};
use super::schema::{FORMAT, Padding};
use super::sparse::Sparsity;
use crate::input::Input;
use crate::{ConvertError, Limits};

/// A file that was read. Weights stay where they are.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) input: Input,
    pub(crate) limits: Limits,
    /// What the converter wrote about itself.
    pub(crate) description: String,
    /// The graphs; the first is the main one. There is at least one.
    pub(crate) subgraphs: Vec<Subgraph>,
    pub(crate) signatures: Vec<SignatureDef>,
    /// Where the contents of each buffer lie.
    pub(crate) buffers: Vec<Span>,
    /// Buffers with notes of tools, by name.
    pub(crate) metadata: HashMap<String, usize>,
}

/// A graph: the model, a branch of it, or the body of a loop.
#[derive(Debug)]
pub(crate) struct Subgraph {
    pub(crate) name: String,
    pub(crate) tensors: Vec<Tensor>,
    /// Numbers of tensors.
    pub(crate) inputs: Vec<usize>,
    /// Numbers of tensors.
    pub(crate) outputs: Vec<usize>,
    /// In the order in which they run.
    pub(crate) operators: Vec<Operator>,
}

/// A value between operators, or a constant.
#[derive(Debug)]
pub(crate) struct Tensor {
    pub(crate) name: String,
    /// `None` for handles of variables and tables.
    pub(crate) element_type: Option<ElementType>,
    /// As the file was compiled: free dimensions have some size here.
    pub(crate) shape: Vec<usize>,
    /// As the model was written; `None` for dimensions that are free.
    pub(crate) signature: Vec<Option<usize>>,
    pub(crate) buffer: usize,
    pub(crate) quantization: Option<Quantization>,
    /// Whether it keeps its value until the next run.
    pub(crate) is_variable: bool,
    pub(crate) sparsity: Option<Sparsity>,
}

/// How integers stand for real numbers: `scale * (q - zero point)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantization {
    /// One, or one for each position along `axis`.
    pub(crate) scales: Vec<f32>,
    /// As many.
    pub(crate) zero_points: Vec<i64>,
    pub(crate) axis: usize,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Operator {
    /// Its name in the schema; of custom ones the name that its author gave it.
    pub(crate) kind: String,
    pub(crate) is_custom: bool,
    /// Numbers of tensors; `None` for those left out.
    pub(crate) inputs: Vec<Option<usize>>,
    /// Numbers of tensors.
    pub(crate) outputs: Vec<usize>,
    pub(crate) options: OperatorOptions,
    /// Parameters of a custom operator, in whatever form it has.
    pub(crate) custom: Bytes,
}

/// Parameters of a builtin operator, by the number of the field in the schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct OperatorOptions(pub(crate) Option<Table>);

/// Names for the inputs and outputs of a graph.
#[derive(Debug)]
pub(crate) struct SignatureDef {
    pub(crate) key: String,
    pub(crate) subgraph: usize,
    /// Number of a tensor and its name.
    pub(crate) inputs: Vec<(usize, String)>,
    /// Number of a tensor and its name.
    pub(crate) outputs: Vec<(usize, String)>,
}

impl Model {
    /// The contents of a buffer.
    pub(crate) fn buffer(&self, index: usize) -> Result<Bytes, ConvertError> {
        let span = self.buffers.get(index).copied().unwrap_or_default();
        if span.len > self.limits.tensor_bytes {
            return Err(ConvertError::TooLarge {
                place: format!("buffer {index}"),
                what: "bytes",
                found: span.len,
                limit: self.limits.tensor_bytes,
            });
        }
        let len = usize::try_from(span.len).map_err(|error| damaged("a buffer", error))?;
        self.input.read(span.offset, len)
    }

    /// Whether the file holds the elements of this tensor.
    pub(crate) fn is_constant(&self, tensor: &Tensor) -> bool {
        !tensor.is_variable && self.buffers.get(tensor.buffer).is_some_and(|span| span.len > 0)
    }

    /// The elements of a constant tensor, row-major and dense. Four-bit integers are spread to a
    /// byte each.
    pub(crate) fn elements(&self, tensor: &Tensor) -> Result<Bytes, ConvertError> {
        let bytes = self.buffer(tensor.buffer)?;
        let place = || format!("tensor '{}'", tensor.name);
        let Some(element_type) = tensor.element_type else {
            return Err(damaged(&place(), "a handle cannot be a constant"));
        };
        if let Some(sparsity) = &tensor.sparsity {
            let size = element_type.bits() / 8;
            let limit = self.limits.tensor_bytes;
            let dense = sparsity.dense(&tensor.shape, size, &bytes, limit);
            return dense.map(Bytes::from).map_err(|message| damaged(&place(), message));
        }
        if element_type == ElementType::String {
            return Ok(bytes);
        }
        let expected = tensor.elements().and_then(|count| element_type.byte_len(count));
        if expected != Some(bytes.len()) {
            let (shape, found) = (&tensor.shape, bytes.len());
            let message = format!(
                "expected the bytes of a {element_type} tensor of shape {shape:?}, found {found}"
            );
            return Err(damaged(&place(), message));
        }
        if element_type == ElementType::Int4 {
            let count = tensor.elements().unwrap_or_default();
            let nibbles = bytes.iter().flat_map(|&byte| [byte << 4, byte & 0xf0]);
            let spread: Vec<u8> =
                nibbles.take(count).map(|high| ((high as i8) >> 4) as u8).collect();
            return Ok(spread.into());
        }
        Ok(bytes)
    }
}

impl Tensor {
    /// Number of elements; `None` when that overflows.
    pub(crate) fn elements(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size))
    }

    /// How its integers stand for real numbers, where they do.
    pub(crate) fn quantized(&self) -> Option<&Quantization> {
        let stored = self.element_type?;
        let is_small = matches!(
            stored,
            ElementType::Int4
                | ElementType::Int8
                | ElementType::Uint8
                | ElementType::Int16
                | ElementType::Int32
                | ElementType::Int64
        );
        self.quantization.as_ref().filter(|_| is_small)
    }
}

impl Operator {
    /// What to call it: its first output.
    pub(crate) fn label(&self, graph: &Subgraph) -> String {
        let first = self.outputs.first().and_then(|&output| graph.tensors.get(output));
        match first {
            Some(tensor) if !tensor.name.is_empty() => tensor.name.clone(),
            _ => self.kind.clone(),
        }
    }

    /// The tensor that input `index` takes; an error when it is left out.
    pub(crate) fn input(&self, index: usize) -> Result<usize, ConvertError> {
        self.optional(index).ok_or_else(|| {
            let found = self.inputs.len();
            damaged(&self.kind, format!("input {index} is left out; it has {found} inputs"))
        })
    }

    /// The tensor that input `index` takes; `None` when it is left out.
    pub(crate) fn optional(&self, index: usize) -> Option<usize> {
        self.inputs.get(index).copied().flatten()
    }

    /// The tensor that output `index` gives.
    pub(crate) fn output(&self, index: usize) -> Result<usize, ConvertError> {
        self.outputs.get(index).copied().ok_or_else(|| {
            let found = self.outputs.len();
            damaged(&self.kind, format!("output {index} is missing; it has {found} outputs"))
        })
    }
}

impl OperatorOptions {
    pub(crate) fn bool(&self, field: usize) -> Result<bool, ConvertError> {
        self.0.as_ref().map_or(Ok(false), |table| table.bool(field))
    }

    pub(crate) fn code(&self, field: usize) -> Result<i8, ConvertError> {
        self.0.as_ref().map_or(Ok(0), |table| table.i8(field))
    }

    pub(crate) fn i32(&self, field: usize) -> Result<i32, ConvertError> {
        self.i32_or(field, 0)
    }

    pub(crate) fn i32_or(&self, field: usize, default: i32) -> Result<i32, ConvertError> {
        self.0.as_ref().map_or(Ok(default), |table| table.i32(field, default))
    }

    pub(crate) fn f32(&self, field: usize) -> Result<f32, ConvertError> {
        self.0.as_ref().map_or(Ok(0.0), |table| table.f32(field))
    }

    pub(crate) fn i32s(&self, field: usize) -> Result<Option<Vec<i32>>, ConvertError> {
        self.0.as_ref().map_or(Ok(None), |table| table.i32s(field))
    }

    pub(crate) fn f32s(&self, field: usize) -> Result<Option<Vec<f32>>, ConvertError> {
        self.0.as_ref().map_or(Ok(None), |table| table.f32s(field))
    }

    pub(crate) fn string(&self, field: usize) -> Result<String, ConvertError> {
        let text = self.0.as_ref().map_or(Ok(None), |table| table.string(field))?;
        Ok(text.unwrap_or_default())
    }

    /// A size that must be positive: a stride, a dilation, a block.
    pub(crate) fn size(&self, field: usize, default: i32) -> Result<usize, ConvertError> {
        let value = self.i32_or(field, default)?;
        usize::try_from(value)
            .ok()
            .filter(|&size| size > 0)
            .ok_or_else(|| damaged("an option", format!("expected a positive size, found {value}")))
    }

    pub(crate) fn padding(&self, field: usize) -> Result<Padding, ConvertError> {
        let code = self.code(field)?;
        Padding::from_code(code)
            .ok_or_else(|| damaged("an option", format!("expected a padding, found {code}")))
    }
}

/// An error about a part of the file.
pub(crate) fn damaged(place: &str, error: impl std::fmt::Display) -> ConvertError {
    ConvertError::Malformed { format: FORMAT, place: place.into(), message: error.to_string() }
}
