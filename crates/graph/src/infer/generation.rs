//! Operators that make tensors from little or nothing. No FLOPs.

use super::fact::{Answer, Fact, MOST_VALUES, Op, Rule, product};
use crate::{AttributeValue, ElementType};

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "Constant" => constant,
        "ConstantOfShape" => constant_of_shape,
        "Range" => range,
        "EyeLike" | "RandomNormalLike" | "RandomUniformLike" | "Bernoulli" => like,
        "RandomNormal" | "RandomUniform" => random,
        _ => return None,
    })
}

fn constant(op: &Op<'_>) -> Option<Answer> {
    let attribute = op.node.attributes.first()?;
    let fact = match &attribute.value {
        AttributeValue::Tensor(tensor) => Fact::of_constant(tensor),
        AttributeValue::Int(value) => {
            Fact::new(ElementType::Int64, &[]).with_values(Some(vec![*value as f64]))
        }
        AttributeValue::Ints(values) => {
            Fact::integers(values.iter().map(|&value| value as f64).collect())
        }
        AttributeValue::Float(value) => {
            Fact::new(ElementType::Float32, &[]).with_values(Some(vec![(*value).into()]))
        }
        AttributeValue::Floats(values) => Fact::new(ElementType::Float32, &[values.len()])
            .with_values(Some(values.iter().map(|&value| value.into()).collect())),
        AttributeValue::String(_) => Fact::new(ElementType::String, &[]),
        AttributeValue::Strings(values) => Fact::new(ElementType::String, &[values.len()]),
        AttributeValue::SparseTensor(sparse) => Fact::new(sparse.values.element_type, &sparse.dims),
        _ => return None,
    };
    Some(Answer::one(fact))
}

fn constant_of_shape(op: &Op<'_>) -> Option<Answer> {
    let dims = super::reshape::sizes(&op.integers(0)?)?;
    let value = op.node.tensor("value").map(Fact::of_constant);
    let element_type = value.as_ref().map_or(ElementType::Float32, |value| value.element_type);
    let single = match &value {
        Some(fact) => fact.values.as_ref().and_then(|values| values.first()).copied(),
        None => Some(0.0),
    };
    let count = product(&dims);
    let values =
        single.filter(|_| count <= MOST_VALUES as u64).map(|single| vec![single; count as usize]);
    Some(Answer::one(Fact::new(element_type, &dims).with_values(values)))
}

fn range(op: &Op<'_>) -> Option<Answer> {
    let single = |index| op.values(index)?.first().copied();
    let (start, limit, step) = (single(0)?, single(1)?, single(2)?);
    let count = ((limit - start) / step).ceil().max(0.0);
    if !count.is_finite() {
        return None;
    }
    let count = count as usize;
    let values = (count <= MOST_VALUES)
        .then(|| (0..count).map(|index| start + step * index as f64).collect());
    Some(Answer::one(Fact::new(op.input(0)?.element_type, &[count]).with_values(values)))
}

/// The element type that the node states, or `default`.
fn stated_type(op: &Op<'_>, default: ElementType) -> Option<ElementType> {
    match op.node.int("dtype") {
        Some(code) => ElementType::from_code(i32::try_from(code).ok()?),
        None => Some(default),
    }
}

fn like(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    Some(Answer::one(Fact::new(stated_type(op, input.element_type)?, &input.dims)))
}

fn random(op: &Op<'_>) -> Option<Answer> {
    let dims = super::reshape::sizes(op.node.ints("shape")?)?;
    Some(Answer::one(Fact::new(stated_type(op, ElementType::Float32)?, &dims)))
}
