//! Constant (its short forms; tensors are weights, see `program`) and ConstantOfShape.

use modelyard_graph::AttributeValue;
use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::ops::expand::sizes;
use crate::site::Site;

#[derive(Debug)]
struct Constant(Array);

/// Holds an array of one element.
#[derive(Debug)]
struct ConstantOfShape(Array);

impl Operator for Constant {
    fn forward(&self, _scope: &mut Scope<'_>, _inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        Ok(self.0.clone().into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

impl Operator for ConstantOfShape {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let shape = Shape::new(&sizes(inputs.at(0)?.as_ints()?)?);
        let len = scope.elements(&shape)?;
        Ok(match self.0.data() {
            Data::Floats(value) => Array::floats(shape, vec![value[0]; len]),
            Data::Ints(value) => Array::ints(shape, vec![value[0]; len]),
            Data::Bools(value) => Array::bools(shape, vec![value[0]; len]),
        }
        .into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let form = |name: &str| site.node.attribute(name);
    let value = ["value_float", "value_floats", "value_int", "value_ints"]
        .iter()
        .find_map(|name| form(name));
    let array = match value {
        Some(AttributeValue::Float(value)) => Array::scalar(*value),
        Some(AttributeValue::Floats(values)) => Array::floats([values.len()], values.clone()),
        Some(AttributeValue::Int(value)) => Array::ints([], vec![*value]),
        Some(AttributeValue::Ints(values)) => Array::ints([values.len()], values.clone()),
        _ => {
            let found = site.node.attributes.first().map_or("no value", |found| &found.name);
            return Err(OpError::new(format!(
                "training covers constants of numbers that are in memory, found {found}"
            )));
        }
    };
    Ok(Box::new(Constant(array)))
}

pub(super) fn build_of_shape(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let value = match site.node.tensor("value") {
        None => Some(Array::floats([1], vec![0.0])),
        Some(value) => Array::from_constant(value).filter(|value| value.len() == 1),
    };
    let refuse = || OpError::new("attribute value is not one number in memory");
    Ok(Box::new(ConstantOfShape(value.ok_or_else(refuse)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;
    use modelyard_graph::ElementType;

    #[test]
    fn short_forms_of_constants() {
        let with = |name: &str, value: AttributeValue| Case::new("Constant").with(name, value);
        with("value_float", AttributeValue::Float(1.5)).gives(&[], &[1.5]);
        with("value_floats", AttributeValue::Floats(vec![1.0, 2.0])).gives(&[2], &[1.0, 2.0]);
        with("value_int", AttributeValue::Int(7)).gives_ints(&[], &[7]);
        with("value_ints", AttributeValue::Ints(vec![7, 8])).gives_ints(&[2], &[7, 8]);
        let text = with("value_string", AttributeValue::String("a".into()));
        text.is_refused("constants of numbers that are in memory, found value_string");
    }

    #[test]
    fn one_value_fills_a_shape() {
        let shape = |dims: &[i64]| Array::ints([dims.len()], dims.to_vec());
        let filled = |value: Array, element_type| {
            let value = value.to_constant("value", element_type).unwrap();
            Case::new("ConstantOfShape").with("value", AttributeValue::Tensor(Box::new(value)))
        };
        let ints = || filled(Array::ints([1], vec![7]), ElementType::Int64);
        ints().fixed(shape(&[2, 1])).gives_ints(&[2, 1], &[7, 7]);
        ints().fixed(shape(&[])).gives_ints(&[], &[7]);
        Case::new("ConstantOfShape").fixed(shape(&[2])).gives(&[2], &[0.0, 0.0]);
        ints().fixed(shape(&[-2])).is_refused("[-2] is no shape");
        ints().fixed(shape(&[i64::MAX, 3])).is_refused("outgrows the limit");
        let two = filled(Array::floats([2], vec![1.0, 2.0]), ElementType::Float32);
        two.fixed(shape(&[2])).is_refused("attribute value is not one number");
    }
}
