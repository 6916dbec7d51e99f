//! Arithmetic of an array and a number, which has the type of the array.

use super::super::site::Site;
use super::arithmetic::Kind;
use super::{Op, Operator, Problem, at, same};
use crate::EvaluateError;
use crate::reference::Array;

pub(super) const OPERATOR: Operator = Operator {
    names: &[
        "_plus_scalar",
        "_PlusScalar",
        "_npi_add_scalar",
        "_minus_scalar",
        "_MinusScalar",
        "_npi_subtract_scalar",
        "_rminus_scalar",
        "_RMinusScalar",
        "_npi_rsubtract_scalar",
        "_mul_scalar",
        "_MulScalar",
        "_npi_multiply_scalar",
        "_div_scalar",
        "_DivScalar",
        "_npi_true_divide_scalar",
        "_rdiv_scalar",
        "_RDivScalar",
        "_npi_rtrue_divide_scalar",
        "_mod_scalar",
        "_ModScalar",
        "_rmod_scalar",
        "_RModScalar",
        "_power_scalar",
        "_PowerScalar",
        "_npi_power_scalar",
        "_rpower_scalar",
        "_RPowerScalar",
        "_maximum_scalar",
        "_MaximumScalar",
        "_minimum_scalar",
        "_MinimumScalar",
        "_hypot_scalar",
        "_HypotScalar",
    ],
    infer: |op, inputs| {
        op.attributes.float_or("scalar", 0.0)?;
        same(op, inputs)
    },
    convert,
    evaluate,
};

/// What is done, and whether the number comes first.
fn kind(op: &Op<'_>) -> (Kind, bool) {
    let name = op.operator.to_lowercase();
    let name = name.trim_start_matches("_npi").trim_start_matches('_').replace("scalar", "");
    match name.trim_end_matches('_') {
        "minus" | "subtract" => (Kind::Sub, false),
        "rminus" | "rsubtract" => (Kind::Sub, true),
        "mul" | "multiply" => (Kind::Mul, false),
        "div" | "true_divide" => (Kind::Div, false),
        "rdiv" | "rtrue_divide" => (Kind::Div, true),
        "mod" => (Kind::Mod, false),
        "rmod" => (Kind::Mod, true),
        "power" => (Kind::Power, false),
        "rpower" => (Kind::Power, true),
        "maximum" => (Kind::Maximum, false),
        "minimum" => (Kind::Minimum, false),
        "hypot" => (Kind::Hypot, false),
        _ => (Kind::Add, false),
    }
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let scalar = site.op.attributes.float_or("scalar", 0.0)?;
    let (what, first) = kind(&site.op);
    let (x, kind) = (site.input(0)?, site.kind()?);
    let number = site.number("scalar", kind, scalar);
    let (one, two) = if first { (&number, &x) } else { (&x, &number) };
    Ok(vec![what.convert(site, one, two, kind)])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let scalar = op.attributes.float_or("scalar", 0.0)?;
    let (what, first) = kind(op);
    let x = at(inputs, 0)?;
    let number = Array::from_f64s(x.element_type(), &[], vec![scalar])?;
    Ok(vec![if first { what.evaluate(&number, x)? } else { what.evaluate(x, &number)? }])
}
