//! The file: tensors, operators and what they are called, as TensorFlow Lite's schema has it.

use std::collections::HashMap;

use bytes::Bytes;

use super::flatbuffer::{self, Object, Table};
use super::options::Options;
use crate::tflite::schema;

/// Version of the schema.
const VERSION: i32 = 3;

/// How integers stand for real numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantization {
    /// One, or one for each position along `axis`.
    pub(super) scales: Vec<f32>,
    /// As many.
    pub(super) zero_points: Vec<i64>,
    pub(super) axis: usize,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) name: String,
    /// As in the schema.
    pub(super) type_code: i8,
    /// `None` for dimensions that are free.
    pub(super) dims: Vec<Option<usize>>,
    /// The elements, if it is a constant.
    pub(super) elements: Option<Bytes>,
    pub(super) quantization: Option<Quantization>,
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) name: &'static str,
    pub(super) version: i32,
    /// Numbers of tensors; -1 for those left out.
    pub(super) inputs: Vec<i32>,
    pub(super) outputs: Vec<i32>,
    pub(super) options: Option<Options>,
}

/// A model of one graph.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) tensors: Vec<Tensor>,
    pub(super) operators: Vec<Operator>,
    /// Numbers of tensors with the names that the model has for them.
    pub(super) inputs: Vec<(usize, String)>,
    pub(super) outputs: Vec<(usize, String)>,
    /// Notes of tools, by name.
    pub(super) metadata: Vec<(String, Bytes)>,
}

impl File {
    /// The bytes of the file; `None` when they would be more than the format holds.
    pub(super) fn write(&self) -> Option<Vec<u8>> {
        let total: u64 = self
            .tensors
            .iter()
            .flat_map(|tensor| &tensor.elements)
            .map(|one| one.len() as u64)
            .sum();
        if total > flatbuffer::MOST_BYTES {
            return None;
        }
        // The first buffer is that of all tensors without elements.
        let mut buffers = vec![Table::new()];
        let mut known = HashMap::new();
        let tensors: Vec<Table> =
            self.tensors.iter().map(|tensor| written(tensor, &mut buffers, &mut known)).collect();
        let mut metadata = Vec::new();
        for (name, bytes) in &self.metadata {
            let buffer = i32::try_from(buffers.len()).ok()?;
            buffers.push(Table::new().object(0, Object::Aligned(bytes.clone())));
            metadata.push(Table::new().text(0, name).int(1, buffer));
        }
        let (codes, operators) = operators(&self.operators)?;
        let numbers = |named: &[(usize, String)]| -> Option<Vec<i32>> {
            named.iter().map(|(tensor, _)| i32::try_from(*tensor).ok()).collect()
        };
        let graph = Table::new()
            .tables(0, tensors)
            .ints(1, &numbers(&self.inputs)?)
            .ints(2, &numbers(&self.outputs)?)
            .tables(3, operators)
            .text(4, &self.name);
        let names = |named: &[(usize, String)]| -> Option<Vec<Table>> {
            let table = |(tensor, name): &(usize, String)| {
                Some(Table::new().text(0, name).int(1, i32::try_from(*tensor).ok()?))
            };
            named.iter().map(table).collect()
        };
        let signature = Table::new()
            .tables(0, names(&self.inputs)?)
            .tables(1, names(&self.outputs)?)
            .text(2, "serving_default")
            .int(4, 0);
        let root = Table::new()
            .int(0, VERSION)
            .tables(1, codes)
            .tables(2, vec![graph])
            .text(3, &self.description)
            .tables(6, metadata)
            .tables(7, vec![signature])
            .tables(4, buffers);
        flatbuffer::write(&root, *b"TFL3")
    }
}

fn written(
    tensor: &Tensor,
    buffers: &mut Vec<Table>,
    known: &mut HashMap<(*const u8, usize), i32>,
) -> Table {
    let sizes = |free: i32| -> Vec<i32> {
        let size =
            |dim: &Option<usize>| dim.map_or(free, |size| i32::try_from(size).unwrap_or(i32::MAX));
        tensor.dims.iter().map(size).collect()
    };
    let buffer = match &tensor.elements {
        None => 0,
        Some(bytes) => {
            let next = buffers.len() as i32;
            let number = *known.entry((bytes.as_ptr(), bytes.len())).or_insert(next);
            if number == next {
                buffers.push(Table::new().object(0, Object::Aligned(bytes.clone())));
            }
            number
        }
    };
    let mut table = Table::new()
        .ints(0, &sizes(1))
        .byte(1, tensor.type_code)
        .int(2, buffer)
        .text(3, &tensor.name)
        .bool(8, true);
    if let Some(quantization) = &tensor.quantization {
        let axis = i32::try_from(quantization.axis).unwrap_or(0);
        let parameters = Table::new()
            .floats(2, &quantization.scales)
            .longs(3, &quantization.zero_points)
            .int(6, axis);
        table = table.object(4, Object::Table(parameters));
    }
    if tensor.dims.contains(&None) {
        table = table.ints(7, &sizes(-1));
    }
    table
}

/// The kinds of operators there are, and the operators, by number of their kind.
fn operators(operators: &[Operator]) -> Option<(Vec<Table>, Vec<Table>)> {
    /// Codes up to here stand in the byte that old files have; this one in it means "see there".
    const LARGEST_OLD: u32 = 127;
    let mut kinds: Vec<(&str, i32)> = Vec::new();
    let mut tables = Vec::new();
    for operator in operators {
        let key = (operator.name, operator.version);
        let index = kinds.iter().position(|kind| *kind == key).unwrap_or_else(|| {
            kinds.push(key);
            kinds.len() - 1
        });
        let mut table = Table::new()
            .int(0, i32::try_from(index).ok()?)
            .ints(1, &operator.inputs)
            .ints(2, &operator.outputs);
        if let Some(options) = &operator.options {
            let object = Object::Table(options.table.clone());
            table = table.byte(3, options.kind).object(4, object);
        }
        tables.push(table);
    }
    let code = |(name, version): &(&str, i32)| {
        let code = schema::operator_code(name)?;
        let old = i8::try_from(code.min(LARGEST_OLD)).ok()?;
        Some(Table::new().byte(0, old).int(2, *version).int(3, i32::try_from(code).ok()?))
    };
    Some((kinds.iter().map(code).collect::<Option<_>>()?, tables))
}
