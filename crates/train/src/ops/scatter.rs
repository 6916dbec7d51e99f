//! ScatterND and ScatterElements (Scatter, before opset 11): a copy of an array in which some
//! slices or elements are replaced by updates, or grow by them.
//!
//! Where updates replace each other the last one counts, and all of them get its gradient: ONNX
//! leaves both open.

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::math::picks::Picks;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::gather_elements::elements;
use crate::ops::gather_nd::slices;
use crate::site::Site;

#[derive(Debug)]
struct Scatter {
    place: Place,
    /// Adds the updates instead of putting them in the place of what is there.
    adds: bool,
}

/// What an index means.
#[derive(Debug)]
enum Place {
    /// As in `GatherND`.
    Slices,
    /// As in `GatherElements`.
    Elements { axis: i64 },
}

impl Scatter {
    fn picks(&self, data: &Shape, indices: &Array) -> Result<Picks, OpError> {
        match self.place {
            Place::Slices => slices(data, 0, indices),
            Place::Elements { axis } => elements(data, axis, indices),
        }
    }

    /// Replaces, in a copy.
    fn replaced<T: Element>(
        scope: &mut Scope<'_>,
        picks: &Picks,
        (data, updates): (&Array, &Array),
    ) -> Result<Array, OpError> {
        let mut out = T::buffer(scope.buffers, data.len());
        out.copy_from_slice(T::of(data)?);
        picks.write(&mut out, T::of(updates)?);
        Ok(T::array(data.shape().clone(), out))
    }

    fn added(
        scope: &mut Scope<'_>,
        picks: &Picks,
        (data, updates): (&Array, &Array),
    ) -> Result<Array, OpError> {
        let shape = data.shape().clone();
        if let Ok(values) = data.as_ints() {
            let mut out = values.to_vec();
            let mut fits = true;
            picks.runs(updates.as_ints()?, |start, updates| {
                for (sum, update) in out[start..].iter_mut().zip(updates) {
                    fits &= sum.checked_add(*update).map(|new| *sum = new).is_some();
                }
            });
            if !fits {
                return Err(OpError::new("the sum of integers overflows"));
            }
            return Ok(Array::ints(shape, out));
        }
        let mut out = scope.buffers.take(data.len());
        out.copy_from_slice(data.as_floats()?);
        picks.add(&mut out, updates.as_floats()?);
        Ok(Array::floats(shape, out))
    }
}

impl Operator for Scatter {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let (data, indices, updates) = (inputs.at(0)?, inputs.at(1)?, inputs.at(2)?);
        let picks = self.picks(data.shape(), indices)?;
        if *updates.shape() != picks.shape {
            return Err(OpError::new(format!(
                "updates have shape {}, expected {}",
                updates.shape(),
                picks.shape
            )));
        }
        let both = (data, updates);
        let out = match self.adds {
            true => Scatter::added(scope, &picks, both),
            false => by_kind!(data, T => Scatter::replaced::<T>(scope, &picks, both)),
        };
        Ok(out?.into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(1)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let mut gradient = at.gradient()?;
        let picks = self.picks(at.shape(0)?, at.inputs.at(1)?)?;
        let by_updates = at.wants(2).then(|| picks.of(scope.buffers, &gradient)).transpose()?;
        if !self.adds && at.wants(0) {
            let zeros = scope.buffers.zeros(picks.shape.iter().product());
            picks.write(gradient.floats_mut()?, &zeros);
            scope.buffers.give(zeros);
        }
        Ok(vec![Some(gradient), None, by_updates])
    }
}

fn with(site: &Site<'_>, place: Place) -> Result<Box<dyn Operator>, OpError> {
    site.expect_text("reduction", &["none", "add"])?;
    Ok(Box::new(Scatter { place, adds: site.text("reduction", "none") == "add" }))
}

pub(super) fn build_nd(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, Place::Slices)
}

pub(super) fn build_elements(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    with(site, Place::Elements { axis: site.int("axis", 0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(),
            reduction in prop_oneof![Just("none"), Just("add")],
            rows in Just(vec![0i64, 1, -1]).prop_shuffle(),
            axis in -2i64..2,
        ) {
            let case = |name| Case::new(name).with("reduction", reduction);
            case("ScatterND")
                .trained(&[3, 2], numbers(seed, 6))
                .fixed(Array::ints([2, 1], rows[..2].to_vec()))
                .trained(&[2, 2], numbers(!seed, 4))
                .check();
            // No place twice along either axis.
            case("ScatterElements")
                .with("axis", axis)
                .trained(&[3, 3], numbers(seed, 9))
                .fixed(Array::ints([1, 1], rows[..1].to_vec()))
                .trained(&[1, 1], numbers(!seed, 1))
                .check();
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let nd = || {
            Case::new("ScatterND")
                .fixed(Array::ints([8], (1..9).collect()))
                .fixed(Array::ints([4, 1], vec![4, 3, 1, 7]))
        };
        let updates = || Array::ints([4], vec![9, 10, 11, 12]);
        nd().fixed(updates()).gives_ints(&[8], &[1, 11, 3, 10, 9, 6, 7, 12]);
        let added = nd().with("reduction", "add").fixed(updates());
        added.gives_ints(&[8], &[1, 13, 3, 14, 14, 6, 7, 20]);
        nd().fixed(Array::ints([3], vec![1, 2, 3]))
            .is_refused("updates have shape [3], expected [4]");
        let elements = || {
            Case::new("ScatterElements")
                .with("axis", 1)
                .trained(&[1, 5], vec![1.0, 2.0, 3.0, 4.0, 5.0])
                .fixed(Array::ints([1, 2], vec![1, 1]))
                .trained(&[1, 2], vec![1.1, 2.1])
        };
        elements().gives(&[1, 5], &[1.0, 2.1, 3.0, 4.0, 5.0]);
        elements().with("reduction", "add").gives(&[1, 5], &[1.0, 5.2, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn other_reductions_are_refused() {
        let case = Case::new("ScatterND").with("reduction", "max");
        let case = case.fixed(Array::ints([1], vec![1])).fixed(Array::ints([1, 1], vec![0]));
        let case = case.fixed(Array::ints([1], vec![1]));
        case.is_refused("attribute reduction is 'max', training covers none, add");
    }
}
