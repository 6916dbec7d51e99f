//! Operators of several operands that are stretched to each other.

use modelyard_graph::{ElementType, Node};

use super::super::options;
use super::super::stop::{Stop, refused};
use super::super::writer::{BOOL, FLOAT, INT32, INT64, Id, Writer};

fn ends(node: &Node) -> Result<(&str, &str, &str), Stop> {
    match (node.input(0), node.input(1), node.output(0)) {
        (Some(left), Some(right), Some(output)) => Ok((left, right, output)),
        _ => Err(refused("two operands that are not there", "")),
    }
}

pub(super) fn binary<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    let operator = match node.op_type.as_str() {
        "Add" => "ADD",
        "Sub" => "SUB",
        "Mul" => "MUL",
        _ => "DIV",
    };
    let element_type = cx.facts.element_type(left);
    if operator == "DIV" && element_type != Some(ElementType::Float32) {
        return quotient(cx, node);
    }
    let (fused, behind) = match element_type {
        Some(ElementType::Float32) => cx.fused(output),
        _ => (crate::tflite::schema::Activation::None, output),
    };
    let options = options::arithmetic(operator, fused);
    if operator != "DIV"
        && let Some(wanted) = cx.wanted(behind)
        && let Some(left) = integers(cx, left)?
        && let Some(right) = integers(cx, right)?
    {
        let made = cx.quantized_output(behind, wanted);
        cx.with(operator, &[Some(left), Some(right)], &[made], Some(options));
        return Ok(());
    }
    let inputs = [Some(computable(cx, left)?), Some(cx.value(right)?)];
    let made = cx.output(behind)?;
    cx.with(operator, &inputs, &[made], Some(options));
    Ok(())
}

/// The tensor of a value that operators of TensorFlow Lite compute with as it is.
fn computable(cx: &mut Writer<'_>, name: &str) -> Result<Id, Stop> {
    let id = cx.value(name)?;
    if [FLOAT, INT32, INT64].contains(&cx.tensor(id).type_code) {
        return Ok(id);
    }
    let found = cx.facts.element_type(name).map_or_else(String::new, |found| found.to_string());
    Err(refused(format!("arithmetic of {found}"), "cast to int32 or float before"))
}

/// The 8-bit integers that stand for an operand, also where it is a constant.
fn integers(cx: &mut Writer<'_>, name: &str) -> Result<Option<Id>, Stop> {
    if let Some(id) = cx.quantized(name) {
        return Ok(Some(id));
    }
    let Some(stored) = cx.stored(name)? else { return Ok(None) };
    let is_whole = stored.quantization.as_ref().is_some_and(|one| one.scales.len() == 1);
    if !is_whole || stored.constant.element_type != ElementType::Int8 {
        return Ok(None);
    }
    Ok(Some(cx.raw_tensor(stored, None)?))
}

/// Integers are divided towards zero: in 32 bits, where `DIV` does.
fn quotient(cx: &mut Writer<'_>, node: &Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    match cx.facts.element_type(left) {
        Some(ElementType::Uint32) => {
            return Err(refused("quotients of uint32", "cast to int32 or float before"));
        }
        Some(ElementType::Int64) if !(is_small(cx, left, 8) && is_small(cx, right, 8)) => cx.note(
            "int64 numbers are divided in 32 bits, as TensorFlow Lite has no other division: beyond \
             2147483647 the quotients are wrong",
        ),
        _ => {}
    }
    let sides = [cx.narrow(left)?, cx.narrow(right)?];
    let made = cx.output(output)?;
    let dims = cx.tensor(made).dims.clone();
    let narrow =
        if cx.tensor(made).type_code == INT32 { made } else { cx.typed("DIV", INT32, &dims) };
    cx.arithmetic("DIV", &sides, narrow);
    if narrow != made {
        cx.cast(narrow, made);
    }
    Ok(())
}

/// Whether 32 bits hold all elements of a value of 64: sizes, and constants that are no larger.
fn is_small(cx: &Writer<'_>, name: &str, depth: usize) -> bool {
    if let Some(constant) = cx.facts.constant(name) {
        let values = constant.integers(1 << 16);
        return values.is_some_and(|list| list.iter().all(|&one| i32::try_from(one).is_ok()));
    }
    let Some((_, node)) = cx.producer(name).filter(|_| depth > 0) else { return false };
    match node.op_type.as_str() {
        "Shape" | "Size" => true,
        "Gather" | "Slice" | "Squeeze" | "Unsqueeze" | "Reshape" | "Identity" => {
            node.input(0).is_some_and(|input| is_small(cx, input, depth - 1))
        }
        "Concat" | "Div" | "Min" | "Max" => {
            node.inputs.iter().all(|input| is_small(cx, input, depth - 1))
        }
        _ => false,
    }
}

