//! Functions of one value or two, each element by itself.

use modelyard_graph::ElementType;

use crate::EvaluateError;
use crate::emitter::node;
use crate::keras::activations::Activation;
use crate::keras::converter::Converter;
use crate::keras::fault::Fault;
use crate::keras::functions::Entry;
use crate::keras::functions::bound::Bound;
use crate::keras::functions::operands::{array, arrays, value, values};
use crate::keras::layers::input::element_type;
use crate::keras::value::{Value, broadcast};
use crate::reference::Array;
use crate::reference::elementwise::{self as kernel, Comparison, map};

const X: &[&str] = &["x"];
const XX: &[&str] = &["x1", "x2"];

/// A function of floats with its name in ONNX and its definition.
macro_rules! unary {
    ($names:expr, $op:literal, $f:expr) => {
        Entry {
            names: $names,
            parameters: X,
            convert: |bound, to| {
                let x = value(bound, "x", to)?;
                let x = to.float(&x);
                Ok(vec![to.unary($op, &x)])
            },
            evaluate: |bound| Ok(vec![map(&float(&array(bound, "x")?)?, $f)?]),
        }
    };
}

/// A function of numbers of any type.
macro_rules! unary_any {
    ($names:expr, $op:literal, $f:expr) => {
        Entry {
            names: $names,
            parameters: X,
            convert: |bound, to| {
                let x = value(bound, "x", to)?;
                Ok(vec![to.unary($op, &x)])
            },
            evaluate: |bound| Ok(vec![$f(&array(bound, "x")?)?]),
        }
    };
}

/// A function of two numbers of one type.
macro_rules! binary {
    ($names:expr, $op:literal, $f:expr) => {
        Entry {
            names: $names,
            parameters: XX,
            convert: |bound, to| {
                let pair = values(bound, XX, to)?;
                Ok(vec![to.binary($op, &pair[0], &pair[1])?])
            },
            evaluate: |bound| {
                let pair = arrays(bound, XX)?;
                Ok(vec![$f(&pair[0], &pair[1])?])
            },
        }
    };
}

/// A comparison.
macro_rules! comparison {
    ($name:literal, $op:literal, $comparison:expr) => {
        Entry {
            names: &[$name],
            parameters: XX,
            convert: |bound, to| {
                let pair = values(bound, XX, to)?;
                let y = to.binary($op, &pair[0], &pair[1])?;
                Ok(vec![Value { element_type: ElementType::Bool, ..y }])
            },
            evaluate: |bound| {
                let pair = arrays(bound, XX)?;
                Ok(vec![kernel::compare(&pair[0], &pair[1], $comparison)?])
            },
        }
    };
}

/// A function of two booleans.
macro_rules! logical {
    ($name:literal, $op:literal, $f:expr) => {
        Entry {
            names: &[$name],
            parameters: XX,
            convert: |bound, to| {
                let pair = values(bound, XX, to)?;
                let one = to.cast(&pair[0], ElementType::Bool);
                let two = to.cast(&pair[1], ElementType::Bool);
                let y = to.binary($op, &one, &two)?;
                Ok(vec![Value { element_type: ElementType::Bool, ..y }])
            },
            evaluate: |bound| {
                let pair = arrays(bound, XX)?;
                let truth = |array: &Array| kernel::cast(array, ElementType::Bool);
                Ok(vec![kernel::logical(&truth(&pair[0])?, &truth(&pair[1])?, $f)?])
            },
        }
    };
}

/// An activation without parameters.
macro_rules! activation {
    ($name:literal, $activation:expr) => {
        Entry {
            names: &[$name],
            parameters: X,
            convert: |bound, to| Ok(vec![$activation.convert(bound.value("x")?, to)?]),
            evaluate: |bound| Ok(vec![$activation.evaluate(&float(bound.value("x")?)?)?]),
        }
    };
}

