//! Operators of two numbers, broadcast as in numpy: arithmetic with fused activations, minimum and
//! maximum, powers, differences, floored division.

use std::f32::consts::PI;

use modelyard_graph::ElementType;

use super::super::convert::Converter;
use super::super::evaluate::Evaluation;
use super::super::model::{Operator, Quantization};
use super::super::quantization::Multiplier;
use super::super::schema::Activation;
use super::super::stop::{Stop, mismatch};
use crate::emitter::node;
use crate::reference::Array;
use crate::reference::elementwise as each;

/// Whether the options of an operator begin with a fused activation.
fn is_fused(kind: &str) -> bool {
    matches!(kind, "ADD" | "SUB" | "MUL" | "DIV")
}

pub(super) fn convert(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let activation = if is_fused(&op.kind) { cx.activation(op, 0)? } else { Activation::None };
    let inputs = [cx.real(op.input(0)?)?, cx.real(op.input(1)?)?];
    let is_float =
        cx.tensor(output).quantized().is_some() || cx.element_type(output)? == ElementType::Float32;
    let y = match op.kind.as_str() {
        "ADD" => cx.emitter.add(node("Add", &inputs)),
        "SUB" => cx.emitter.add(node("Sub", &inputs)),
        "MUL" => cx.emitter.add(node("Mul", &inputs)),
        "DIV" => cx.emitter.add(node("Div", &inputs)),
        "MAXIMUM" => cx.emitter.add(node("Max", &inputs)),
        "MINIMUM" => cx.emitter.add(node("Min", &inputs)),
        "POW" => cx.emitter.add(node("Pow", &inputs)),
        "SQUARED_DIFFERENCE" => {
            let difference = cx.emitter.add(node("Sub", &inputs));
            cx.emitter.add(node("Mul", &[&difference, &difference]))
        }
        "FLOOR_DIV" => floor_div(cx, &inputs, is_float),
        "FLOOR_MOD" if is_float => {
            let quotient = floor_div(cx, &inputs, true);
            let whole = cx.emitter.add(node("Mul", &[&quotient, &inputs[1]]));
            cx.emitter.add(node("Sub", &[&inputs[0], &whole]))
        }
        "FLOOR_MOD" => cx.emitter.add(node("Mod", &inputs)),
        "ATAN2" => angle(cx, &inputs),
        "BITWISE_XOR" if cx.element_type(output)? == ElementType::Bool => {
            cx.emitter.add(node("Xor", &inputs))
        }
        "BITWISE_XOR" => cx.emitter.add(node("BitwiseXor", &inputs)),
        _ => return Err(super::unknown(op)),
    };
    let y = cx.activated(&y, activation);
    cx.give(output, y)
}

/// The angle of a point, by that of its slope: half a turn more on the left, 0 in the middle.
fn angle(cx: &mut Converter<'_>, inputs: &[String; 2]) -> String {
    let [y, x] = inputs;
    let emitter = &mut cx.emitter;
    let zero = emitter.scalar("zero", 0.0);
    let up = emitter.scalar("up", PI);
    let down = emitter.scalar("down", -PI);
    let slope = emitter.add(node("Div", &[y, x]));
    let angle = emitter.add(node("Atan", &[&slope]));
    let is_below = emitter.add(node("Less", &[y, &zero]));
    let turn = emitter.add(node("Where", &[&is_below, &down, &up]));
    let turned = emitter.add(node("Add", &[&angle, &turn]));
    let is_left = emitter.add(node("Less", &[x, &zero]));
    let angle = emitter.add(node("Where", &[&is_left, &turned, &angle]));
    let flat = emitter.add(node("Equal", &[y, &zero]));
    let middle = emitter.add(node("Equal", &[x, &zero]));
    let nowhere = emitter.add(node("And", &[flat, middle]));
    emitter.add(node("Where", &[&nowhere, &zero, &angle]))
}

/// Integers have no `Floor`; their quotient is that of what is left after the remainder, whose sign
/// is the divisor's.
fn floor_div(cx: &mut Converter<'_>, inputs: &[String; 2], is_float: bool) -> String {
    if is_float {
        let quotient = cx.emitter.add(node("Div", inputs));
        return cx.emitter.add(node("Floor", &[quotient]));
    }
    let remainder = cx.emitter.add(node("Mod", inputs));
    let whole = cx.emitter.add(node("Sub", &[&inputs[0], &remainder]));
    cx.emitter.add(node("Div", &[&whole, &inputs[1]]))
}

