//! TopK: the largest or smallest elements along an axis, in order, and where they stood. The
//! gradient of the values goes to where they came from.
//!
//! Of equal elements the first comes first. NaN counts as the largest number.

use std::cmp::Ordering;

use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::element::Element;
use crate::error::OpError;
use crate::math::picks::around;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::arg_extremum::by_size;
use crate::site::Site;

#[derive(Debug)]
struct TopK {
    axis: i64,
    largest: bool,
    /// Before opset 10 an attribute.
    count: Option<i64>,
}

impl TopK {
    fn count(&self, inputs: Inputs<'_>, size: usize) -> Result<usize, OpError> {
        let stated = match self.count {
            Some(count) => count,
            None => match inputs.at(1)?.as_ints()? {
                [count] => *count,
                found => {
                    return Err(OpError::new(format!("expected one K, found {}", found.len())));
                }
            },
        };
        usize::try_from(stated).ok().filter(|&count| count <= size).ok_or_else(|| {
            OpError::new(format!("K is {stated}, expected at most the {size} elements of the axis"))
        })
    }

    /// Values and places of the first `count` of every lane.
    fn of<T: Element>(
        &self,
        (input, count): (&Array, usize),
        compare: impl Fn(T, T) -> Ordering,
    ) -> Result<Vec<Array>, OpError> {
        let values = T::of(input)?;
        let axis = crate::ops::axis(self.axis, input.shape().len())?;
        let (outer, size, inner) = around(input.shape(), axis);
        let mut chosen = vec![T::default(); outer * count * inner];
        let mut places = vec![0i64; chosen.len()];
        let mut order: Vec<usize> = Vec::with_capacity(size);
        for lane in 0..outer * inner {
            let (block, within) = (lane / inner, lane % inner);
            let at = |place: usize| values[(block * size + place) * inner + within];
            order.clear();
            order.extend(0..size);
            // Places decide between equals, so the order is the same however it is found.
            let rank = |one: &usize, two: &usize| {
                let order = compare(at(*one), at(*two));
                let order = if self.largest { order.reverse() } else { order };
                order.then(one.cmp(two))
            };
            if count > 0 && count < size {
                order.select_nth_unstable_by(count - 1, rank);
            }
            order.truncate(count);
            order.sort_unstable_by(rank);
            for (number, &place) in order.iter().enumerate() {
                let to = (block * count + number) * inner + within;
                chosen[to] = at(place);
                places[to] = place as i64;
            }
        }
        let mut dims = input.shape().to_vec();
        dims[axis] = count;
        let shape = Shape::new(&dims);
        Ok(vec![T::array(shape.clone(), chosen), Array::ints(shape, places)])
    }
}

impl Operator for TopK {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let axis = crate::ops::axis(self.axis, input.shape().len())?;
        let count = self.count(inputs, input.shape()[axis])?;
        let outputs = match input.data() {
            Data::Floats(_) => self.of((input, count), by_size)?,
            Data::Ints(_) => self.of((input, count), |one: i64, two| one.cmp(&two))?,
            Data::Bools(_) => return Err(OpError::new("expected numbers, found booleans")),
        };
        // The places are kept apart, since nobody may take that output.
        let places = outputs[1].clone();
        Ok(Outcome { outputs, ..Outcome::default() }.saving(places))
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let Some(gradient) = at.gradients.first_mut().and_then(Option::take) else {
            return Ok(vec![None]);
        };
        let places = at.saved.first().ok_or_else(|| OpError::new("expected the places"))?;
        let from = at.shape(0)?.clone();
        let axis = crate::ops::axis(self.axis, from.len())?;
        let (_, size, inner) = around(&from, axis);
        let lane = places.shape()[axis] * inner;
        let mut by_input = scope.buffers.zeros(from.iter().product());
        let values = gradient.as_floats()?.iter().zip(places.as_ints()?);
        for (number, (value, &place)) in values.enumerate() {
            by_input[(number / lane * size + place as usize) * inner + number % inner] += value;
        }
        scope.buffers.recycle(gradient);
        Ok(vec![Some(Array::floats(from, by_input))])
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(TopK {
        axis: site.int("axis", -1),
        largest: site.flag("largest", true),
        count: site.node.int("k"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, distinct};
    use proptest::prelude::*;

    fn count(value: i64) -> Array {
        Array::ints([1], vec![value])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn gradient(
            seed in any::<u64>(), axis in -3i64..3, k in 0i64..3, largest in 0i64..2,
        ) {
            let case = Case::new("TopK").with("axis", axis).with("largest", largest).outputs(2);
            case.trained(&[2, 3, 2], distinct(seed, 12)).fixed(count(k)).check();
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let case = || {
            let x = Array::ints([2, 4], vec![0, 3, 2, 3, 7, 5, 6, 4]);
            Case::new("TopK").outputs(2).fixed(x)
        };
        let check = |case: Case, values: &[i64], places: &[i64]| {
            let outputs = case.run();
            assert_eq!(outputs[0].as_ints().unwrap(), values);
            assert_eq!(outputs[1].as_ints().unwrap(), places);
        };
        check(case().fixed(count(2)), &[3, 3, 7, 6], &[1, 3, 0, 2]);
        check(case().with("largest", 0).fixed(count(2)), &[0, 2, 4, 5], &[0, 2, 3, 1]);
        check(case().with("axis", 0).fixed(count(1)), &[7, 5, 6, 4], &[1, 1, 1, 1]);
        check(case().opset(9).with("k", 1), &[3, 7], &[1, 0]);
        case().fixed(count(5)).is_refused("K is 5, expected at most the 4 elements of the axis");
        case().fixed(count(-1)).is_refused("K is -1");
    }
}
