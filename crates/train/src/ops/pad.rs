//! Pad: more elements at the ends of axes: a constant, or the array's own, reflected, repeated at
//! the edge or wrapped around. Negative pads cut off.
//!
//! The pads are an attribute before opset 11 and an input from then on.

use modelyard_tensor::Shape;

use crate::array::{Array, Data};
use crate::element::{Element, by_kind};
use crate::error::OpError;
use crate::math::picks::Picks;
use crate::math::view::View;
use crate::operator::{Backward, ELEMENTS_MAX, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::ops::movement::{Moved, Movement, Source, axes, ints_of};
use crate::ops::squeeze::marked;
use crate::site::Site;

/// Pads with a constant.
#[derive(Debug)]
struct Constant {
    pads: Option<Vec<i64>>,
    /// Before opset 11 an attribute.
    value: f32,
}

/// Pads with elements of the array.
#[derive(Debug)]
struct Own {
    pads: Option<Vec<i64>>,
    mode: Mode,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Reflect,
    Edge,
    Wrap,
}

/// Pads of one axis: before and after.
type Ends = (i64, i64);

/// The pads of every axis and the shape that they make.
fn padded(
    attribute: &Option<Vec<i64>>,
    from: &Shape,
    inputs: Inputs<'_>,
) -> Result<(Vec<Ends>, Shape), OpError> {
    let pads =
        ints_of(attribute, inputs, 1)?.ok_or_else(|| OpError::new("the pads are missing"))?;
    let all: Vec<i64> = (0..from.len() as i64).collect();
    let named = inputs.get(3).map_or(Ok(&all[..]), Array::as_ints)?;
    marked(named, from.len())?;
    if pads.len() != 2 * named.len() {
        return Err(OpError::new(format!(
            "expected two pads for each of {} axes, found {}",
            named.len(),
            pads.len()
        )));
    }
    let mut ends = vec![(0, 0); from.len()];
    for (number, &axis) in named.iter().enumerate() {
        ends[crate::ops::axis(axis, from.len())?] = (pads[number], pads[named.len() + number]);
    }
    let sizes = from.iter().zip(&ends).map(|(&size, (before, after))| {
        let size = i64::try_from(size).ok()?.checked_add(*before)?.checked_add(*after)?;
        usize::try_from(size).ok()
    });
    let shape = sizes.collect::<Option<Shape>>();
    let shape = shape.ok_or_else(|| OpError::new(format!("cannot pad {from} by {pads:?}")))?;
    // Before lists as long as the axes are made.
    if shape.elements().is_none_or(|elements| elements > ELEMENTS_MAX) {
        return Err(OpError::new(format!("an array of shape {shape} outgrows the limit")));
    }
    Ok((ends, shape))
}

/// What is left of an array of shape `from` by negative pads, and where that lies in one of shape
/// `to`.
fn inner(from: &Shape, to: &Shape, ends: &[Ends]) -> (View, View) {
    let (mut kept, mut place) = (axes(from), axes(to));
    let (mut skipped, mut offset) = (0, 0);
    for (axis, &(before, after)) in ends.iter().enumerate() {
        let cut = |pad: i64| usize::try_from(pad.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        // Pads of opposite signs can cut everything.
        let left = from[axis].saturating_sub(cut(before)).saturating_sub(cut(after));
        if left > 0 {
            skipped += cut(before) * kept[axis].stride.unsigned_abs();
            offset += before.max(0).unsigned_abs() as usize * place[axis].stride.unsigned_abs();
        }
        kept[axis].size = left;
        place[axis].size = left;
    }
    let shape: Shape = kept.iter().map(|axis| axis.size).collect();
    (View::new(shape.clone(), skipped, kept), View::new(shape, offset, place))
}

impl Constant {
    fn of<T: Element>(
        &self,
        scope: &mut Scope<'_>,
        input: &Array,
        inputs: Inputs<'_>,
        value: T,
    ) -> Result<Array, OpError> {
        let (ends, shape) = padded(&self.pads, input.shape(), inputs)?;
        let mut out = T::buffer(scope.buffers, scope.elements(&shape)?);
        out.fill(value);
        let (kept, place) = inner(input.shape(), &shape, &ends);
        let kept = kept.of(scope.buffers, input)?;
        place.write(&mut out, T::of(&kept)?);
        scope.buffers.recycle(kept);
        Ok(T::array(shape, out))
    }
}

impl Operator for Constant {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let input = inputs.at(0)?;
        let stated = inputs.get(2);
        if let Data::Floats(_) = input.data() {
            let stated = stated.map(Array::as_floats).transpose()?;
            let value = stated.and_then(<[f32]>::first).copied().unwrap_or(self.value);
            return Ok(self.of(scope, input, inputs, value)?.into());
        }
        Ok(by_kind!(input, T => {
            let stated = stated.map(T::of).transpose()?;
            let value = stated.and_then(<[T]>::first).copied().unwrap_or_default();
            self.of::<T>(scope, input, inputs, value)
        })?
        .into())
    }

    fn reads(&self, _wanted: &[bool]) -> Reads {
        Reads::NOTHING.and_input(1).and_input(3)
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        if at.wants(2) {
            return Err(OpError::new("training does not cover the gradient of the padding value"));
        }
        let gradient = at.gradient()?;
        let from = at.shape(0)?;
        let (ends, shape) = padded(&self.pads, from, at.inputs)?;
        let (kept, place) = inner(from, &shape, &ends);
        let by_kept = place.of(scope.buffers, &gradient)?;
        scope.buffers.recycle(gradient);
        Ok(vec![Some(kept.back(scope.buffers, by_kept, from)?)])
    }
}

impl Mode {
    /// The element of an axis of `size` elements that stands at `place`, which may be outside.
    fn place(self, place: i64, size: i64) -> i64 {
        match self {
            Mode::Edge => place.clamp(0, size - 1),
            Mode::Wrap => place.rem_euclid(size),
            Mode::Reflect if size == 1 => 0,
            Mode::Reflect => {
                let place = place.rem_euclid(2 * (size - 1));
                place.min(2 * (size - 1) - place)
            }
        }
    }
}

impl Movement for Own {
    fn source(&self, from: &Shape, inputs: Inputs<'_>) -> Result<Source, OpError> {
        let (ends, shape) = padded(&self.pads, from, inputs)?;
        if from.contains(&0) && !shape.contains(&0) {
            return Err(OpError::new(format!("{from} has no elements to pad with")));
        }
        let untouched = ends.iter().rev().take_while(|ends| **ends == (0, 0)).count();
        let padded = ends.len() - untouched;
        let run = from[padded..].iter().product();
        let mut starts = vec![0usize];
        let mut numbers = vec![0usize];
        for (axis, &size) in shape[..padded].iter().enumerate() {
            let along = i64::try_from(from[axis]).unwrap_or(i64::MAX);
            let before = ends[axis].0;
            let places = (0..size as i64).map(|at| self.mode.place(at - before, along) as usize);
            // What was the innermost axis so far becomes part of the starts.
            let next = |start: usize| {
                let places = numbers.iter().map(move |number| start + number);
                places.map(|start| start * from[axis])
            };
            starts = starts.into_iter().flat_map(next).collect();
            numbers = places.collect();
        }
        Ok(Picks { shape, run, starts, numbers }.into())
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let pads = site.ints("pads");
    let mode = match site.text("mode", "constant").as_str() {
        "constant" => return Ok(Box::new(Constant { pads, value: site.float("value", 0.0) })),
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => {
            return Err(OpError::new(format!(
                "attribute mode is '{other}', training covers constant, reflect, edge, wrap"
            )));
        }
    };
    Ok(Box::new(Moved(Own { pads, mode })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    fn ints(values: &[i64]) -> Array {
        Array::ints([values.len()], values.to_vec())
    }

    proptest! {
        #[test]
        fn gradient(
            seed in any::<u64>(),
            mode in prop_oneof![Just("constant"), Just("reflect"), Just("edge"), Just("wrap")],
            pads in prop::collection::vec(-1i64..4, 6),
        ) {
            Case::new("Pad")
                .with("mode", mode)
                .trained(&[2, 3, 2], numbers(seed, 12))
                .fixed(ints(&pads))
                .check();
        }
    }

    #[test]
    fn examples_of_the_specification() {
        let case = |mode: &str| {
            let x = Array::floats([3, 2], vec![1.0, 1.2, 2.3, 3.4, 4.5, 5.7]);
            Case::new("Pad").with("mode", mode).fixed(x)
        };
        let constant = [0.0, 0.0, 1.0, 1.2, 0.0, 0.0, 2.3, 3.4, 0.0, 0.0, 4.5, 5.7];
        case("constant").fixed(ints(&[0, 2, 0, 0])).gives(&[3, 4], &constant);
        let old = case("constant").opset(2).with("pads", [0, 2, 0, 0]);
        old.gives(&[3, 4], &constant);
        let axis = case("constant").fixed(ints(&[2, 0])).without().fixed(ints(&[-1]));
        axis.gives(&[3, 4], &constant);
        let value = case("constant").fixed(ints(&[-2, 0, 0, 1])).fixed(Array::scalar(9.0));
        value.gives(&[1, 3], &[4.5, 5.7, 9.0]);
        let row = |mode: &str| {
            Case::new("Pad").with("mode", mode).fixed(ints(&[1, 2, 3])).fixed(ints(&[2, 2]))
        };
        row("reflect").gives_ints(&[7], &[3, 2, 1, 2, 3, 2, 1]);
        row("edge").gives_ints(&[7], &[1, 1, 1, 2, 3, 3, 3]);
        row("wrap").gives_ints(&[7], &[2, 3, 1, 2, 3, 1, 2]);
        let bools = Case::new("Pad").fixed(Array::bools([1], vec![true])).fixed(ints(&[1, 0]));
        bools.gives_bools(&[2], &[false, true]);
    }

    #[test]
    fn pads_that_do_not_fit_are_refused() {
        let case = || Case::new("Pad").trained(&[2], vec![1.0, 2.0]);
        case().fixed(ints(&[1])).is_refused("two pads for each of 1 axes, found 1");
        case().fixed(ints(&[-3, 0])).is_refused("cannot pad [2] by [-3, 0]");
        case().fixed(ints(&[i64::MAX, 0])).is_refused("cannot pad [2]");
        case().fixed(ints(&[i64::MAX - 2, 0])).is_refused("outgrows the limit");
        case().is_refused("the pads are missing");
        // Cut to nothing and padded again.
        case().fixed(ints(&[-3, 4])).gives(&[3], &[0.0; 3]);
    }
}