pub(super) fn evaluate(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let output = op.output(0)?;
    let activation = if is_fused(&op.kind) { op.activation(0)? } else { Activation::None };
    let quantized = [cx.quantized(op.input(0)?), cx.quantized(op.input(1)?), cx.quantized(output)];
    if let [Some(a), Some(b), Some(y)] = &quantized
        && matches!(op.kind.as_str(), "ADD" | "SUB" | "MUL")
    {
        return integers(cx, op, [a, b, y], activation);
    }
    let (a, b) = (cx.real(op.input(0)?)?, cx.real(op.input(1)?)?);
    let y = match op.kind.as_str() {
        "ADD" => each::add(&a, &b)?,
        "SUB" => each::sub(&a, &b)?,
        "MUL" => each::mul(&a, &b)?,
        "DIV" => each::div(&a, &b)?,
        "MAXIMUM" => each::max(&a, &b)?,
        "MINIMUM" => each::min(&a, &b)?,
        "POW" => each::pow(&a, &b)?,
        "SQUARED_DIFFERENCE" => {
            let difference = each::sub(&a, &b)?;
            each::mul(&difference, &difference)?
        }
        "FLOOR_DIV" => each::floor_div(&a, &b)?,
        "FLOOR_MOD" => each::modulo(&a, &b)?,
        "ATAN2" => each::zip_floats(&a, &b, f64::atan2)?,
        "BITWISE_XOR" if a.element_type() == ElementType::Bool => {
            each::logical(&a, &b, |a, b| a != b)?
        }
        "BITWISE_XOR" => each::zip_ints(&a, &b, |a, b| a ^ b)?,
        kind => return Err(mismatch(format!("{kind} is not known"))),
    };
    let y = match activation {
        Activation::None => y,
        _ => each::map(&y, |value| f64::from(activation.apply(value as f32)))?,
    };
    cx.give_real(output, y)
}

/// Bits that sums have below the integers of their inputs.
fn headroom(element_type: Option<ElementType>) -> u32 {
    if element_type == Some(ElementType::Int16) { 15 } else { 20 }
}

/// Sums are taken at twice the larger scale, with bits to spare; products directly.
fn integers(
    cx: &mut Evaluation<'_>,
    op: &Operator,
    [a, b, y]: [&Quantization; 3],
    activation: Activation,
) -> Result<(), Stop> {
    let output = op.output(0)?;
    let element_type = cx.tensor(output).element_type;
    let (a_scale, a_zero) = a.single()?;
    let (b_scale, b_zero) = b.single()?;
    let (y_scale, y_zero) = y.single()?;
    let range = y.range(activation.range(), element_type.unwrap_or(ElementType::Int8))?;
    let steps = |array: &Array, zero: i64| -> Result<Array, Stop> {
        let values = array.as_ints()?.iter().map(|&step| step - zero).collect();
        Ok(Array::ints(array.dims(), values)?)
    };
    let a = steps(&*cx.raw(op.input(0)?)?, a_zero)?;
    let b = steps(&*cx.raw(op.input(1)?)?, b_zero)?;
    let result = if op.kind == "MUL" {
        let multiplier = Multiplier::new(a_scale * b_scale / y_scale);
        let product = |a: i64, b: i64| i64::from(multiplier.apply((a * b) as i32));
        each::zip_ints(&a, &b, product)?
    } else {
        let bits = headroom(element_type);
        let twice = 2.0 * a_scale.max(b_scale);
        let (for_a, for_b) = (Multiplier::new(a_scale / twice), Multiplier::new(b_scale / twice));
        let for_y = Multiplier::new(twice / (f64::from(1u32 << bits) * y_scale));
        let sign = if op.kind == "SUB" { -1 } else { 1 };
        let sum = |a: i64, b: i64| {
            let a = for_a.apply((a << bits) as i32);
            let b = for_b.apply((b << bits) as i32);
            i64::from(for_y.apply(a.wrapping_add(sign * b)))
        };
        each::zip_ints(&a, &b, sum)?
    };
    let within = |&step: &i64| (step + y_zero).clamp(range.0, range.1);
    let values = result.as_ints()?.iter().map(within).collect();
    cx.give_steps(output, result.dims(), values)
}

/// `ADD_N`: the sum of all inputs.
pub(super) fn convert_sum(cx: &mut Converter<'_>, op: &Operator) -> Result<(), Stop> {
    let inputs: Vec<String> =
        op.inputs.iter().flatten().map(|&input| cx.real(input)).collect::<Result<_, _>>()?;
    let y = cx.emitter.add(node("Sum", &inputs));
    cx.give(op.output(0)?, y)
}

pub(super) fn evaluate_sum(cx: &mut Evaluation<'_>, op: &Operator) -> Result<(), Stop> {
    let mut sum = Array::clone(&*cx.real(op.input(0)?)?);
    for input in op.inputs.iter().skip(1).flatten() {
        sum = each::add(&sum, &*cx.real(*input)?)?;
    }
    cx.give_real(op.output(0)?, sum)
}
