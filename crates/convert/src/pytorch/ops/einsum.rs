//! Einstein's summation.

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Refusal};
use crate::pytorch::evaluate::{Eval, Outcome, one};
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, layout, matmul, shape};

pub(super) const OPERATORS: &[Operator] =
    &[operator("aten.einsum.default", "equation tensors path", convert, evaluate)];

fn convert(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let equation: String =
        call.text_or("equation", "")?.chars().filter(|each| !each.is_whitespace()).collect();
    let names: Vec<String> =
        call.tensors("tensors")?.into_iter().map(|tensor| tensor.name).collect();
    let einsum = node("Einsum", &names).with("equation", equation.as_str());
    let result = call.to.emit_node(einsum);
    call.give(0, result);
    Ok(())
}

/// An array and the letter of each of its axes.
struct Labelled {
    array: Array,
    labels: Vec<char>,
}

/// Letters that stand for the axes of an ellipsis: not letters that an equation can have.
fn ellipsis(count: usize) -> impl Iterator<Item = char> {
    (0..count as u32).filter_map(|at| char::from_u32(0xE000 + at))
}

/// The labels of a term; an ellipsis has as many axes as are left of `rank`.
fn labels(term: &str, rank: usize) -> Vec<char> {
    match term.split_once("...") {
        Some((before, after)) => {
            let named = before.chars().count() + after.chars().count();
            let inner = ellipsis(rank.saturating_sub(named));
            before.chars().chain(inner).chain(after.chars()).collect()
        }
        None => term.chars().collect(),
    }
}

fn evaluate(eval: &mut Eval<'_, '_>) -> Outcome {
    let equation: String =
        eval.text_or("equation", "")?.chars().filter(|each| !each.is_whitespace()).collect();
    let tensors = eval.tensors("tensors")?;
    let (inputs, output) = match equation.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (equation.as_str(), None),
    };
    let mut terms = Vec::new();
    for (term, array) in inputs.split(',').zip(&tensors) {
        let labels = labels(term, array.rank());
        if labels.len() != array.rank() {
            let message = format!("term '{term}' does not fit shape {:?}", array.dims());
            return Err(EvaluateError::new(message));
        }
        terms.push(diagonal(Labelled { array: array.as_ref().clone(), labels })?);
    }
    let most =
        terms.iter().map(|term| term.labels.iter().filter(|&&label| label >= '\u{E000}').count());
    let wanted = match output {
        Some(output) => {
            let named = output.replace("...", "").chars().count();
            let rank = if output.contains("...") { named + most.max().unwrap_or(0) } else { named };
            labels(output, rank)
        }
        None => implicit(&terms),
    };
    let mut terms = terms.into_iter();
    let mut all = terms.next().ok_or_else(|| EvaluateError::new("a sum over no tensors"))?;
    let mut rest: Vec<Labelled> = terms.collect();
    while !rest.is_empty() {
        let next = rest.remove(0);
        let later: Vec<char> =
            rest.iter().flat_map(|term| term.labels.clone()).chain(wanted.clone()).collect();
        all = contracted(all, next, &later)?;
    }
    let all = summed(all, &wanted)?;
    one(ordered(&all, &wanted))
}

/// Without an arrow: the ellipsis, then letters that come once, in alphabetical order.
fn implicit(terms: &[Labelled]) -> Vec<char> {
    let all: Vec<char> = terms.iter().flat_map(|term| term.labels.clone()).collect();
    let count = |label: char| all.iter().filter(|&&other| other == label).count();
    let mut once: Vec<char> =
        all.iter().copied().filter(|&label| label < '\u{E000}' && count(label) == 1).collect();
    once.sort_unstable();
    let mut inner: Vec<char> = all.iter().copied().filter(|&label| label >= '\u{E000}').collect();
    inner.sort_unstable();
    inner.dedup();
    inner.into_iter().chain(once).collect()
}

