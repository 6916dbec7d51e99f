//! Products of matrices.

use modelyard_graph::ElementType;

use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::op::Op;
use crate::export::saved_model::value::{Refusal, Tensor};
use crate::export::saved_model::vocabulary::matmul_op;
use crate::export::saved_model::writer::Writer;

pub(super) fn matmul(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, y) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let ranks = (call.value(0)?.rank()?, call.value(1)?.rank()?);
    Ok(vec![product(writer, (&x, &y), ranks)?])
}

/// The product of values of these ranks, as NumPy defines it.
fn product(
    writer: &mut Writer,
    (x, y): (&Tensor, &Tensor),
    ranks: (usize, usize),
) -> Result<Tensor, Refusal> {
    let x = if ranks.0 == 1 { writer.expand_dims(x, 0)? } else { x.clone() };
    let y = if ranks.1 == 1 { writer.expand_dims(y, 1)? } else { y.clone() };
    let (first, second) = (ranks.0.max(2), ranks.1.max(2));
    let found = if (first, second) == (2, 2) {
        let op = matmul_op(&x, &y, (false, false));
        writer.add(op, x.element_type)
    } else {
        writer.matmul(&x, &y)
    };
    let rank = first.max(second);
    let mut gone = Vec::new();
    if ranks.0 == 1 {
        gone.push(rank - 2);
    }
    if ranks.1 == 1 {
        gone.push(rank - 1);
    }
    Ok(if gone.is_empty() { found } else { writer.squeeze(&found, &gone) })
}

pub(super) fn gemm(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, y) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let op = matmul_op(&x, &y, (call.flag("transA"), call.flag("transB")));
    let mut found = writer.add(op, x.element_type);
    let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
    if alpha != 1.0 {
        found = writer.with_number("Mul", &found, alpha)?;
    }
    if let Some(mut bias) = call.optional_tensor(writer, 2)? {
        if beta != 1.0 {
            bias = writer.with_number("Mul", &bias, beta)?;
        }
        found = writer.binary("AddV2", &found, &bias);
    }
    Ok(vec![found])
}

pub(super) fn einsum(writer: &mut Writer, call: &Call<'_>) -> Written {
    let given: String =
        call.text("equation", "").chars().filter(|letter| !letter.is_whitespace()).collect();
    let count = call.inputs.len();
    if count > 2 {
        let way_out = "take the product apart into products of two";
        return Err(Refusal::new(format!("a product of {count} values"), way_out));
    }
    let mut inputs = Vec::with_capacity(count);
    for index in 0..count {
        inputs.push(call.tensor(writer, index)?);
    }
    let Some(first) = inputs.first() else {
        return Err(Refusal::new("a product of nothing", "the model may be damaged"));
    };
    let kind = first.element_type;
    let op = Op::new("Einsum").inputs(&inputs).int("N", count as i64).kind("T", kind);
    Ok(vec![writer.add(op.text("equation", &explicit(&given)), kind)])
}

/// The equation with what its result has: the letters that occur once, in the order of the alphabet.
fn explicit(equation: &str) -> String {
    if equation.contains("->") {
        return equation.to_owned();
    }
    let dots = if equation.contains("...") { "..." } else { "" };
    let mut letters: Vec<char> =
        equation.chars().filter(|letter| letter.is_ascii_alphabetic()).collect();
    letters.sort_unstable();
    let once = |letter: &&char| letters.iter().filter(|other| other == letter).count() == 1;
    let kept: String = letters.iter().filter(once).collect();
    format!("{equation}->{dots}{kept}")
}

/// The product of integers of 8 bits, less their zero points.
pub(super) fn integer(writer: &mut Writer, call: &Call<'_>) -> Written {
    let (x, y) = (call.tensor(writer, 0)?, call.tensor(writer, 1)?);
    let ranks = (call.value(0)?.rank()?, call.value(1)?.rank()?);
    let mut sides = Vec::with_capacity(2);
    for (index, side) in [x, y].into_iter().enumerate() {
        let wide = writer.cast(&side, ElementType::Int32);
        let Some(zero) = call.optional_tensor(writer, index + 2)? else {
            sides.push(wide);
            continue;
        };
        let zero = writer.cast(&zero, ElementType::Int32);
        // A zero point a row of the left side, or a column of the right.
        let is_list = call.value(index + 2)?.dims.as_ref().is_some_and(|dims| dims.len() == 1);
        let zero = if is_list && index == 0 { writer.expand_dims(&zero, 1)? } else { zero };
        sides.push(writer.binary("Sub", &wide, &zero));
    }
    match sides.as_slice() {
        [x, y] => Ok(vec![product(writer, (x, y), ranks)?]),
        _ => Err(Refusal::new("a product of one side", "the model may be damaged")),
    }
}

#[cfg(test)]
mod tests {
    use super::explicit;

    #[test]
    fn what_is_implied_is_written_out() {
        assert_eq!(explicit("ij,jk"), "ij,jk->ik");
        assert_eq!(explicit("...ij,...jk"), "...ij,...jk->...ik");
        assert_eq!(explicit("ab,bc->ca"), "ab,bc->ca");
    }
}
