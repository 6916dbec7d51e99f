//! Cast and CastLike: elements of another kind. From floats to floats the gradient passes;
//! elsewhere it ends.
//!
//! Floats become integers by cutting off the fraction; what no 64-bit integer holds is refused
//! rather than bent. Integers that are narrower in the model wrap around, as everywhere in
//! ONNX Runtime. Floats of other widths are computed in 32 bits and stay as they are.

use modelyard_graph::{AttributeValue, ElementType};

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;

/// What elements become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    /// Integers that wrap to this type.
    Int(ElementType),
    Bool,
}

#[derive(Debug)]
struct Cast(Kind);

#[derive(Debug)]
struct CastLike;

/// An integer as one of a narrower type holds it.
fn wrapped(value: i64, to: ElementType) -> i64 {
    match to {
        ElementType::Int8 => (value as i8).into(),
        ElementType::Int16 => (value as i16).into(),
        ElementType::Int32 => (value as i32).into(),
        ElementType::Uint8 => (value as u8).into(),
        ElementType::Uint16 => (value as u16).into(),
        ElementType::Uint32 => (value as u32).into(),
        _ => value,
    }
}

fn truncated(value: f32) -> Result<i64, OpError> {
    // The first float that is too large is 2^63.
    const BOUND: f32 = 9_223_372_036_854_775_808.0;
    if (-BOUND..BOUND).contains(&value) {
        return Ok(value as i64);
    }
    Err(OpError::new(format!("{value} is not one of the 64-bit integers it is cast to")))
}

fn cast(input: &Array, kind: Kind) -> Result<Array, OpError> {
    let shape = input.shape().clone();
    Ok(match (input.data(), kind) {
        (Data::Floats(_), Kind::Float) | (Data::Bools(_), Kind::Bool) => input.clone(),
        (Data::Ints(values), Kind::Float) => {
            Array::floats(shape, values.iter().map(|&value| value as f32).collect())
        }
        (Data::Bools(values), Kind::Float) => {
            Array::floats(shape, values.iter().map(|&value| f32::from(u8::from(value))).collect())
        }
        (Data::Floats(values), Kind::Int(to)) => {
            let cast = |&value: &f32| Ok(wrapped(truncated(value)?, to));
            Array::ints(shape, values.iter().map(cast).collect::<Result<_, OpError>>()?)
        }
        (Data::Ints(_), Kind::Int(ElementType::Int64)) => input.clone(),
        (Data::Ints(values), Kind::Int(to)) => {
            Array::ints(shape, values.iter().map(|&value| wrapped(value, to)).collect())
        }
        (Data::Bools(values), Kind::Int(_)) => {
            Array::ints(shape, values.iter().map(|&value| value.into()).collect())
        }
        (Data::Floats(values), Kind::Bool) => {
            Array::bools(shape, values.iter().map(|&value| value != 0.0).collect())
        }
        (Data::Ints(values), Kind::Bool) => {
            Array::bools(shape, values.iter().map(|&value| value != 0).collect())
        }
    })
}

/// The outcome, with a mark for the way back where the gradient ends.
fn outcome(input: &Array, kind: Kind) -> Result<Outcome, OpError> {
    let outcome = Outcome::from(cast(input, kind)?);
    match (input.data(), kind) {
        (Data::Floats(_), Kind::Float) => Ok(outcome),
        _ => Ok(outcome.saving(Array::bools([0], Vec::new()))),
    }
}

fn back(mut at: Backward<'_>) -> Result<Gradients, OpError> {
    if !at.saved.is_empty() {
        return Ok(vec![None]);
    }
    Ok(vec![Some(at.gradient()?)])
}

impl Operator for Cast {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        outcome(inputs.at(0)?, self.0)
    }

    fn is_differentiable(&self) -> bool {
        self.0 == Kind::Float
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, _scope: &mut Scope<'_>, at: Backward<'_>) -> Result<Gradients, OpError> {
        back(at)
    }
}

impl Operator for CastLike {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let kind = match inputs.at(1)?.data() {
            Data::Floats(_) => Kind::Float,
            Data::Ints(_) => Kind::Int(ElementType::Int64),
            Data::Bools(_) => Kind::Bool,
        };
        outcome(inputs.at(0)?, kind)
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, _scope: &mut Scope<'_>, at: Backward<'_>) -> Result<Gradients, OpError> {
        back(at)
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let to = match site.node.attribute("to") {
        Some(AttributeValue::Int(code)) => {
            i32::try_from(*code).ok().and_then(ElementType::from_code)
        }
        _ => None,
    };
    let to = to.ok_or_else(|| OpError::new("attribute to is no element type"))?;
    Ok(Box::new(Cast(match to {
        ElementType::Float16
        | ElementType::Bfloat16
        | ElementType::Float32
        | ElementType::Float64 => Kind::Float,
        ElementType::Int8
        | ElementType::Int16
        | ElementType::Int32
        | ElementType::Int64
        | ElementType::Uint8
        | ElementType::Uint16
        | ElementType::Uint32 => Kind::Int(to),
        ElementType::Bool => Kind::Bool,
        _ => return Err(OpError::new(format!("training does not cover casts to {to}"))),
    })))
}

pub(super) fn build_like(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(CastLike))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn to(element_type: ElementType) -> Case {
        Case::new("Cast").with("to", i64::from(element_type.code()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(seed in any::<u64>(), len in 0usize..5) {
            to(ElementType::Float16).trained(&[len], numbers(seed, len)).check();
            let case = Case::new("CastLike").trained(&[len], numbers(seed, len));
            case.fixed(Array::scalar(1.0)).check();
        }
    }

    #[test]
    fn the_gradient_ends_at_integers() {
        let ends = |case: Case| assert_eq!(case.gradients(&case.program()), [None]);
        ends(to(ElementType::Int64).trained(&[1], vec![1.5]));
        let like = Case::new("CastLike").trained(&[1], vec![1.5]);
        ends(like.fixed(Array::ints([1], vec![1])));
    }

    #[test]
    fn elements_of_every_kind_become_those_of_every_other() {
        let floats = || Array::floats([3], vec![-1.7, 0.0, 2.9]);
        let ints = || Array::ints([3], vec![-1, 0, 2]);
        to(ElementType::Int32).fixed(floats()).gives_ints(&[3], &[-1, 0, 2]);
        to(ElementType::Bool).fixed(floats()).gives_bools(&[3], &[true, false, true]);
        to(ElementType::Float64).fixed(floats()).gives(&[3], &[-1.7, 0.0, 2.9]);
        to(ElementType::Float32).fixed(ints()).gives(&[3], &[-1.0, 0.0, 2.0]);
        to(ElementType::Uint8).fixed(ints()).gives_ints(&[3], &[255, 0, 2]);
        to(ElementType::Bool).fixed(ints()).gives_bools(&[3], &[true, false, true]);
        let bools = || Array::bools([2], vec![true, false]);
        to(ElementType::Int64).fixed(bools()).gives_ints(&[2], &[1, 0]);
        to(ElementType::Float32).fixed(bools()).gives(&[2], &[1.0, 0.0]);
        let like = Case::new("CastLike").fixed(floats()).fixed(ints());
        like.gives_ints(&[3], &[-1, 0, 2]);
    }

    #[test]
    fn floats_that_no_integer_holds_are_refused() {
        for value in [f32::NAN, f32::INFINITY, 1e20] {
            let case = to(ElementType::Int64).fixed(Array::floats([1], vec![value]));
            case.is_refused("is not one of the 64-bit integers");
        }
        to(ElementType::String).try_run().unwrap_err();
    }
}
