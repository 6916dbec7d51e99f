//! Products of matrices.

use modelyard_graph::ElementType;

use super::operands::{calculated, evaluated, result_type};
use super::{Operator, operator};
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal, Scalar, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::{Array, elementwise, matmul, shape};

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.linear.default", "input weight bias", convert_linear, evaluate_linear),
    operator("aten.matmul.default", "self other", convert_matmul, evaluate_matmul),
    operator("aten.mm.default", "self mat2", convert_matmul, evaluate_matmul),
    operator("aten.bmm.default", "self mat2", convert_matmul, evaluate_matmul),
    operator("aten.mv.default", "self vec", convert_matmul, evaluate_matmul),
    operator("aten.dot.default", "self tensor", convert_matmul, evaluate_matmul),
    operator("aten.addmm.default", "self mat1 mat2 beta alpha", convert_added, evaluate_added),
    operator("aten.addmv.default", "self mat vec beta alpha", convert_added, evaluate_added),
    operator(
        "aten.baddbmm.default",
        "self batch1 batch2 beta alpha",
        convert_added,
        evaluate_added,
    ),
    operator("aten.outer.default", "self vec2", convert_outer, evaluate_outer),
    operator(
        "aten.bilinear.default",
        "input1 input2 weight bias",
        convert_bilinear,
        evaluate_bilinear,
    ),
];

/// `x Wᵀ + b`
fn convert_linear(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (input, weight) = (call.tensor("input")?, call.tensor("weight")?);
    let bias = call.optional("bias")?;
    let result = if input.rank() == 2 && weight.rank() == 2 {
        let mut inputs = vec![input.name, weight.name];
        inputs.extend(bias.map(|bias| bias.name));
        call.to.emit_node(node("Gemm", &inputs).with("transB", 1i64))
    } else {
        let product = if weight.rank() == 2 {
            let turned = call.to.turned(&weight.name);
            call.to.emit("MatMul", &[&input.name, &turned])
        } else {
            call.to.emit("MatMul", &[&input.name, &weight.name])
        };
        match bias {
            Some(bias) => call.to.emit("Add", &[&product, &bias.name]),
            None => product,
        }
    };
    call.give(0, result);
    Ok(())
}

fn evaluate_linear(eval: &mut Eval<'_, '_>) -> Outcome {
    let (input, weight) = (eval.tensor("input")?, eval.tensor("weight")?);
    let bias = eval.optional("bias")?;
    if weight.rank() == 1 {
        let product = matmul::matmul(&input, &weight)?;
        return one(match bias {
            Some(bias) => elementwise::add(&product, &bias),
            None => Ok(product),
        });
    }
    one(matmul::linear(&input, &weight, bias.as_deref()))
}

/// The names of the two factors in the schemas.
fn factors(operator: &str) -> (&'static str, &'static str) {
    match operator {
        "matmul" => ("self", "other"),
        "mm" | "bmm" => ("self", "mat2"),
        "mv" => ("self", "vec"),
        "dot" => ("self", "tensor"),
        "addmm" => ("mat1", "mat2"),
        "addmv" => ("mat", "vec"),
        _ => ("batch1", "batch2"),
    }
}

/// One product, in a type that engines multiply.
fn product(call: &mut Call<'_, '_>, one: &Tensor, two: &Tensor) -> (String, ElementType) {
    let element_type = calculated(one.element_type);
    let left = call.to.cast(&one.name, one.element_type, element_type);
    let right = call.to.cast(&two.name, two.element_type, element_type);
    (call.to.emit("MatMul", &[&left, &right]), element_type)
}

fn convert_matmul(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two) = factors(call.operator());
    let (one, two) = (call.tensor(one)?, call.tensor(two)?);
    let (result, element_type) = product(call, &one, &two);
    call.give_as(0, &result, element_type)
}

fn evaluate_matmul(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = factors(eval.operator());
    let (a, b) = (eval.tensor(a)?, eval.tensor(b)?);
    one(matmul::matmul(&a, &b))
}