/// The functions.
pub(super) const ENTRIES: &[Entry] = &[
    binary!(&["Add"], "Add", kernel::add),
    binary!(&["Subtract"], "Sub", kernel::sub),
    binary!(&["Multiply"], "Mul", kernel::mul),
    binary!(&["Maximum", "Fmax"], "Max", kernel::max),
    binary!(&["Minimum", "Fmin"], "Min", kernel::min),
    Entry {
        names: &["Divide", "TrueDivide"],
        parameters: XX,
        convert: |bound, to| {
            let pair = values(bound, XX, to)?;
            let (one, two) = (to.float(&pair[0]), to.float(&pair[1]));
            Ok(vec![to.binary("Div", &one, &two)?])
        },
        evaluate: |bound| {
            let pair = arrays(bound, XX)?;
            Ok(vec![kernel::div(&float(&pair[0])?, &float(&pair[1])?)?])
        },
    },
    Entry {
        names: &["FloorDivide"],
        parameters: XX,
        convert: floor_divide,
        evaluate: |bound| {
            let pair = arrays(bound, XX)?;
            Ok(vec![kernel::floor_div(&pair[0], &pair[1])?])
        },
    },
    Entry {
        names: &["Mod"],
        parameters: XX,
        convert: modulo,
        evaluate: |bound| {
            let pair = arrays(bound, XX)?;
            Ok(vec![kernel::modulo(&pair[0], &pair[1])?])
        },
    },
    binary!(&["Power"], "Pow", kernel::pow),
    Entry {
        names: &["SquaredDifference"],
        parameters: XX,
        convert: |bound, to| {
            let pair = values(bound, XX, to)?;
            let apart = to.binary("Sub", &pair[0], &pair[1])?;
            Ok(vec![to.binary("Mul", &apart, &apart)?])
        },
        evaluate: |bound| {
            let pair = arrays(bound, XX)?;
            let apart = kernel::sub(&pair[0], &pair[1])?;
            Ok(vec![kernel::mul(&apart, &apart)?])
        },
    },
    comparison!("Equal", "Equal", Comparison::Equal),
    comparison!("Less", "Less", Comparison::Less),
    comparison!("LessEqual", "LessOrEqual", Comparison::LessOrEqual),
    comparison!("Greater", "Greater", Comparison::Greater),
    comparison!("GreaterEqual", "GreaterOrEqual", Comparison::GreaterOrEqual),
    Entry {
        names: &["NotEqual"],
        parameters: XX,
        convert: |bound, to| {
            let pair = values(bound, XX, to)?;
            let same = to.binary("Equal", &pair[0], &pair[1])?;
            let same = Value { element_type: ElementType::Bool, ..same };
            Ok(vec![to.unary("Not", &same)])
        },
        evaluate: |bound| {
            let pair = arrays(bound, XX)?;
            Ok(vec![kernel::compare(&pair[0], &pair[1], Comparison::NotEqual)?])
        },
    },
    logical!("LogicalAnd", "And", |one, two| one && two),
    logical!("LogicalOr", "Or", |one, two| one || two),
    logical!("LogicalXor", "Xor", |one, two| one != two),
    Entry {
        names: &["LogicalNot"],
        parameters: X,
        convert: |bound, to| {
            let x = to.cast(bound.value("x")?, ElementType::Bool);
            Ok(vec![to.unary("Not", &x)])
        },
        evaluate: |bound| {
            Ok(vec![kernel::not(&kernel::cast(bound.value("x")?, ElementType::Bool)?)?])
        },
    },
    unary_any!(&["Absolute", "Abs", "Fabs"], "Abs", kernel::abs),
    unary_any!(&["Negative"], "Neg", kernel::neg),
    unary_any!(&["Sign"], "Sign", kernel::sign),
    Entry {
        names: &["Square"],
        parameters: X,
        convert: |bound, to| {
            let x = bound.value("x")?;
            Ok(vec![to.binary("Mul", x, x)?])
        },
        evaluate: |bound| Ok(vec![kernel::mul(bound.value("x")?, bound.value("x")?)?]),
    },
    unary!(&["Sqrt"], "Sqrt", f64::sqrt),
    unary!(&["Reciprocal"], "Reciprocal", f64::recip),
    unary!(&["Exp"], "Exp", f64::exp),
    unary!(&["Log"], "Log", f64::ln),
    unary!(&["Sin"], "Sin", f64::sin),
    unary!(&["Cos"], "Cos", f64::cos),
    unary!(&["Tan"], "Tan", f64::tan),
    unary!(&["Sinh"], "Sinh", f64::sinh),
    unary!(&["Cosh"], "Cosh", f64::cosh),
    unary!(&["Arcsin"], "Asin", f64::asin),
    unary!(&["Arccos"], "Acos", f64::acos),
    unary!(&["Arctan"], "Atan", f64::atan),
    unary!(&["Arcsinh"], "Asinh", f64::asinh),
    unary!(&["Arccosh"], "Acosh", f64::acosh),
    unary!(&["Arctanh"], "Atanh", f64::atanh),
    unary!(&["Floor"], "Floor", f64::floor),
    unary!(&["Ceil"], "Ceil", f64::ceil),
    unary!(&["Erf"], "Erf", crate::reference::activations::erf),
    Entry {
        names: &["Round"],
        parameters: &["x", "decimals"],
        convert: |bound, to| {
            no_decimals(bound)?;
            let x = to.float(bound.value("x")?);
            Ok(vec![to.unary("Round", &x)])
        },
        evaluate: |bound| Ok(vec![kernel::round_half_even(&float(bound.value("x")?)?)?]),
    },
    Entry {
        names: &["Rsqrt"],
        parameters: X,
        convert: |bound, to| {
            let x = to.float(bound.value("x")?);
            let root = to.unary("Sqrt", &x);
            Ok(vec![to.unary("Reciprocal", &root)])
        },
        evaluate: |bound| Ok(vec![map(&float(bound.value("x")?)?, |x| x.sqrt().recip())?]),
    },
    Entry {
        names: &["Expm1"],
        parameters: X,
        convert: |bound, to| {
            let x = to.float(bound.value("x")?);
            let power = to.unary("Exp", &x);
            Ok(vec![to.with_scalar("Sub", &power, 1.0)])
        },
        evaluate: |bound| Ok(vec![map(&float(bound.value("x")?)?, f64::exp_m1)?]),
    },
    Entry {
        names: &["Log1p"],
        parameters: X,
        convert: |bound, to| {
            let x = to.float(bound.value("x")?);
            let sum = to.with_scalar("Add", &x, 1.0);
            Ok(vec![to.unary("Log", &sum)])
        },
        evaluate: |bound| Ok(vec![map(&float(bound.value("x")?)?, f64::ln_1p)?]),
    },
    Entry {
        names: &["Log2"],
        parameters: X,
        convert: |bound, to| logarithm(bound, std::f32::consts::LN_2, to),
        evaluate: |bound| Ok(vec![map(&float(bound.value("x")?)?, f64::log2)?]),
    },
    Entry {
        names: &["Log10"],
        parameters: X,
        convert: |bound, to| logarithm(bound, std::f32::consts::LN_10, to),
        evaluate: |bound| Ok(vec![map(&float(bound.value("x")?)?, f64::log10)?]),
    },
    Entry {
        names: &["Isnan"],
        parameters: X,
        convert: |bound, to| {
            let x = to.float(bound.value("x")?);
            let y = to.unary("IsNaN", &x);
            Ok(vec![Value { element_type: ElementType::Bool, ..y }])
        },
        evaluate: |bound| Ok(vec![kernel::test(bound.value("x")?, f64::is_nan)?]),
    },
    Entry {
        names: &["Clip"],
        parameters: &["x", "x_min", "x_max"],
        convert: clip,
        evaluate: |bound| {
            let low = bound.number("x_min")?.unwrap_or(f64::NEG_INFINITY);
            let high = bound.number("x_max")?.unwrap_or(f64::INFINITY);
            Ok(vec![kernel::clamp(bound.value("x")?, low, high)?])
        },
    },
    Entry {
        names: &["Where"],
        parameters: &["condition", "x1", "x2"],
        convert: choose,
        evaluate: |bound| {
            let condition = kernel::cast(bound.value("condition")?, ElementType::Bool)?;
            let pair = arrays(bound, XX)?;
            Ok(vec![kernel::select(&condition, &pair[0], &pair[1])?])
        },
    },
    Entry {
        names: &["Cast", "SaturateCast"],
        parameters: &["x", "dtype"],
        convert: |bound, to| {
            let wanted = computed(element_type(bound.text("dtype")?.as_deref()));
            let x = bound.value("x")?;
            Ok(vec![to.cast(x, wanted)])
        },
        evaluate: |bound| {
            let wanted = computed(element_type(bound.text("dtype")?.as_deref()));
            Ok(vec![kernel::cast(bound.value("x")?, wanted)?])
        },
    },
    Entry {
        names: &["StopGradient", "Copy", "ConvertToTensor", "Identity", "Array"],
        parameters: X,
        convert: |bound, _| Ok(vec![bound.value("x")?.clone()]),
        evaluate: |bound| Ok(vec![bound.value("x")?.clone()]),
    },
    Entry {
        names: &["ZerosLike"],
        parameters: &["x", "dtype"],
        convert: |bound, to| filled(bound, 0.0, to),
        evaluate: |bound| evaluate_filled(bound, 0.0),
    },
    Entry {
        names: &["OnesLike"],
        parameters: &["x", "dtype"],
        convert: |bound, to| filled(bound, 1.0, to),
        evaluate: |bound| evaluate_filled(bound, 1.0),
    },
    Entry {
        names: &["FullLike"],
        parameters: &["x", "fill_value", "dtype"],
        convert: |bound, to| filled(bound, bound.number("fill_value")?.unwrap_or(0.0), to),
        evaluate: |bound| evaluate_filled(bound, bound.number("fill_value")?.unwrap_or(0.0)),
    },
    activation!("Relu", Activation::RELU),
    activation!("Relu6", Activation::Relu { max: Some(6.0), slope: 0.0, threshold: 0.0 }),
    activation!("Sigmoid", Activation::Sigmoid),
    activation!("Tanh", Activation::Tanh),
    activation!("Softplus", Activation::Softplus),
    activation!("Softsign", Activation::Softsign),
    activation!("Silu", Activation::Silu),
    activation!("Selu", Activation::Selu),
    activation!("HardSigmoid", Activation::HardSigmoid(1.0 / 6.0)),
    activation!("HardSilu", Activation::HardSilu),
    activation!("HardTanh", Activation::HardTanh),
    activation!("TanhShrink", Activation::TanhShrink),
    activation!("LogSigmoid", Activation::LogSigmoid),
    activation!("SparsePlus", Activation::SparsePlus),
    activation!("SparseSigmoid", Activation::SparseSigmoid),
];

