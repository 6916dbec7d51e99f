//! Tensors made from numbers.

use modelyard_graph::ElementType;

use super::operands::typed;
use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Operand, Refusal, Scalar};
use crate::pytorch::evaluate::{self, Eval, Outcome, one};
use crate::pytorch::types::is_float;
use crate::reference::{Array, elementwise, index, layout, shape};

const SIZE: &str = "size dtype layout device pin_memory";
const FULL: &str = "size fill_value dtype layout device pin_memory";
const LIKE: &str = "self dtype layout device pin_memory memory_format";
const FULL_LIKE: &str = "self fill_value dtype layout device pin_memory memory_format";
const NEW: &str = "self size dtype layout device pin_memory";
const NEW_FULL: &str = "self size fill_value dtype layout device pin_memory";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.arange.default", "end dtype", convert_arange, evaluate_arange),
    operator("aten.arange.start", "start end dtype", convert_arange, evaluate_arange),
    operator("aten.arange.start_step", "start end step dtype", convert_arange, evaluate_arange),
    operator("aten.linspace.default", "start end steps dtype", convert_linspace, evaluate_linspace),
    operator("aten.full.default", FULL, convert_full, evaluate_full),
    operator("aten.zeros.default", SIZE, convert_full, evaluate_full),
    operator("aten.ones.default", SIZE, convert_full, evaluate_full),
    operator("aten.empty.memory_format", SIZE, convert_full, evaluate_full),
    operator("aten.new_full.default", NEW_FULL, convert_full, evaluate_full),
    operator("aten.new_zeros.default", NEW, convert_full, evaluate_full),
    operator("aten.new_ones.default", NEW, convert_full, evaluate_full),
    operator("aten.new_empty.default", NEW, convert_full, evaluate_full),
    operator("aten.full_like.default", FULL_LIKE, convert_full, evaluate_full),
    operator("aten.zeros_like.default", LIKE, convert_full, evaluate_full),
    operator("aten.ones_like.default", LIKE, convert_full, evaluate_full),
    operator("aten.empty_like.default", LIKE, convert_full, evaluate_full),
    operator("aten.scalar_tensor.default", "s dtype", convert_scalar, evaluate_scalar),
    operator("aten.eye.default", "n dtype", convert_eye, evaluate_eye),
    operator("aten.eye.m", "n m dtype", convert_eye, evaluate_eye),
    operator("aten.tril.default", "self diagonal", convert_triangle, evaluate_triangle),
    operator("aten.triu.default", "self diagonal", convert_triangle, evaluate_triangle),
    operator(
        "aten.tril_indices.default",
        "row col offset dtype",
        convert_indices,
        evaluate_indices,
    ),
    operator(
        "aten.triu_indices.default",
        "row col offset dtype",
        convert_indices,
        evaluate_indices,
    ),
    operator("aten.one_hot.default", "self num_classes", convert_one_hot, evaluate_one_hot),
];

fn convert_arange(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (wanted, _) = call.output(0)?;
    // ONNX counts in these types.
    let element_type = match wanted {
        ElementType::Int64 | ElementType::Int32 | ElementType::Float32 | ElementType::Float64 => {
            wanted
        }
        other if is_float(other) => ElementType::Float32,
        _ => ElementType::Int64,
    };
    let mut numbers = Vec::new();
    for (name, default) in [("start", Some(0)), ("end", None), ("step", Some(1))] {
        let operand = match default.filter(|_| !call.has(name)) {
            Some(default) => Operand::Number(Scalar::Int(default)),
            None => call.operand(name)?,
        };
        numbers.push(typed(call, &operand, element_type));
    }
    let result = call.to.emit_node(node("Range", &numbers));
    call.give_as(0, &result, element_type)
}

fn evaluate_arange(eval: &mut Eval<'_, '_>) -> Outcome {
    let mut numbers = Vec::new();
    let mut has_floats = false;
    for (name, default) in [("start", 0), ("end", 0), ("step", 1)] {
        let operand = match eval.has(name) {
            true => eval.operand(name)?,
            false => evaluate::Operand::Int(default),
        };
        has_floats |= matches!(operand, evaluate::Operand::Float(_));
        has_floats |=
            matches!(&operand, evaluate::Operand::Tensor(array) if is_float(array.element_type()));
        numbers.push(operand.number()?);
    }
    let default = if has_floats { ElementType::Float32 } else { ElementType::Int64 };
    let element_type = eval.element_type("dtype")?.unwrap_or(default);
    one(index::range(element_type, numbers[0], numbers[1], numbers[2]))
}

