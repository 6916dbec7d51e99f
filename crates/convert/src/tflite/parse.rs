//! From the file to the [`Model`]: tables to structs, every number checked.

use std::collections::HashMap;

use super::flatbuffer::{File, Span, Table};
use super::model::{
    Model, Operator, OperatorOptions, Quantization, SignatureDef, Subgraph, Tensor, damaged,
};
use super::schema::{self, FORMAT};
use super::sparse::Sparsity;
use crate::input::Input;
use crate::{ConvertError, Limits};

/// Version of the schema that is read.
const VERSION: u32 = 3;

/// Most dimensions of a tensor.
const MOST_DIMS: usize = 8;

/// An entry of the table of operators.
struct Code {
    name: String,
    is_custom: bool,
}

/// Reads a model.
pub(crate) fn parse(input: &Input, limits: &Limits) -> Result<Model, ConvertError> {
    let root = File::root(input, FORMAT, limits)?;
    let version = root.u32(0)?;
    if version != VERSION {
        return Err(
            root.damaged(format!("expected version {VERSION} of the schema, found {version}"))
        );
    }
    let codes = root.tables(1)?.iter().map(code).collect::<Result<Vec<_>, _>>()?;
    let buffers = root.tables(4)?;
    let buffers = buffers.iter().map(|table| buffer(table, input)).collect::<Result<_, _>>()?;
    let mut nodes = 0;
    let mut subgraphs = Vec::new();
    for table in root.tables(2)? {
        let subgraph = subgraph(&table, &codes, input)?;
        nodes += subgraph.operators.len();
        subgraphs.push(subgraph);
    }
    if nodes > limits.nodes {
        let place = format!("'{}'", input.path.display());
        let (found, limit) = (nodes as u64, limits.nodes as u64);
        return Err(ConvertError::TooLarge { place, what: "operators", found, limit });
    }
    if subgraphs.is_empty() {
        return Err(root.damaged("expected a graph, found none"));
    }
    let mut metadata = HashMap::new();
    for table in root.tables(6)? {
        metadata.insert(table.string(0)?.unwrap_or_default(), table.u32(1)? as usize);
    }
    let mut signatures = Vec::new();
    for table in root.tables(7)? {
        signatures.push(signature(&table, &subgraphs)?);
    }
    Ok(Model {
        input: input.clone(),
        limits: limits.clone(),
        description: root.string(3)?.unwrap_or_default(),
        subgraphs,
        signatures,
        buffers,
        metadata,
    })
}

/// The code stands in a byte in older files, in an integer in newer ones: the larger one holds.
fn code(table: &Table) -> Result<Code, ConvertError> {
    let old = u32::try_from(table.i8(0)?).unwrap_or(0);
    let new = u32::try_from(table.i32(3, 0)?).unwrap_or(0);
    let code = old.max(new);
    if code == schema::CUSTOM {
        let name = table.string(1)?.unwrap_or_else(|| "unnamed custom operator".into());
        return Ok(Code { name, is_custom: true });
    }
    Ok(Code { name: schema::operator_name(code), is_custom: false })
}

/// Small buffers are vectors of the table; those of files above 2 GB lie behind the flatbuffer.
fn buffer(table: &Table, input: &Input) -> Result<Span, ConvertError> {
    if let Some(span) = table.span(0, 1)? {
        return Ok(span);
    }
    let span = Span { offset: table.u64(1)?, len: table.u64(2)? };
    if span.offset <= 1 {
        return Ok(Span::default());
    }
    match span.offset.checked_add(span.len) {
        Some(end) if end <= input.len => Ok(span),
        _ => Err(table.damaged(format!(
            "a buffer of {} bytes at {} is cut off; the file has {} bytes",
            span.len, span.offset, input.len
        ))),
    }
}

fn subgraph(table: &Table, codes: &[Code], input: &Input) -> Result<Subgraph, ConvertError> {
    let tensors = table.tables(0)?.iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
    let count = tensors.len();
    let mut operators = Vec::new();
    for item in table.tables(3)? {
        operators.push(operator(&item, codes, count, input)?);
    }
    Ok(Subgraph {
        name: table.string(4)?.unwrap_or_default(),
        inputs: indices(table, 1, count)?,
        outputs: indices(table, 2, count)?,
        tensors,
        operators,
    })
}

/// A vector of numbers of tensors, none left out.
fn indices(table: &Table, field: usize, count: usize) -> Result<Vec<usize>, ConvertError> {
    let all = optional_indices(table, field, count)?;
    let message = "a tensor is left out where one must be";
    all.into_iter().map(|index| index.ok_or_else(|| table.damaged(message))).collect()
}

/// A vector of numbers of tensors; -1 for those left out.
fn optional_indices(
    table: &Table,
    field: usize,
    count: usize,
) -> Result<Vec<Option<usize>>, ConvertError> {
    let index = |index: i32| match usize::try_from(index) {
        Ok(index) if index < count => Ok(Some(index)),
        Err(_) if index == -1 => Ok(None),
        _ => Err(table.damaged(format!("there is no tensor {index} among {count}"))),
    };
    table.i32s(field)?.unwrap_or_default().into_iter().map(index).collect()
}