/// A letter that comes twice in a term names the diagonal.
fn diagonal(term: Labelled) -> Result<Labelled, EvaluateError> {
    let strides = layout::strides(term.array.dims());
    let (mut labels, mut dims, mut steps) = (Vec::new(), Vec::new(), Vec::<isize>::new());
    for (axis, &label) in term.labels.iter().enumerate() {
        match labels.iter().position(|&other| other == label) {
            Some(at) => steps[at] += strides[axis],
            None => {
                labels.push(label);
                dims.push(term.array.dims()[axis]);
                steps.push(strides[axis]);
            }
        }
    }
    if labels.len() == term.labels.len() {
        return Ok(term);
    }
    let array = shape::as_strided(&term.array, &dims, &steps, 0)?;
    Ok(Labelled { array, labels })
}

/// Summed over letters that are not wanted.
fn summed(term: Labelled, wanted: &[char]) -> Result<Labelled, EvaluateError> {
    let is_wanted = |label: &char| wanted.contains(label);
    let axes: Vec<i64> = (0..term.labels.len())
        .filter(|&axis| !is_wanted(&term.labels[axis]))
        .map(|axis| axis as i64)
        .collect();
    if axes.is_empty() {
        return Ok(term);
    }
    let array = reduce::sum(&term.array, Over::axes(&axes))?;
    let labels = term.labels.into_iter().filter(is_wanted).collect();
    Ok(Labelled { array, labels })
}

/// The axes in this order; those that are missing are 1.
fn ordered(term: &Labelled, wanted: &[char]) -> Result<Array, EvaluateError> {
    let places = wanted.iter().filter_map(|label| term.labels.iter().position(|own| own == label));
    let order: Vec<usize> = places.collect();
    let turned = shape::transpose(&term.array, &order)?;
    let mut own = turned.dims().iter().copied();
    let dims: Vec<usize> = wanted
        .iter()
        .map(|label| if term.labels.contains(label) { own.next().unwrap_or(1) } else { 1 })
        .collect();
    turned.reshaped(&dims)
}

/// Two terms multiplied, and summed over letters that nothing later needs: a product of matrices
/// for each combination of the letters that both have and that stay.
fn contracted(one: Labelled, two: Labelled, later: &[char]) -> Result<Labelled, EvaluateError> {
    let own_or_later =
        |labels: &[char]| -> Vec<char> { labels.iter().chain(later).copied().collect() };
    let one_wanted = own_or_later(&two.labels);
    let two_wanted = own_or_later(&one.labels);
    let (one, two) = (summed(one, &one_wanted)?, summed(two, &two_wanted)?);
    let (mut both, mut inner, mut left, mut right) = (vec![], vec![], vec![], vec![]);
    for &label in &one.labels {
        match (two.labels.contains(&label), later.contains(&label)) {
            (true, true) => both.push(label),
            (true, false) => inner.push(label),
            (false, _) => left.push(label),
        }
    }
    right.extend(two.labels.iter().copied().filter(|label| !one.labels.contains(label)));
    let a = ordered(&one, &[both.clone(), left.clone(), inner.clone()].concat())?;
    let b = ordered(&two, &[both.clone(), inner.clone(), right.clone()].concat())?;
    let (shared, outer) = (both.len(), both.len() + left.len());
    let middle = layout::elements(&a.dims()[outer..])?;
    let rows = layout::elements(&a.dims()[shared..outer])?;
    let columns = layout::elements(&b.dims()[shared + inner.len()..])?;
    // Letters may be 1 in one term and more in the other.
    let (mut a_dims, mut b_dims) = (a.dims()[..shared].to_vec(), b.dims()[..shared].to_vec());
    let mut dims = layout::broadcast(&a_dims, &b_dims)?;
    dims.extend(&a.dims()[shared..outer]);
    dims.extend(&b.dims()[shared + inner.len()..]);
    a_dims.extend([rows, middle]);
    b_dims.extend([middle, columns]);
    let product = matmul::matmul(&a.clone().reshaped(&a_dims)?, &b.clone().reshaped(&b_dims)?)?;
    let labels = [both, left, right].concat();
    Ok(Labelled { array: product.reshaped(&dims)?, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ellipsis_has_the_axes_that_are_left() {
        assert_eq!(labels("b...d", 4).len(), 4);
        assert_eq!(labels("ij", 2), ['i', 'j']);
    }
}
