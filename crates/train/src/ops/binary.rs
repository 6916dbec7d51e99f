//! The frame of operators that combine two arrays element by element, with broadcasting.

use std::fmt::Debug;

use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::error::OpError;
use crate::math::broadcast::{self, Walk};
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};

/// A function of two numbers and its partial derivatives.
pub(crate) trait Function: Copy + Debug + Send + Sync + 'static {
    /// What the derivatives by `a` and by `b` look at: any of the two inputs.
    const READS: [Reads; 2];

    /// `f(a, b)`.
    fn value(&self, a: f32, b: f32) -> f32;

    /// `f(a, b)` of integers, as for shapes; `None` where that is an error.
    fn integer(&self, a: i64, b: i64) -> Option<i64>;

    /// The derivative by `a`. Called with zeros for what [`Function::READS`] does not ask for.
    fn slope_a(&self, a: f32, b: f32) -> f32;

    /// The derivative by `b`.
    fn slope_b(&self, a: f32, b: f32) -> f32;
}

/// The operator of a [`Function`].
#[derive(Debug)]
pub(crate) struct Binary<F>(pub(crate) F);

impl<F: Function> Operator for Binary<F> {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (a, b) = (inputs.at(0)?, inputs.at(1)?);
        let shape = broadcast::shape(a.shape(), b.shape())?;
        let walk = Walk::new(&shape, a.shape(), b.shape());
        let function = self.0;
        let len = scope.elements(&shape)?;
        match (a.data(), b.data()) {
            (Data::Floats(a), Data::Floats(b)) => {
                let mut out = scope.buffers.take(len);
                broadcast::apply(
                    &mut out,
                    &walk,
                    (a, b),
                    #[inline(always)]
                    |a, b| function.value(a, b),
                );
                Ok(Array::floats(shape, out).into())
            }
            (Data::Ints(a), Data::Ints(b)) => {
                let mut out = vec![None; len];
                broadcast::apply(&mut out, &walk, (a, b), |a, b| function.integer(a, b));
                let out: Option<Vec<i64>> = out.into_iter().collect();
                let out =
                    out.ok_or_else(|| OpError::new("the integers overflow or divide by 0"))?;
                Ok(Array::ints(shape, out).into())
            }
            _ => Err(OpError::new(format!(
                "expected two arrays of one kind, found {} and {}",
                a.kind(),
                b.kind()
            ))),
        }
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        let wanted = F::READS.into_iter().zip(wanted).filter(|(_, wanted)| **wanted);
        wanted.fold(Reads::NOTHING, |all, (reads, _)| all.and(reads))
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let shape = gradient.shape().clone();
        let (of_a, of_b) = (at.wants(0), at.wants(1));
        let function = self.0;
        // The last to be computed takes the gradient's own memory.
        let by_b = of_b.then(|| {
            let gradient = gradient.clone();
            scaled(scope, &at, (gradient, &shape), 1, |a, b| function.slope_b(a, b))
        });
        let by_a =
            of_a.then(|| scaled(scope, &at, (gradient, &shape), 0, |a, b| function.slope_a(a, b)));
        Ok(vec![by_a.transpose()?, by_b.transpose()?])
    }
}

/// The gradient by input `number`: by the output times the slope, summed where it was repeated.
#[inline(always)]
fn scaled(
    scope: &mut Scope<'_>,
    at: &Backward<'_>,
    (gradient, shape): (Array, &Shape),
    number: usize,
    slope: impl Fn(f32, f32) -> f32,
) -> Result<Array, OpError> {
    let to = at.shape(number)?.clone();
    let mut values = gradient.into_floats()?;
    if at.inputs.get(0).is_some() || at.inputs.get(1).is_some() {
        let absent = (Shape::default(), [0.0]);
        let operand = |number| match at.inputs.get(number) {
            Some(array) => Ok((array.shape(), array.as_floats()?)),
            None => Ok((&absent.0, &absent.1[..])),
        };
        let ((a_shape, a), (b_shape, b)) = (operand(0)?, operand(1)?);
        let walk = Walk::new(shape, a_shape, b_shape);
        broadcast::update(
            &mut values,
            &walk,
            (a, b),
            #[inline(always)]
            |gradient, a, b| *gradient *= slope(a, b),
        );
    } else {
        let slope = slope(0.0, 0.0);
        if slope != 1.0 {
            crate::math::vector::scale(&mut values, slope);
        }
    }
    let values = broadcast::sum_to(scope.buffers, values, shape, &to);
    Ok(Array::floats(to, values))
}