/// `beta * self + alpha * (one @ two)`
fn convert_added(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two) = factors(call.operator());
    let (own, one, two) = (call.tensor("self")?, call.tensor(one)?, call.tensor(two)?);
    let (beta, alpha) = (call.float_or("beta", 1.0)?, call.float_or("alpha", 1.0)?);
    if call.operator() == "addmm" && own.rank() <= 2 {
        let gemm = node("Gemm", &[one.name, two.name, own.name]);
        let gemm = if alpha == 1.0 { gemm } else { gemm.with("alpha", alpha as f32) };
        let gemm = if beta == 1.0 { gemm } else { gemm.with("beta", beta as f32) };
        let result = call.to.emit_node(gemm);
        call.give(0, result);
        return Ok(());
    }
    let (mut result, element_type) = product(call, &one, &two);
    let mut own = call.to.cast(&own.name, own.element_type, element_type);
    for (value, factor) in [(&mut result, alpha), (&mut own, beta)] {
        if factor != 1.0 {
            let factor = call.to.number(Scalar::Float(factor), element_type);
            *value = call.to.emit("Mul", &[value, &factor]);
        }
    }
    // With beta 0, what is in `self` does not count, not even when it is not a number.
    let result = match beta == 0.0 {
        true => result,
        false => call.to.emit("Add", &[&own, &result]),
    };
    call.give_as(0, &result, element_type)
}

fn evaluate_added(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = factors(eval.operator());
    let (own, a, b) = (eval.tensor("self")?, eval.tensor(a)?, eval.tensor(b)?);
    let (beta, alpha) = (eval.float_or("beta", 1.0)?, eval.float_or("alpha", 1.0)?);
    let scaled = |array: &Array, factor: f64| match factor == 1.0 {
        true => Ok(array.clone()),
        false => elementwise::map(array, |value| value * factor),
    };
    let product = scaled(&matmul::matmul(&a, &b)?, alpha)?;
    if beta == 0.0 {
        return one(Ok(product));
    }
    one(elementwise::add(&scaled(&own, beta)?, &product))
}

fn convert_outer(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (column, row) = (call.operand("self")?, call.operand("vec2")?);
    let element_type = calculated(result_type(&[&column, &row]));
    let column = super::operands::typed(call, &column, element_type);
    let row = super::operands::typed(call, &row, element_type);
    let column = call.to.unsqueeze(&column, &[1]);
    let result = call.to.emit("Mul", &[&column, &row]);
    call.give_as(0, &result, element_type)
}

fn evaluate_outer(eval: &mut Eval<'_, '_>) -> Outcome {
    let (operands, element_type) = evaluated(eval, &["self", "vec2"])?;
    let column = shape::expand_dims(&*operands[0].array(element_type)?, &[1])?;
    one(elementwise::mul(&column, &*operands[1].array(element_type)?))
}

/// `x1ᵀ W[k] x2 + b[k]` for each of the outputs `k`.
fn convert_bilinear(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let (one, two) = (call.tensor("input1")?, call.tensor("input2")?);
    let (weight, bias) = (call.tensor("weight")?, call.optional("bias")?);
    let einsum = node("Einsum", &[one.name, weight.name, two.name]);
    let mut result = call.to.emit_node(einsum.with("equation", "...i,kij,...j->...k"));
    if let Some(bias) = bias {
        result = call.to.emit("Add", &[&result, &bias.name]);
    }
    call.give(0, result);
    Ok(())
}

fn evaluate_bilinear(eval: &mut Eval<'_, '_>) -> Outcome {
    let (a, b) = (eval.tensor("input1")?, eval.tensor("input2")?);
    let (weight, bias) = (eval.tensor("weight")?, eval.optional("bias")?);
    // [..., 1, 1, i] @ [k, i, j] = [..., k, 1, j]; times b, summed over j.
    let rows = shape::expand_dims(&a, &[-2, -3])?;
    let products = shape::squeeze(&matmul::matmul(&rows, &weight)?, Some(&[-2]))?;
    let column = shape::expand_dims(&b, &[-1])?;
    let sums = shape::squeeze(&matmul::matmul(&products, &column)?, Some(&[-1]))?;
    one(match bias {
        Some(bias) => elementwise::add(&sums, &bias),
        None => Ok(sums),
    })
}