fn tensor(table: &Table) -> Result<Tensor, ConvertError> {
    let name = table.string(3)?.unwrap_or_default();
    let place = || format!("tensor '{name}'");
    let dims = table.i32s(0)?.unwrap_or_default();
    if dims.len() > MOST_DIMS {
        let found = dims.len();
        let message = format!("expected at most {MOST_DIMS} dimensions, found {found}");
        return Err(damaged(&place(), message));
    }
    // Free dimensions of old files have no size even here.
    let shape: Vec<usize> = dims.iter().map(|&size| usize::try_from(size).unwrap_or(1)).collect();
    let declared = table.i32s(7)?.filter(|dims| dims.len() == shape.len()).unwrap_or(dims);
    let signature = declared.iter().map(|&size| usize::try_from(size).ok()).collect();
    let quantization = match table.table(4)? {
        Some(parameters) => quantization(&parameters, &shape, &place())?,
        None => None,
    };
    let sparsity = match table.table(6)? {
        Some(parameters) => Some(Sparsity::parse(&parameters)?),
        None => None,
    };
    Ok(Tensor {
        element_type: schema::element_type(table.i8(1)?),
        buffer: table.u32(2)? as usize,
        is_variable: table.bool(5)?,
        shape,
        signature,
        quantization,
        sparsity,
        name,
    })
}

fn quantization(
    table: &Table,
    shape: &[usize],
    place: &str,
) -> Result<Option<Quantization>, ConvertError> {
    let scales = table.f32s(2)?.unwrap_or_default();
    if scales.is_empty() {
        return Ok(None);
    }
    let mut zero_points = table.i64s(3)?.unwrap_or_default();
    if zero_points.is_empty() {
        zero_points = vec![0; scales.len()];
    }
    // One zero point may stand for all.
    if zero_points.len() == 1 && scales.len() > 1 {
        zero_points = vec![zero_points[0]; scales.len()];
    }
    let axis = table.i32(6, 0)?;
    let axis = usize::try_from(axis).unwrap_or(usize::MAX);
    let fits = match scales.len() {
        1 => true,
        count => shape.get(axis) == Some(&count),
    };
    if !fits || zero_points.len() != scales.len() {
        let (found, zero_points) = (scales.len(), zero_points.len());
        let message = format!(
            "its {found} scales and {zero_points} zero points do not fit axis {axis} of {shape:?}"
        );
        return Err(damaged(place, message));
    }
    let axis = if scales.len() == 1 { 0 } else { axis };
    Ok(Some(Quantization { scales, zero_points, axis }))
}

fn operator(
    table: &Table,
    codes: &[Code],
    tensors: usize,
    input: &Input,
) -> Result<Operator, ConvertError> {
    let index = table.u32(0)? as usize;
    let found = codes.len();
    let code = codes
        .get(index)
        .ok_or_else(|| table.damaged(format!("there is no operator code {index} among {found}")))?;
    // Stated options, those of the second union, or none.
    let options = match table.table(4)? {
        Some(options) => Some(options),
        None => table.table(12)?,
    };
    let custom = match (table.bytes(5)?, table.u64(9)?, table.u64(10)?) {
        (Some(custom), _, _) => custom,
        (None, offset, len) if offset > 1 => {
            const MOST: u64 = 1 << 20;
            let len = usize::try_from(len.min(MOST)).unwrap_or(0);
            input.read(offset, len)?
        }
        _ => bytes::Bytes::new(),
    };
    Ok(Operator {
        kind: code.name.clone(),
        is_custom: code.is_custom,
        inputs: optional_indices(table, 1, tensors)?,
        outputs: indices(table, 2, tensors)?,
        options: OperatorOptions(options),
        custom,
    })
}

fn signature(table: &Table, subgraphs: &[Subgraph]) -> Result<SignatureDef, ConvertError> {
    let subgraph = table.u32(4)? as usize;
    let count = subgraphs.get(subgraph).map(|graph| graph.tensors.len()).ok_or_else(|| {
        table.damaged(format!("a signature is of graph {subgraph} of {}", subgraphs.len()))
    })?;
    let names = |field| -> Result<Vec<(usize, String)>, ConvertError> {
        let mut names = Vec::new();
        for item in table.tables(field)? {
            let index = item.u32(1)? as usize;
            if index >= count {
                return Err(item.damaged(format!("there is no tensor {index} among {count}")));
            }
            names.push((index, item.string(0)?.unwrap_or_default()));
        }
        Ok(names)
    };
    Ok(SignatureDef {
        key: table.string(2)?.unwrap_or_default(),
        subgraph,
        inputs: names(0)?,
        outputs: names(1)?,
    })
}
