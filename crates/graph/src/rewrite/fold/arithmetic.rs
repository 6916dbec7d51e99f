//! Elementwise operators on constants.

use super::super::net::Op;
use super::movement::stretched;
use super::numbers::Numbers;
use crate::{Constant, ElementType};

/// What a node computes from constants, stretched to `dims`.
pub(super) fn fold(
    op: &Op,
    inputs: &[Option<&Constant>],
    dims: Option<&[usize]>,
) -> Option<Constant> {
    let dims = dims?;
    let inputs: Vec<&Constant> = inputs.iter().copied().collect::<Option<_>>()?;
    let operator = op.standard()?;
    match (operator, inputs.as_slice()) {
        ("Cast", [one]) => {
            cast(one, ElementType::from_code(i32::try_from(op.node.int("to")?).ok()?)?)
        }
        ("CastLike", [one, like]) => cast(one, like.element_type),
        ("Not", [one]) => {
            let Numbers::Ints(items) = Numbers::decode(one)? else { return None };
            let items = items.into_iter().map(|item| i64::from(item == 0)).collect();
            Numbers::Ints(items).encode(ElementType::Bool, dims)
        }
        (_, [one]) => unary(operator, one),
        ("Where", [condition, yes, no]) => choose(condition, yes, no, dims),
        ("Mod", _) if op.node.int("fmod").unwrap_or(0) != 0 => None,
        (_, [left, right]) => binary(operator, left, right, dims),
        _ => None,
    }
}

fn cast(constant: &Constant, to: ElementType) -> Option<Constant> {
    let is_float = matches!(to, ElementType::Float32 | ElementType::Float64);
    let numbers = match Numbers::decode(constant)? {
        Numbers::Ints(items) if is_float => {
            Numbers::Floats(items.into_iter().map(|item| item as f64).collect())
        }
        Numbers::Floats(items) if to == ElementType::Bool => {
            Numbers::Ints(items.into_iter().map(|item| i64::from(item != 0.0)).collect())
        }
        Numbers::Floats(items) if !is_float => {
            // What is beyond the integers depends on the machine.
            const MOST: f64 = (1u64 << 31) as f64;
            let fits = items.iter().all(|item| item.abs() < MOST);
            fits.then(|| Numbers::Ints(items.into_iter().map(|item| item as i64).collect()))?
        }
        Numbers::Ints(items) if to == ElementType::Bool => {
            Numbers::Ints(items.into_iter().map(|item| i64::from(item != 0)).collect())
        }
        numbers => numbers,
    };
    let mut result = numbers.encode(to, &constant.dims)?;
    result.name.clone_from(&constant.name);
    Some(result)
}

fn unary(operator: &str, constant: &Constant) -> Option<Constant> {
    let numbers = match Numbers::decode(constant)? {
        Numbers::Floats(items) => {
            let f: fn(f64) -> f64 = match operator {
                "Abs" => f64::abs,
                "Neg" => |item| -item,
                "Sqrt" => f64::sqrt,
                "Reciprocal" => |item| 1.0 / item,
                "Floor" => f64::floor,
                "Ceil" => f64::ceil,
                "Round" => f64::round_ties_even,
                "Relu" => |item| if item < 0.0 { 0.0 } else { item },
                _ => return None,
            };
            Numbers::Floats(items.into_iter().map(f).collect())
        }
        Numbers::Ints(items) => {
            let f: fn(i64) -> i64 = match operator {
                "Abs" => i64::wrapping_abs,
                "Neg" => i64::wrapping_neg,
                _ => return None,
            };
            Numbers::Ints(items.into_iter().map(f).collect())
        }
    };
    numbers.encode(constant.element_type, &constant.dims)
}

fn binary(operator: &str, left: &Constant, right: &Constant, dims: &[usize]) -> Option<Constant> {
    if left.element_type != right.element_type {
        return None;
    }
    let compares =
        matches!(operator, "Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual");
    let (one, two) = (stretched(left, dims)?, stretched(right, dims)?);
    let numbers = match (Numbers::decode(&one)?, Numbers::decode(&two)?) {
        (Numbers::Floats(one), Numbers::Floats(two)) if compares => {
            Numbers::Ints(pairs(one, two, |one, two| Some(compare(operator, &one, &two)))?)
        }
        (Numbers::Ints(one), Numbers::Ints(two)) if compares => {
            Numbers::Ints(pairs(one, two, |one, two| Some(compare(operator, &one, &two)))?)
        }
        (Numbers::Floats(one), Numbers::Floats(two)) => {
            Numbers::Floats(pairs(one, two, |one, two| floats(operator, one, two))?)
        }
        (Numbers::Ints(one), Numbers::Ints(two)) => {
            Numbers::Ints(pairs(one, two, |one, two| ints(operator, one, two))?)
        }
        _ => return None,
    };
    numbers.encode(if compares { ElementType::Bool } else { left.element_type }, dims)
}

fn pairs<T, R>(one: Vec<T>, two: Vec<T>, f: impl Fn(T, T) -> Option<R>) -> Option<Vec<R>> {
    one.into_iter().zip(two).map(|(one, two)| f(one, two)).collect()
}

fn compare<T: PartialOrd>(operator: &str, one: &T, two: &T) -> i64 {
    i64::from(match operator {
        "Equal" => one == two,
        "Less" => one < two,
        "LessOrEqual" => one <= two,
        "Greater" => one > two,
        _ => one >= two,
    })
}

/// One operation of doubles that is then rounded to floats is exact for these.
fn floats(operator: &str, one: f64, two: f64) -> Option<f64> {
    Some(match operator {
        "Add" => one + two,
        "Sub" => one - two,
        "Mul" => one * two,
        "Div" => one / two,
        "Max" if !one.is_nan() && !two.is_nan() => one.max(two),
        "Min" if !one.is_nan() && !two.is_nan() => one.min(two),
        _ => return None,
    })
}

fn ints(operator: &str, one: i64, two: i64) -> Option<i64> {
    Some(match operator {
        "Add" => one.checked_add(two)?,
        "Sub" => one.checked_sub(two)?,
        "Mul" => one.checked_mul(two)?,
        "Div" => one.checked_div(two)?,
        // The sign is the divisor's.
        "Mod" => {
            let rest = one.checked_rem(two)?;
            if rest != 0 && (rest < 0) != (two < 0) { rest + two } else { rest }
        }
        "Max" => one.max(two),
        "Min" => one.min(two),
        "And" => one & two,
        "Or" => one | two,
        "Xor" => one ^ two,
        _ => return None,
    })
}

fn choose(condition: &Constant, yes: &Constant, no: &Constant, dims: &[usize]) -> Option<Constant> {
    if yes.element_type != no.element_type {
        return None;
    }
    let stretch = |constant| Numbers::decode(&stretched(constant, dims)?);
    let Numbers::Ints(condition) = stretch(condition)? else { return None };
    let numbers = match (stretch(yes)?, stretch(no)?) {
        (Numbers::Ints(yes), Numbers::Ints(no)) => Numbers::Ints(pick(&condition, yes, no)),
        (Numbers::Floats(yes), Numbers::Floats(no)) => Numbers::Floats(pick(&condition, yes, no)),
        _ => return None,
    };
    numbers.encode(yes.element_type, dims)
}

fn pick<T>(condition: &[i64], yes: Vec<T>, no: Vec<T>) -> Vec<T> {
    let pairs = yes.into_iter().zip(no);
    condition.iter().zip(pairs).map(|(&is, (yes, no))| if is != 0 { yes } else { no }).collect()
}