pub(super) fn variadic<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let output = node.output(0).ok_or_else(|| refused("no output", ""))?;
    let operator = match node.op_type.as_str() {
        "Max" => "MAXIMUM",
        "Min" => "MINIMUM",
        _ => "ADD",
    };
    let mut values = Vec::new();
    for input in &node.inputs {
        values.push(computable(cx, input)?);
    }
    let made = cx.output(output)?;
    let mean = node.op_type == "Mean";
    let Some((&first, rest)) = values.split_first() else { return Err(refused("no operands", "")) };
    let mut value = first;
    for (index, &next) in rest.iter().enumerate() {
        let is_last = index + 1 == rest.len() && !mean;
        let dims = stretched(&cx.tensor(value).dims, &cx.tensor(next).dims);
        let result = if is_last { made } else { cx.between(operator, value, &dims) };
        match operator {
            "ADD" => cx.arithmetic(operator, &[value, next], result),
            _ => cx.plain(operator, &[value, next], result),
        }
        value = result;
    }
    if mean {
        let share = cx.scalar(1.0 / values.len() as f32);
        cx.arithmetic("MUL", &[value, share], made);
    } else if rest.is_empty() {
        let dims = cx.tensor(made).dims.clone();
        cx.reshape_into(value, made, &dims)?;
    }
    Ok(())
}

/// The sizes of two operands stretched to each other.
pub(super) fn stretched(left: &[Option<usize>], right: &[Option<usize>]) -> Vec<Option<usize>> {
    let rank = left.len().max(right.len());
    let at = |dims: &[Option<usize>], axis: usize| match (axis + dims.len()).checked_sub(rank) {
        Some(index) => dims[index],
        None => Some(1),
    };
    let one = |axis| match (at(left, axis), at(right, axis)) {
        (Some(1), other) | (other, Some(1)) => other,
        (Some(size), _) | (_, Some(size)) => Some(size),
        (None, None) => None,
    };
    (0..rank).map(one).collect()
}

pub(super) fn compare<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    let operator = match node.op_type.as_str() {
        "Equal" => "EQUAL",
        "Greater" => "GREATER",
        "GreaterOrEqual" => "GREATER_EQUAL",
        "Less" => "LESS",
        _ => "LESS_EQUAL",
    };
    let inputs = [comparable(cx, left)?, comparable(cx, right)?];
    let made = cx.output(output)?;
    cx.plain(operator, &inputs, made);
    Ok(())
}

/// The tensor of a value that is compared: small integers, which have no kernels, as larger ones.
fn comparable(cx: &mut Writer<'_>, name: &str) -> Result<Id, Stop> {
    let id = cx.value(name)?;
    Ok(match cx.facts.element_type(name) {
        Some(ElementType::Int8 | ElementType::Uint8 | ElementType::Uint16) => cx.narrow_tensor(id),
        Some(ElementType::Uint32) => {
            let dims = cx.tensor(id).dims.clone();
            let wide = cx.typed("wide", INT64, &dims);
            cx.cast(id, wide);
            wide
        }
        _ => id,
    })
}

pub(super) fn logical<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    let operator = match node.op_type.as_str() {
        "And" => "LOGICAL_AND",
        "Or" => "LOGICAL_OR",
        _ => "NOT_EQUAL",
    };
    let inputs = [cx.value(left)?, cx.value(right)?];
    let made = cx.output(output)?;
    cx.plain(operator, &inputs, made);
    Ok(())
}

pub(super) fn modulo<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    if node.int("fmod").unwrap_or(0) != 0 {
        // The sign is that of the dividend: x - y * trunc(x / y).
        return Err(refused("fmod, whose sign is that of the dividend", "use mod of integers"));
    }
    let inputs = [computable(cx, left)?, cx.value(right)?];
    let made = cx.output(output)?;
    cx.plain("FLOOR_MOD", &inputs, made);
    Ok(())
}

pub(super) fn power<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (left, right, output) = ends(node)?;
    let value = cx.value(left)?;
    let is_float = cx.tensor(value).type_code == FLOAT;
    let made = cx.output(output)?;
    match cx.facts.number(node, 1) {
        Some(2.0) if is_float && cx.tensor(value).dims == cx.tensor(made).dims => {
            cx.arithmetic("MUL", &[value, value], made);
        }
        Some(0.5) if is_float && cx.tensor(value).dims == cx.tensor(made).dims => {
            cx.plain("SQRT", &[value], made);
        }
        _ => {
            let mut exponent = cx.value(right)?;
            if cx.tensor(exponent).type_code != cx.tensor(value).type_code {
                let dims = cx.tensor(exponent).dims.clone();
                let same = cx.between("exponent", value, &dims);
                cx.cast(exponent, same);
                exponent = same;
            }
            cx.plain("POW", &[value, exponent], made);
        }
    }
    Ok(())
}

pub(super) fn select<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let output = node.output(0).ok_or_else(|| refused("no output", ""))?;
    let inputs = [cx.input(node, 0)?, cx.input(node, 1)?, cx.input(node, 2)?];
    if cx.tensor(inputs[0]).type_code != BOOL {
        return Err(refused("a condition that is not of booleans", ""));
    }
    let made = cx.output(output)?;
    cx.plain("SELECT_V2", &inputs, made);
    Ok(())
}