fn convert_linspace(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (element_type, _) = call.output(0)?;
    let (start, end) = (call.float_or("start", 0.0)?, call.float_or("end", 1.0)?);
    let steps = usize::try_from(call.int("steps")?).unwrap_or(0);
    if steps > MOST_STEPS {
        return Err(Refusal::new(format!("{steps} steps"), "use arange instead"));
    }
    let values = linspace(start, end, steps);
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    let name = call.to.emitter.floats("values", &[values.len()], &values);
    call.give_as(0, &name, ElementType::Float32)?;
    if element_type == ElementType::Float64 {
        return Err(Refusal::new("steps in double precision", "use 32-bit floats"));
    }
    Ok(())
}

/// Steps that are listed.
const MOST_STEPS: usize = 1 << 24;

/// From both ends, as PyTorch does, so that the last one is exact.
fn linspace(start: f64, end: f64, steps: usize) -> Vec<f64> {
    let step = (end - start) / (steps.max(2) - 1) as f64;
    let value = |at: usize| match at < steps / 2 {
        true => start + step * at as f64,
        false if steps == 1 => start,
        false => end - step * (steps - at - 1) as f64,
    };
    (0..steps).map(value).collect()
}

fn evaluate_linspace(eval: &mut Eval<'_, '_>) -> Outcome {
    let (start, end) = (eval.float_or("start", 0.0)?, eval.float_or("end", 1.0)?);
    let steps = usize::try_from(eval.int("steps")?).unwrap_or(0);
    layout::elements(&[steps])?;
    let element_type = eval.element_type("dtype")?.unwrap_or(ElementType::Float32);
    one(Array::from_f64s(element_type, &[steps], linspace(start, end, steps)))
}

/// The number that an operator fills with, where its name says it. What is empty is zero here.
fn filling(operator: &str) -> Option<i64> {
    match operator {
        _ if operator.contains("full") => None,
        _ if operator.contains("ones") => Some(1),
        _ => Some(0),
    }
}

fn convert_full(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (element_type, sizes) = call.output(0)?;
    let known: Option<Vec<Extent>> =
        sizes.iter().map(|size| size.known().map(Extent::Known)).collect();
    let extents = match known {
        Some(known) => known,
        None if call.has("size") => call.extents("size")?,
        None => {
            let own = call.tensor("self")?;
            call.to.sizes(&own)
        }
    };
    let value = match filling(call.operator()) {
        Some(value) => Operand::Number(Scalar::Int(value)),
        None => call.operand("fill_value")?,
    };
    let result = match value {
        Operand::Number(value) => call.to.filled(&extents, value, element_type),
        other => {
            let value = typed(call, &other, element_type);
            let shape = call.to.shape(&extents);
            call.to.emit("Expand", &[&value, &shape])
        }
    };
    call.give(0, result);
    Ok(())
}

fn evaluate_full(eval: &mut Eval<'_, '_>) -> Outcome {
    let like = if eval.has("self") { Some(eval.view("self")?) } else { None };
    let dims = match (&like, eval.has("size")) {
        (Some(like), false) => like.dims().to_vec(),
        _ => eval.dims("size")?,
    };
    let value = match filling(eval.operator()) {
        Some(value) => evaluate::Operand::Float(value as f64),
        None => eval.operand("fill_value")?,
    };
    let default = match (&like, &value) {
        (Some(like), _) => like.element_type(),
        (None, evaluate::Operand::Int(_)) => ElementType::Int64,
        (None, evaluate::Operand::Bool(_)) => ElementType::Bool,
        (None, evaluate::Operand::Tensor(array)) => array.element_type(),
        (None, evaluate::Operand::Float(_)) => ElementType::Float32,
    };
    let element_type = eval.element_type("dtype")?.unwrap_or(default);
    one(shape::broadcast_to(&*value.array(element_type)?, &dims))
}

fn convert_scalar(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (element_type, _) = call.output(0)?;
    let value = call.operand("s")?;
    let result = typed(call, &value, element_type);
    call.give(0, result);
    Ok(())
}

fn evaluate_scalar(eval: &mut Eval<'_, '_>) -> Outcome {
    let element_type = eval.element_type("dtype")?.unwrap_or(ElementType::Float32);
    let value = eval.operand("s")?.array(element_type)?;
    one(value.as_ref().clone().reshaped(&[]))
}

fn convert_eye(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let rows = call.extent("n")?;
    let columns = if call.has("m") { call.extent("m")? } else { rows.clone() };
    let zeros = call.to.filled(&[rows, columns], Scalar::Int(0), ElementType::Float32);
    let result = call.to.emit("EyeLike", &[&zeros]);
    call.give_as(0, &result, ElementType::Float32)
}

fn evaluate_eye(eval: &mut Eval<'_, '_>) -> Outcome {
    let rows = usize::try_from(eval.int("n")?).unwrap_or(0);
    let columns = usize::try_from(eval.int_or("m", rows as i64)?).unwrap_or(0);
    let count = layout::elements(&[rows, columns])?;
    let value = |at: usize| f64::from(at / columns.max(1) == at % columns.max(1));
    let element_type = eval.element_type("dtype")?.unwrap_or(ElementType::Float32);
    one(Array::from_f64s(element_type, &[rows, columns], (0..count).map(value).collect()))
}

