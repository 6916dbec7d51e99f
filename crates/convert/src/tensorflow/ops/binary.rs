//! Operators of two numbers each, broadcast as in numpy.

use modelyard_graph::ElementType;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, elementwise};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let (one, two) = (call.input(0)?, call.input(1)?);
    let dims = dims::broadcast(&one.dims, &two.dims);
    let element_type = one.element_type;
    let [a, b] = context.names(call)?;
    let operands = Operands { a, b, element_type, is_float: one.is_float() };
    let name = operands.emit(context, &call.node.op)?;
    Ok(vec![context.value(name, element_type, dims)])
}

struct Operands {
    a: String,
    b: String,
    element_type: ElementType,
    is_float: bool,
}

impl Operands {
    fn emit(&self, context: &mut Context<'_>, op: &str) -> Result<String, Refusal> {
        let (a, b) = (self.a.as_str(), self.b.as_str());
        let simple = match op {
            "Add" | "AddV2" => "Add",
            "Sub" => "Sub",
            "Mul" => "Mul",
            // Of integers both are cut off.
            "RealDiv" | "Div" | "TruncateDiv" => "Div",
            "Pow" => "Pow",
            "Maximum" => "Max",
            "Minimum" => "Min",
            _ => return self.composed(context, op),
        };
        Ok(context.add(simple, &[a, b]))
    }

    fn composed(&self, context: &mut Context<'_>, op: &str) -> Result<String, Refusal> {
        let (a, b) = (self.a.as_str(), self.b.as_str());
        Ok(match op {
            "SquaredDifference" => {
                let difference = context.add("Sub", &[a, b]);
                context.add("Mul", &[&difference, &difference])
            }
            "FloorDiv" if self.is_float => {
                let quotient = context.add("Div", &[a, b]);
                context.add("Floor", &[quotient])
            }
            "FloorDiv" => {
                // What is left has the divisor's sign, so the rest divides without a remainder.
                let rest = context.add("Mod", &[a, b]);
                let whole = context.add("Sub", &[a, &rest]);
                context.add("Div", &[whole.as_str(), b])
            }
            "FloorMod" if self.is_float => {
                let quotient = context.add("Div", &[a, b]);
                let whole = context.add("Floor", &[quotient]);
                let taken = context.add("Mul", &[whole.as_str(), b]);
                context.add("Sub", &[a, &taken])
            }
            "FloorMod" => context.add("Mod", &[a, b]),
            "Mod" | "TruncateMod" => context.add_node(node("Mod", &[a, b]).with("fmod", 1)),
            "DivNoNan" => {
                let quotient = context.add("Div", &[a, b]);
                self.unless_zero(context, b, &quotient)?
            }
            "MulNoNan" => {
                let product = context.add("Mul", &[a, b]);
                self.unless_zero(context, b, &product)?
            }
            "Xdivy" => {
                let quotient = context.add("Div", &[a, b]);
                self.unless_zero(context, a, &quotient)?
            }
            "Xlogy" => {
                let logarithm = context.add("Log", &[b]);
                let product = context.add("Mul", &[a, &logarithm]);
                self.unless_zero(context, a, &product)?
            }
            "Atan2" => self.angle(context)?,
            _ => return Err(Refusal::new("the operator", "write this part with other operators")),
        })
    }

    /// 0 where `tested` is 0, else `value`.
    fn unless_zero(
        &self,
        context: &mut Context<'_>,
        tested: &str,
        value: &str,
    ) -> Result<String, Refusal> {
        let zero = context.scalar("zero", 0.0, self.element_type)?;
        let is_zero = context.add("Equal", &[tested, &zero]);
        Ok(context.add("Where", &[is_zero.as_str(), &zero, value]))
    }

    /// The angle of the point (b, a): twice that of a point halfway to the axis, where nothing is
    /// divided by 0 but on the negative half of it.
    fn angle(&self, context: &mut Context<'_>) -> Result<String, Refusal> {
        let (y, x) = (self.a.as_str(), self.b.as_str());
        let zero = context.scalar("zero", 0.0, self.element_type)?;
        let pi = context.scalar("pi", std::f64::consts::PI, self.element_type)?;
        let half = context.scalar("half_pi", std::f64::consts::FRAC_PI_2, self.element_type)?;
        let quotient = context.add("Div", &[y, x]);
        let angle = context.add("Atan", &[quotient]);
        // On the left, half a turn more or less.
        let y_below = context.add("Less", &[y, &zero]);
        let minus_pi = context.add("Neg", &[&pi]);
        let turn = context.add("Where", &[&y_below, &minus_pi, &pi]);
        let turned = context.add("Add", &[&angle, &turn]);
        let x_below = context.add("Less", &[x, &zero]);
        let found = context.add("Where", &[&x_below, &turned, &angle]);
        // On the vertical axis, a quarter turn or nothing.
        let sign = context.add("Sign", &[y]);
        let quarter = context.add("Mul", &[&sign, &half]);
        let x_zero = context.add("Equal", &[x, &zero]);
        Ok(context.add("Where", &[&x_zero, &quarter, &found]))
    }
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let (a, b) = (given.input(0)?, given.input(1)?);
    Ok(vec![match given.node.op.as_str() {
        "Add" | "AddV2" => elementwise::add(a, b)?,
        "Sub" => elementwise::sub(a, b)?,
        "Mul" => elementwise::mul(a, b)?,
        "RealDiv" | "Div" | "TruncateDiv" => elementwise::div(a, b)?,
        "FloorDiv" => elementwise::floor_div(a, b)?,
        "FloorMod" => elementwise::modulo(a, b)?,
        "Mod" | "TruncateMod" => elementwise::fmod(a, b)?,
        "Pow" => elementwise::pow(a, b)?,
        "Maximum" => elementwise::max(a, b)?,
        "Minimum" => elementwise::min(a, b)?,
        "SquaredDifference" => {
            let difference = elementwise::sub(a, b)?;
            elementwise::mul(&difference, &difference)?
        }
        "DivNoNan" => floats(a, b, |x, y| if y == 0.0 { 0.0 } else { x / y })?,
        "MulNoNan" => floats(a, b, |x, y| if y == 0.0 { 0.0 } else { x * y })?,
        "Xdivy" => floats(a, b, |x, y| if x == 0.0 { 0.0 } else { x / y })?,
        "Xlogy" => floats(a, b, |x, y| if x == 0.0 { 0.0 } else { x * y.ln() })?,
        "Atan2" => floats(a, b, f64::atan2)?,
        _ => return Err(EvaluateError::new("the operator is not covered")),
    }])
}

fn floats(a: &Array, b: &Array, f: fn(f64, f64) -> f64) -> Result<Array, EvaluateError> {
    elementwise::zip_floats(a, b, f)
}
