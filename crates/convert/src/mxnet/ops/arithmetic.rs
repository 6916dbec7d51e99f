//! Arithmetic of two arrays: elementwise, and with sizes of 1 stretched (`broadcast_`).

use modelyard_graph::ElementType;

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::reference::array::is_integer;
use crate::reference::{Array, elementwise};

pub(super) const OPERATOR: Operator = Operator {
    names: &[
        "elemwise_add",
        "_plus",
        "_Plus",
        "_add",
        "_grad_add",
        "broadcast_add",
        "broadcast_plus",
        "_npi_add",
        "elemwise_sub",
        "_minus",
        "_Minus",
        "_sub",
        "broadcast_sub",
        "broadcast_minus",
        "_npi_subtract",
        "elemwise_mul",
        "_mul",
        "_Mul",
        "broadcast_mul",
        "_npi_multiply",
        "elemwise_div",
        "_div",
        "_Div",
        "broadcast_div",
        "_npi_true_divide",
        "_mod",
        "_Mod",
        "broadcast_mod",
        "_power",
        "_Power",
        "broadcast_power",
        "_npi_power",
        "_maximum",
        "_Maximum",
        "broadcast_maximum",
        "_npi_maximum",
        "_minimum",
        "_Minimum",
        "broadcast_minimum",
        "_npi_minimum",
        "_hypot",
        "broadcast_hypot",
    ],
    infer,
    convert,
    evaluate,
};

/// What is done, whatever the name of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Power,
    Maximum,
    Minimum,
    Hypot,
}

impl Kind {
    fn of(op: &Op<'_>) -> Kind {
        let name = op.operator.to_lowercase();
        let has = |part: &str| name.contains(part);
        if has("sub") || has("minus") {
            Kind::Sub
        } else if has("mul") {
            Kind::Mul
        } else if has("div") {
            Kind::Div
        } else if has("mod") {
            Kind::Mod
        } else if has("power") {
            Kind::Power
        } else if has("maximum") {
            Kind::Maximum
        } else if has("minimum") {
            Kind::Minimum
        } else if has("hypot") {
            Kind::Hypot
        } else {
            Kind::Add
        }
    }

    /// Writes it for two values of a type.
    pub(super) fn convert(
        self,
        site: &mut Site<'_>,
        one: &str,
        two: &str,
        kind: ElementType,
    ) -> String {
        match self {
            Kind::Add => site.op("Add", &[one, two]),
            Kind::Sub => site.op("Sub", &[one, two]),
            Kind::Mul => site.op("Mul", &[one, two]),
            Kind::Div => site.op("Div", &[one, two]),
            Kind::Power => site.op("Pow", &[one, two]),
            Kind::Maximum => site.op("Max", &[one, two]),
            Kind::Minimum => site.op("Min", &[one, two]),
            Kind::Mod if is_integer(kind) => site.op("Mod", &[one, two]),
            // The sign of the divisor, as in Python: x - floor(x / y) * y.
            Kind::Mod => {
                let quotient = site.op("Div", &[one, two]);
                let floor = site.op("Floor", &[&quotient]);
                let whole = site.op("Mul", &[&floor, two]);
                site.op("Sub", &[one, &whole])
            }
            Kind::Hypot => {
                let (one, two) = (site.op("Mul", &[one, one]), site.op("Mul", &[two, two]));
                let sum = site.op("Add", &[&one, &two]);
                site.op("Sqrt", &[&sum])
            }
        }
    }

    pub(super) fn evaluate(self, one: &Array, two: &Array) -> Result<Array, EvaluateError> {
        match self {
            Kind::Add => elementwise::add(one, two),
            Kind::Sub => elementwise::sub(one, two),
            Kind::Mul => elementwise::mul(one, two),
            Kind::Div => elementwise::div(one, two),
            Kind::Mod => elementwise::modulo(one, two),
            Kind::Power => elementwise::pow(one, two),
            Kind::Maximum => elementwise::max(one, two),
            Kind::Minimum => elementwise::min(one, two),
            Kind::Hypot => elementwise::zip_floats(one, two, f64::hypot),
        }
    }
}

/// The shape of two arrays with sizes of 1 stretched.
pub(super) fn broadcast(one: &Info, two: &Info) -> Result<Vec<usize>, Problem> {
    let mismatch = || Problem::shape(format!("shapes {:?} and {:?}", one.dims, two.dims));
    let rank = one.rank().max(two.rank());
    let size = |dims: &[usize], axis: usize| {
        let missing = rank - dims.len();
        if axis < missing { 1 } else { dims[axis - missing] }
    };
    (0..rank)
        .map(|axis| match (size(&one.dims, axis), size(&two.dims, axis)) {
            (one, two) if one == two || two == 1 => Ok(one),
            (1, two) => Ok(two),
            _ => Err(mismatch()),
        })
        .collect()
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let (one, two) = (info(inputs, 0)?, info(inputs, 1)?);
    if one.kind != two.kind {
        let (one, two) = (one.kind, two.kind);
        return Err(Problem::shape(format!("elements of types {one} and {two}")));
    }
    let stretches = op.operator.starts_with("broadcast") || op.operator.starts_with("_np");
    if !stretches && one.dims != two.dims {
        return Err(Problem::shape(format!("shapes {:?} and {:?}", one.dims, two.dims)));
    }
    Ok(vec![Info { dims: broadcast(one, two)?, kind: one.kind }])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let kind = site.kind()?;
    let (one, two) = (site.input(0)?, site.input(1)?);
    Ok(vec![Kind::of(&site.op).convert(site, &one, &two, kind)])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    Ok(vec![Kind::of(op).evaluate(at(inputs, 0)?, at(inputs, 1)?)?])
}
