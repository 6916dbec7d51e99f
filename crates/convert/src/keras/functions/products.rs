//! Products of matrices.

use modelyard_tensor::Dim;

use crate::emitter::node;
use crate::keras::converter::Converter;
use crate::keras::einsum::Equation;
use crate::keras::fault::Fault;
use crate::keras::functions::Entry;
use crate::keras::functions::bound::Bound;
use crate::keras::functions::elementwise::float;
use crate::keras::functions::operands::{arrays, values};
use crate::keras::value::{Value, broadcast};
use crate::reference::matmul::matmul;
use crate::reference::{Array, shape};

/// The functions.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        names: &["Matmul"],
        parameters: &["x1", "x2", "transpose_a", "transpose_b"],
        convert: |bound, to| {
            let pair = values(bound, &["x1", "x2"], to)?;
            let one = turned(&pair[0], bound.flag("transpose_a")?, to);
            let two = turned(&pair[1], bound.flag("transpose_b")?, to);
            Ok(vec![product(&one, &two, to)?])
        },
        evaluate: |bound| {
            let pair = arrays(bound, &["x1", "x2"])?;
            let turned = |array: &Array, turn: bool| match turn {
                true => shape::swap_axes(array, -1, -2),
                false => Ok(array.clone()),
            };
            let one = turned(&pair[0], bound.flag("transpose_a")?)?;
            let two = turned(&pair[1], bound.flag("transpose_b")?)?;
            Ok(vec![matmul(&one, &two)?])
        },
    },
    Entry {
        names: &["Einsum"],
        parameters: &["x1", "x2", "subscripts"],
        convert: |bound, to| {
            let equation = equation(bound)?;
            let pair = values(bound, &["x1", "x2"], to)?;
            let (one, two) = (to.float(&pair[0]), to.float(&pair[1]));
            if one.rank() != equation.one.len() || two.rank() != equation.two.len() {
                return Err(Fault::malformed("the equation has other dimensions"));
            }
            let text = equation.text();
            let einsum = node("Einsum", &[&one.name, &two.name]).with("equation", text.as_str());
            let name = to.add(einsum);
            let size = |axis: &char| -> Dim {
                let first = equation.one.iter().position(|name| name == axis);
                let second = equation.two.iter().position(|name| name == axis);
                match (first, second) {
                    (Some(place), _) => one.dims[place].clone(),
                    (_, Some(place)) => two.dims[place].clone(),
                    _ => Dim::Free,
                }
            };
            let dims = equation.out.iter().map(size).collect();
            Ok(vec![to.value(name, dims, one.element_type)])
        },
        evaluate: |bound| {
            let pair = arrays(bound, &["x1", "x2"])?;
            let (one, two) = (float(&pair[0])?, float(&pair[1])?);
            Ok(vec![equation(bound)?.evaluate(&one, &two)?])
        },
    },
];

fn equation<V>(bound: &Bound<V>) -> Result<Equation, Fault> {
    Equation::parse(&bound.text("subscripts")?.unwrap_or_default())
}

fn turned(x: &Value, turn: bool, to: &mut Converter<'_>) -> Value {
    if !turn || x.rank() < 2 {
        return x.clone();
    }
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.swap(x.rank() - 1, x.rank() - 2);
    to.transpose(x, &order)
}

fn product(one: &Value, two: &Value, to: &mut Converter<'_>) -> Result<Value, Fault> {
    let wrong = || {
        let (one, two) = (&one.dims, &two.dims);
        Fault::malformed(format!("shapes {one:?} and {two:?} have no product"))
    };
    if one.rank() == 0 || two.rank() == 0 {
        return Err(wrong());
    }
    let outer = |value: &Value| value.dims[..value.rank().saturating_sub(2)].to_vec();
    let mut dims = broadcast(&outer(one), &outer(two)).ok_or_else(wrong)?;
    if one.rank() > 1 {
        dims.push(one.dims[one.rank() - 2].clone());
    }
    if two.rank() > 1 {
        dims.push(two.dims[two.rank() - 1].clone());
    }
    let name = to.op("MatMul", &[&one.name, &two.name]);
    Ok(to.value(name, dims, one.element_type))
}
