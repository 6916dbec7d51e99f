//! Operators that work element by element, broadcasting where they take several inputs.
//! One FLOP for each element of the output.

use super::fact::{Answer, Fact, Op, Rule};
use crate::ElementType;

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "Abs"
        | "Acos"
        | "Acosh"
        | "Asin"
        | "Asinh"
        | "Atan"
        | "Atanh"
        | "BitwiseNot"
        | "Ceil"
        | "Celu"
        | "Clip"
        | "Cos"
        | "Cosh"
        | "Elu"
        | "Erf"
        | "Exp"
        | "Floor"
        | "Gelu"
        | "HardSigmoid"
        | "HardSwish"
        | "LeakyRelu"
        | "Log"
        | "Mish"
        | "Neg"
        | "Not"
        | "Reciprocal"
        | "Relu"
        | "Round"
        | "Selu"
        | "Shrink"
        | "Sigmoid"
        | "Sign"
        | "Sin"
        | "Sinh"
        | "Softplus"
        | "Softsign"
        | "Sqrt"
        | "Swish"
        | "Tan"
        | "Tanh"
        | "ThresholdedRelu"
        | "com.microsoft.BiasGelu"
        | "com.microsoft.FastGelu"
        | "com.microsoft.Gelu"
        | "com.microsoft.QuickGelu" => unary,
        "Add" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div" | "Max" | "Mean"
        | "Min" | "Mod" | "Mul" | "PRelu" | "Pow" | "Sub" | "Sum" => broadcasting,
        "And" | "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Or" | "Xor" => {
            comparison
        }
        "IsInf" | "IsNaN" => test,
        "Where" => choice,
        "Cast" => cast,
        "CastLike" => cast_like,
        "Dropout" => dropout,
        "QuantizeLinear" | "com.microsoft.QuantizeLinear" => quantize,
        "DequantizeLinear" | "com.microsoft.DequantizeLinear" => dequantize,
        "DynamicQuantizeLinear" => dynamic_quantize,
        _ => return None,
    })
}

fn unary(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let values = input.values.as_ref().and_then(|values| {
        let f: fn(f64) -> f64 = match op.node.op_type.as_str() {
            "Abs" => f64::abs,
            "Neg" => |value| -value,
            "Not" => |value| f64::from(value == 0.0),
            "Floor" => f64::floor,
            "Ceil" => f64::ceil,
            "Sqrt" => f64::sqrt,
            _ => return None,
        };
        Some(values.iter().map(|&value| f(value)).collect())
    });
    let output = input.with_dims(&input.dims).with_values(values);
    Some(Answer::one(output).flops(input.elements()))
}

/// The shape that all shapes stretch to; `None` when they disagree.
pub(super) fn broadcast<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Option<Vec<usize>> {
    stretched(shapes, false)
}

/// The same, where the larger of two sizes that disagree may stand for both.
pub(super) fn stretched<'a>(
    shapes: impl IntoIterator<Item = &'a [usize]>,
    trusting: bool,
) -> Option<Vec<usize>> {
    let mut result: Vec<usize> = Vec::new();
    for shape in shapes {
        while result.len() < shape.len() {
            result.insert(0, 1);
        }
        let offset = result.len() - shape.len();
        for (size, &other) in result[offset..].iter_mut().zip(shape) {
            match (*size, other) {
                (mine, other) if mine == other || other == 1 => {}
                (1, other) => *size = other,
                (mine, other) if trusting => *size = mine.max(other),
                _ => return None,
            }
        }
    }
    Some(result)
}

fn known<'a>(op: &Op<'a>) -> Option<Vec<&'a Fact>> {
    op.inputs.iter().copied().collect()
}

/// Shape of the output, and its values where both inputs have values of one shape or one of
/// them is a single number.
fn combine(op: &Op<'_>, element_type: Option<ElementType>) -> Option<Answer> {
    let inputs = known(op)?;
    let dims = stretched(inputs.iter().map(|fact| fact.dims.as_slice()), op.is_trusting())?;
    let element_type = element_type.or(inputs.first().map(|fact| fact.element_type))?;
    let values = match inputs[..] {
        [left, right] => pairwise(&op.node.op_type, left, right),
        _ => None,
    };
    let output = Fact::new(element_type, &dims).with_values(values);
    let flops = output.elements();
    Some(Answer::one(output).flops(flops))
}

