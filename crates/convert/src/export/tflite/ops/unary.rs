//! Functions of one number: operators of their own, and those that are made of several.

use modelyard_graph::Node;

use super::super::stop::{Stop, refused};
use super::super::writer::{FLOAT, Id, Writer};

pub(super) fn ends(node: &Node) -> Result<(&str, &str), Stop> {
    match (node.input(0), node.output(0)) {
        (Some(input), Some(output)) => Ok((input, output)),
        _ => Err(refused("no input or no output", "")),
    }
}

pub(super) fn direct<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let operator = match node.op_type.as_str() {
        "Abs" => "ABS",
        "Ceil" => "CEIL",
        "Cos" => "COS",
        "Exp" => "EXP",
        "Floor" => "FLOOR",
        "Log" => "LOG",
        "Neg" => "NEG",
        "Not" => "LOGICAL_NOT",
        "Round" => "ROUND",
        "Sign" => "SIGN",
        "Sin" => "SIN",
        _ => "SQRT",
    };
    let value = cx.value(input)?;
    let made = cx.output(output)?;
    cx.plain(operator, &[value], made);
    Ok(())
}

pub(super) fn composed<'a>(cx: &mut Writer<'a>, node: &'a Node) -> Result<(), Stop> {
    let (input, output) = ends(node)?;
    let value = cx.value(input)?;
    if cx.tensor(value).type_code != FLOAT {
        return Err(refused("values that are not float", "compute it in float"));
    }
    let made = cx.output(output)?;
    match node.op_type.as_str() {
        "Reciprocal" => {
            let one = cx.scalar(1.0);
            cx.arithmetic("DIV", &[one, value], made);
        }
        "IsNaN" => cx.plain("NOT_EQUAL", &[value, value], made),
        "Tan" => {
            let (sine, cosine) = (cx.alike("SIN", &[value]), cx.alike("COS", &[value]));
            cx.arithmetic("DIV", &[sine, cosine], made);
        }
        "Erf" => error_function(cx, value, made),
        // Sinh and Cosh: half of the difference or sum of exp(x) and exp(-x).
        operator => {
            let negative = cx.alike("NEG", &[value]);
            let (up, down) = (cx.alike("EXP", &[value]), cx.alike("EXP", &[negative]));
            let sum = cx.alike(if operator == "Sinh" { "SUB" } else { "ADD" }, &[up, down]);
            let half = cx.scalar(0.5);
            cx.arithmetic("MUL", &[sum, half], made);
        }
    }
    Ok(())
}

/// The error function by Abramowitz and Stegun, 7.1.26: at most 1.5e-7 away.
fn error_function(cx: &mut Writer<'_>, value: Id, made: Id) {
    const SLOPE: f32 = 0.327_591_1;
    const FACTORS: [f32; 5] = [1.061_405_4, -1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6];
    cx.note("Erf is approximated by a polynomial, which is at most 1.5e-7 away");
    let size = cx.alike("ABS", &[value]);
    let slope = cx.scalar(SLOPE);
    let scaled = cx.alike("MUL", &[size, slope]);
    let one = cx.scalar(1.0);
    let below = cx.alike("ADD", &[scaled, one]);
    let dims = cx.tensor(value).dims.clone();
    let t = cx.between("DIV", value, &dims);
    cx.arithmetic("DIV", &[one, below], t);
    let mut sum = t;
    for (index, factor) in FACTORS.iter().enumerate() {
        let factor = cx.scalar(*factor);
        sum = match index {
            0 => cx.alike("MUL", &[t, factor]),
            _ => {
                let sum = cx.alike("ADD", &[sum, factor]);
                cx.alike("MUL", &[sum, t])
            }
        };
    }
    let square = cx.alike("MUL", &[size, size]);
    let negative = cx.alike("NEG", &[square]);
    let bell = cx.alike("EXP", &[negative]);
    let rest = cx.alike("MUL", &[sum, bell]);
    let part = cx.between("SUB", value, &dims);
    cx.arithmetic("SUB", &[one, rest], part);
    let sign = cx.alike("SIGN", &[value]);
    cx.arithmetic("MUL", &[sign, part], made);
}