/// The array as floats.
pub(super) fn float(array: &Array) -> Result<Array, EvaluateError> {
    match array.element_type() {
        ElementType::Float32 => Ok(array.clone()),
        _ => kernel::cast(array, ElementType::Float32),
    }
}

/// The type that values of this type are computed in.
fn computed(element_type: ElementType) -> ElementType {
    match element_type {
        ElementType::Float16 | ElementType::Bfloat16 | ElementType::Float64 => ElementType::Float32,
        other => other,
    }
}

fn no_decimals<V>(bound: &Bound<V>) -> Result<(), Fault> {
    match bound.integer("decimals")? {
        None | Some(0) => Ok(()),
        Some(_) => Err(Fault::unsupported("rounding to decimals", "multiply before, divide after")),
    }
}

fn floor_divide(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let pair = values(bound, XX, to)?;
    let element_type = pair[0].element_type;
    // Integers of ONNX are cut off: the quotient is taken as float, and rounded down.
    let (one, two) = (to.float(&pair[0]), to.float(&pair[1]));
    let quotient = to.binary("Div", &one, &two)?;
    let floor = to.unary("Floor", &quotient);
    Ok(vec![to.cast(&floor, element_type)])
}

fn modulo(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let pair = values(bound, XX, to)?;
    if !pair[0].is_float() {
        return Ok(vec![to.binary("Mod", &pair[0], &pair[1])?]);
    }
    // With the sign of the divisor, as Python has it.
    let quotient = to.binary("Div", &pair[0], &pair[1])?;
    let floor = to.unary("Floor", &quotient);
    let whole = to.binary("Mul", &floor, &pair[1])?;
    Ok(vec![to.binary("Sub", &pair[0], &whole)?])
}