fn pairwise(op_type: &str, left: &Fact, right: &Fact) -> Option<Vec<f64>> {
    let integral = left.element_type.data_type()?.is_integral();
    let f = |left: f64, right: f64| {
        Some(match op_type {
            "Add" => left + right,
            "Sub" => left - right,
            "Mul" => left * right,
            "Div" if integral && right == 0.0 => return None,
            "Div" if integral => (left / right).trunc(),
            "Div" => left / right,
            "Mod" if integral && right != 0.0 => left - right * (left / right).floor(),
            "Max" => left.max(right),
            "Min" => left.min(right),
            "Equal" => f64::from(left == right),
            "Less" => f64::from(left < right),
            "Greater" => f64::from(left > right),
            _ => return None,
        })
    };
    let (left, right) = (left.values.as_ref()?, right.values.as_ref()?);
    match (left.len(), right.len()) {
        (same, other) if same == other => {
            left.iter().zip(right).map(|(&left, &right)| f(left, right)).collect()
        }
        (1, _) => right.iter().map(|&right| f(left[0], right)).collect(),
        (_, 1) => left.iter().map(|&left| f(left, right[0])).collect(),
        _ => None,
    }
}

fn broadcasting(op: &Op<'_>) -> Option<Answer> {
    combine(op, None)
}

fn comparison(op: &Op<'_>) -> Option<Answer> {
    combine(op, Some(ElementType::Bool))
}

fn test(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let output = Fact::new(ElementType::Bool, &input.dims);
    Some(Answer::one(output).flops(input.elements()))
}

fn choice(op: &Op<'_>) -> Option<Answer> {
    let (condition, yes, no) = (op.input(0)?, op.input(1)?, op.input(2)?);
    let dims = stretched([&*condition.dims, &*yes.dims, &*no.dims], op.is_trusting())?;
    let values = match (&condition.values, &yes.values, &no.values) {
        (Some(condition), Some(yes), Some(no))
            if condition.len() == yes.len() && yes.len() == no.len() =>
        {
            let pick = |(&condition, (&yes, &no)): (&f64, (&f64, &f64))| {
                if condition != 0.0 { yes } else { no }
            };
            Some(condition.iter().zip(yes.iter().zip(no)).map(pick).collect())
        }
        _ => None,
    };
    let output = Fact::new(yes.element_type, &dims).with_values(values);
    let flops = output.elements();
    Some(Answer::one(output).flops(flops))
}

/// Conversions move data; nobody counts them.
fn convert(input: &Fact, element_type: ElementType) -> Answer {
    let integral = element_type.data_type().is_some_and(|data_type| data_type.is_integral());
    let one = |value: &f64| match element_type {
        ElementType::Bool => f64::from(*value != 0.0),
        _ if integral => value.trunc(),
        _ => *value,
    };
    let values = input.values.as_ref().map(|values| values.iter().map(one).collect());
    Answer::one(Fact::new(element_type, &input.dims).with_values(values))
}

fn cast(op: &Op<'_>) -> Option<Answer> {
    let to = i32::try_from(op.node.int("to")?).ok()?;
    Some(convert(op.input(0)?, ElementType::from_code(to)?))
}

fn cast_like(op: &Op<'_>) -> Option<Answer> {
    Some(convert(op.input(0)?, op.input(1)?.element_type))
}

/// When serving, dropout drops nothing.
fn dropout(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    Some(Answer::many(vec![input.clone(), Fact::new(ElementType::Bool, &input.dims)]))
}

fn quantize(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let stated = op.node.int("output_dtype").filter(|code| *code != 0);
    let element_type = match (op.has(2), stated) {
        (true, _) => op.input(2)?.element_type,
        (false, Some(code)) => ElementType::from_code(i32::try_from(code).ok()?)?,
        (false, None) => ElementType::Uint8,
    };
    Some(Answer::one(Fact::new(element_type, &input.dims)).flops(input.elements()))
}

fn dequantize(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let output = Fact::new(op.input(1)?.element_type, &input.dims);
    Some(Answer::one(output).flops(input.elements()))
}

fn dynamic_quantize(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let outputs = vec![
        Fact::new(ElementType::Uint8, &input.dims),
        Fact::new(ElementType::Float32, &[]),
        Fact::new(ElementType::Uint8, &[]),
    ];
    Some(Answer::many(outputs).flops(input.elements()))
}