fn convert_triangle(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let diagonal = call.extent("diagonal").or_else(|refusal| {
        if call.has("diagonal") { Err(refusal) } else { Ok(Extent::Known(0)) }
    })?;
    let upper = i64::from(call.operator() == "triu");
    // Engines have it for these types.
    let element_type = match own.element_type {
        ElementType::Float32 | ElementType::Float64 | ElementType::Int64 => own.element_type,
        ElementType::Bool => ElementType::Bool,
        other if is_float(other) => ElementType::Float32,
        _ => ElementType::Int64,
    };
    let value = call.to.cast(&own.name, own.element_type, element_type);
    let diagonal = call.to.extent_scalar(&diagonal);
    let result = call.to.emit_node(node("Trilu", &[value, diagonal]).with("upper", upper));
    call.give_as(0, &result, element_type)
}

fn evaluate_triangle(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let diagonal = eval.int_or("diagonal", 0)?;
    let is_upper = eval.operator() == "triu";
    let (rows, columns) = match own.dims() {
        [.., rows, columns] => (*rows, *columns),
        found => return Err(EvaluateError::new(format!("shape {found:?} has no triangle"))),
    };
    let kept = |at: usize| {
        let (row, column) = ((at / columns.max(1)) as i64, (at % columns.max(1)) as i64);
        let apart = column.saturating_sub(row);
        if is_upper { apart >= diagonal } else { apart <= diagonal }
    };
    let mask = Array::bools(&[rows, columns], (0..rows * columns).map(kept).collect())?;
    let zero = Array::from_f64s(own.element_type(), &[], vec![0.0])?;
    one(elementwise::select(&mask, &own, &zero))
}

/// Rows and columns of a triangle's elements; both are known.
fn triangle(operator: &str, rows: i64, columns: i64, offset: i64) -> Vec<i64> {
    let is_upper = operator == "triu_indices";
    let inside = move |row: i64, column: i64| {
        let apart = column - row;
        if is_upper { apart >= offset } else { apart <= offset }
    };
    let pairs = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let pairs: Vec<(i64, i64)> = pairs.filter(|&(row, column)| inside(row, column)).collect();
    pairs.iter().map(|pair| pair.0).chain(pairs.iter().map(|pair| pair.1)).collect()
}

/// Sides of a triangle that is listed.
const MOST_SIDE: i64 = 4096;

fn convert_indices(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (rows, columns) = (call.int("row")?, call.int("col")?);
    if rows.max(columns) > MOST_SIDE {
        return Err(Refusal::new(
            format!("a triangle of {rows} by {columns}"),
            "use a mask instead",
        ));
    }
    let values = triangle(call.operator(), rows, columns, call.int_or("offset", 0)?);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dims = [2, values.len() / 2];
    let constant = modelyard_graph::Constant::raw("indices", ElementType::Int64, &dims, bytes);
    let name = call.to.emitter.constant(constant);
    call.give_as(0, &name, ElementType::Int64)
}

fn evaluate_indices(eval: &mut Eval<'_, '_>) -> Outcome {
    let (rows, columns) = (eval.int("row")?, eval.int("col")?);
    if rows.max(columns) > MOST_SIDE {
        return Err(EvaluateError::new(format!("a triangle of {rows} by {columns}")));
    }
    let values = triangle(eval.operator(), rows, columns, eval.int_or("offset", 0)?);
    let array = Array::ints(&[2, values.len() / 2], values)?;
    let element_type = eval.element_type("dtype")?.unwrap_or(ElementType::Int64);
    one(elementwise::cast(&array, element_type))
}

fn convert_one_hot(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let own = call.tensor("self")?;
    let classes = call.extent("num_classes")?;
    if classes == Extent::Known(-1) {
        return Err(Refusal::new("as many classes as the values ask for", "give num_classes"));
    }
    let depth = call.to.extent_scalar(&classes);
    let values = call.to.ints(&[0, 1]);
    let result = call.to.emit_node(node("OneHot", &[own.name, depth, values]).with("axis", -1i64));
    call.give(0, result);
    Ok(())
}

fn evaluate_one_hot(eval: &mut Eval<'_, '_>) -> Outcome {
    let own = eval.tensor("self")?;
    let classes = match eval.int_or("num_classes", -1)? {
        -1 => own.as_ints()?.iter().max().map_or(0, |&most| most.saturating_add(1)),
        classes => classes,
    };
    let depth = usize::try_from(classes).unwrap_or(0);
    one(index::one_hot(&own, depth, -1, (0.0, 1.0), ElementType::Int64))
}