fn logarithm(bound: &Bound<Value>, base: f32, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = to.float(bound.value("x")?);
    let natural = to.unary("Log", &x);
    Ok(vec![to.with_scalar("Div", &natural, base)])
}

fn clip(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = bound.value("x")?;
    let low = bound.number("x_min")?;
    let high = bound.number("x_max")?;
    if x.is_float() {
        let (low, high) = (low.map(|it| it as f32), high.map(|it| it as f32));
        return Ok(vec![crate::keras::activations::clip(x, to, low, high)]);
    }
    let inputs = bounds(x, [low, high], to)?;
    let name = to.op("Clip", &inputs);
    Ok(vec![to.like(x, name)])
}

/// The value and its bounds, in its own type.
fn bounds(
    x: &Value,
    bounds: [Option<f64>; 2],
    to: &mut Converter<'_>,
) -> Result<Vec<String>, Fault> {
    let mut inputs = vec![x.name.clone()];
    for bound in bounds {
        inputs.push(match bound {
            None => String::new(),
            Some(bound) => {
                let number = to.scalar(bound as f32);
                to.cast(&number, x.element_type).name
            }
        });
    }
    while inputs.last().is_some_and(String::is_empty) {
        inputs.pop();
    }
    Ok(inputs)
}

fn choose(bound: &Bound<Value>, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let condition = to.cast(bound.value("condition")?, ElementType::Bool);
    let pair = values(bound, XX, to)?;
    let both = broadcast(&pair[0].dims, &pair[1].dims);
    let dims = both.and_then(|both| broadcast(&condition.dims, &both));
    let dims = dims.ok_or_else(|| Fault::malformed("the shapes do not fit together"))?;
    let name = to.op("Where", &[&condition.name, &pair[0].name, &pair[1].name]);
    Ok(vec![to.value(name, dims, pair[0].element_type)])
}

/// The type of something that is like another thing, unless another type is asked for.
fn like_type<V>(bound: &Bound<V>, own: ElementType) -> Result<ElementType, Fault> {
    let named = bound.text("dtype")?;
    Ok(named.map_or(own, |name| computed(element_type(Some(&name)))))
}

fn filled(bound: &Bound<Value>, number: f64, to: &mut Converter<'_>) -> Result<Vec<Value>, Fault> {
    let x = bound.value("x")?;
    let wanted = like_type(bound, x.element_type)?;
    let shape = to.shape_of(x);
    let number = to.scalar(number as f32);
    let number = to.cast(&number, wanted);
    let name = to.add(node("Expand", &[&number.name, &shape]));
    Ok(vec![to.value(name, x.dims.clone(), wanted)])
}

fn evaluate_filled(bound: &Bound<Array>, number: f64) -> Result<Vec<Array>, EvaluateError> {
    let x = bound.value("x")?;
    let wanted = like_type(bound, x.element_type())?;
    Ok(vec![Array::from_f64s(wanted, x.dims(), vec![number; x.len()])?])
}
