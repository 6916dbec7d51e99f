//! Operators of one number each.

use modelyard_graph::ElementType;

use super::{Evaluated, Given};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, Data, activations, elementwise};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let value = call.input(0)?;
    let [x] = context.names(call)?;
    let op = call.node.op.as_str();
    let found = match simple(op) {
        Some(op_type) => context.add(op_type, &[x]),
        None => composed(context, op, &x, value.element_type)?,
    };
    let tests = matches!(op, "IsFinite" | "IsInf" | "IsNan" | "LogicalNot");
    let element_type = if tests { ElementType::Bool } else { value.element_type };
    Ok(vec![context.value(found, element_type, value.dims.clone())])
}

/// The operator of ONNX that does the same.
fn simple(op: &str) -> Option<&'static str> {
    Some(match op {
        "Abs" => "Abs",
        "Acos" => "Acos",
        "Acosh" => "Acosh",
        "Asin" => "Asin",
        "Asinh" => "Asinh",
        "Atan" => "Atan",
        "Atanh" => "Atanh",
        "Ceil" => "Ceil",
        "Cos" => "Cos",
        "Cosh" => "Cosh",
        "Elu" => "Elu",
        "Erf" => "Erf",
        "Exp" => "Exp",
        "Floor" => "Floor",
        "Inv" | "Reciprocal" => "Reciprocal",
        "IsInf" => "IsInf",
        "IsNan" => "IsNaN",
        "Log" => "Log",
        "LogicalNot" => "Not",
        "Neg" => "Neg",
        "Relu" => "Relu",
        "Rint" | "Round" => "Round",
        "Sigmoid" => "Sigmoid",
        "Sign" => "Sign",
        "Sin" => "Sin",
        "Sinh" => "Sinh",
        "Softplus" => "Softplus",
        "Softsign" => "Softsign",
        "Sqrt" => "Sqrt",
        "Tan" => "Tan",
        "Tanh" => "Tanh",
        _ => return None,
    })
}

/// Operators that take several of ONNX.
fn composed(
    context: &mut Context<'_>,
    op: &str,
    x: &str,
    element_type: ElementType,
) -> Result<String, Refusal> {
    let x = x.to_owned();
    Ok(match op {
        "Square" => context.add("Mul", &[&x, &x]),
        "Rsqrt" => {
            let root = context.add("Sqrt", &[x]);
            context.add("Reciprocal", &[root])
        }
        "Relu6" => {
            let low = context.scalar("low", 0.0, element_type)?;
            let high = context.scalar("high", 6.0, element_type)?;
            context.add("Clip", &[x, low, high])
        }
        "Log1p" => {
            let one = context.scalar("one", 1.0, element_type)?;
            let sum = context.add("Add", &[x, one]);
            context.add("Log", &[sum])
        }
        "Expm1" => {
            let one = context.scalar("one", 1.0, element_type)?;
            let power = context.add("Exp", &[x]);
            context.add("Sub", &[power, one])
        }
        "Erfc" => {
            let one = context.scalar("one", 1.0, element_type)?;
            let erf = context.add("Erf", &[x]);
            context.add("Sub", &[one, erf])
        }
        "Selu" => {
            // Selu is a scaled Elu, which every engine has.
            let scale = context.scalar("scale", SELU_SCALE, element_type)?;
            let elu = node("Elu", &[x]).with("alpha", SELU_ALPHA as f32);
            let elu = context.add_node(elu);
            context.add("Mul", &[elu, scale])
        }
        "IsFinite" => {
            let infinite = context.add("IsInf", &[&x]);
            let nan = context.add("IsNaN", &[&x]);
            let either = context.add("Or", &[infinite, nan]);
            context.add("Not", &[either])
        }
        _ => return Err(Refusal::new("the operator", "write this part with other operators")),
    })
}

const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let x = given.input(0)?;
    Ok(vec![match given.node.op.as_str() {
        "Abs" => elementwise::abs(x)?,
        "IsFinite" => elementwise::test(x, f64::is_finite)?,
        "IsInf" => elementwise::test(x, f64::is_infinite)?,
        "IsNan" => elementwise::test(x, f64::is_nan)?,
        "LogicalNot" => elementwise::not(x)?,
        "Neg" => elementwise::neg(x)?,
        "Rint" | "Round" => elementwise::round_half_even(x)?,
        "Relu" => relu(x)?,
        "Sign" => elementwise::sign(x)?,
        "Square" => elementwise::mul(x, x)?,
        op => elementwise::map(x, function(op)?)?,
    }])
}

fn function(op: &str) -> Result<fn(f64) -> f64, EvaluateError> {
    Ok(match op {
        "Acos" => f64::acos,
        "Acosh" => f64::acosh,
        "Asin" => f64::asin,
        "Asinh" => f64::asinh,
        "Atan" => f64::atan,
        "Atanh" => f64::atanh,
        "Ceil" => f64::ceil,
        "Cos" => f64::cos,
        "Cosh" => f64::cosh,
        "Elu" => |x| activations::elu(x, 1.0),
        "Erf" => activations::erf,
        "Erfc" => |x| 1.0 - activations::erf(x),
        "Exp" => f64::exp,
        "Expm1" => f64::exp_m1,
        "Floor" => f64::floor,
        "Inv" | "Reciprocal" => f64::recip,
        "Log" => f64::ln,
        "Log1p" => f64::ln_1p,
        "Relu6" => activations::relu6,
        "Rsqrt" => |x| 1.0 / x.sqrt(),
        "Selu" => activations::selu,
        "Sigmoid" => activations::sigmoid,
        "Sin" => f64::sin,
        "Sinh" => f64::sinh,
        "Softplus" => activations::softplus,
        "Softsign" => activations::softsign,
        "Sqrt" => f64::sqrt,
        "Tan" => f64::tan,
        "Tanh" => f64::tanh,
        _ => return Err(EvaluateError::new("the operator is not covered")),
    })
}

fn relu(x: &Array) -> Result<Array, EvaluateError> {
    match x.data() {
        Data::Floats(_) => elementwise::map_floats(x, |x| if x < 0.0 { 0.0 } else { x }),
        _ => elementwise::max(x, &Array::from_f64s(x.element_type(), &[], vec![0.0])?),
    }
}
