//! Shape (or some of its axes) and Size of an array, as integers. They have no gradient.

use crate::array::Array;
use crate::error::OpError;
use crate::operator::{Inputs, Operator, Outcome, Scope};
use crate::site::Site;

#[derive(Debug)]
struct ShapeOf {
    start: i64,
    end: i64,
}

#[derive(Debug)]
struct Size;

impl Operator for ShapeOf {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let shape = inputs.at(0)?.shape();
        let rank = shape.len() as i64;
        let place = |place: i64| {
            let place = if place < 0 { place.saturating_add(rank) } else { place };
            place.clamp(0, rank) as usize
        };
        let (start, end) = (place(self.start), place(self.end));
        let dims: Vec<i64> = shape[start.min(end)..end].iter().map(|&size| size as i64).collect();
        Ok(Array::ints([dims.len()], dims).into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

impl Operator for Size {
    fn forward(&self, _scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        Ok(Array::ints([], vec![inputs.at(0)?.len() as i64]).into())
    }

    fn is_differentiable(&self) -> bool {
        false
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(ShapeOf { start: site.int("start", 0), end: site.int("end", i64::MAX) }))
}

pub(super) fn build_size(_site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Size))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};

    #[test]
    fn axes_may_be_chosen() {
        let case = |name| Case::new(name).trained(&[3, 4, 5], numbers(1, 60));
        case("Shape").gives_ints(&[3], &[3, 4, 5]);
        case("Shape").with("start", -1).gives_ints(&[1], &[5]);
        case("Shape").with("end", -1).gives_ints(&[2], &[3, 4]);
        case("Shape").with("start", 1).with("end", 2).gives_ints(&[1], &[4]);
        case("Shape").with("start", 2).with("end", 1).gives_ints(&[0], &[]);
        case("Size").gives_ints(&[], &[60]);
        Case::new("Size").without().is_refused("input 0 is missing");
    }
}
