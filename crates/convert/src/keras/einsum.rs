//! Sums of products over named axes.

use std::collections::BTreeSet;

use crate::EvaluateError;
use crate::keras::fault::Fault;
use crate::reference::matmul::matmul;
use crate::reference::{Array, reduce, shape};

/// An equation of two inputs, such as `abc,cd->abd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Equation {
    pub(crate) one: Vec<char>,
    pub(crate) two: Vec<char>,
    pub(crate) out: Vec<char>,
}

impl Equation {
    /// Reads an equation of two inputs without an ellipsis.
    pub(crate) fn parse(text: &str) -> Result<Equation, Fault> {
        let wrong =
            || Fault::unsupported(format!("the equation '{text}'"), "name each axis by one letter");
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, out) = text.split_once("->").ok_or_else(wrong)?;
        let (one, two) = inputs.split_once(',').ok_or_else(wrong)?;
        let letters = |part: &str| -> Option<Vec<char>> {
            let letters: Vec<char> = part.chars().collect();
            let distinct: BTreeSet<&char> = letters.iter().collect();
            let named = letters.iter().all(char::is_ascii_alphabetic);
            (named && distinct.len() == letters.len()).then_some(letters)
        };
        let parsed = letters(one).zip(letters(two)).zip(letters(out));
        let ((one, two), out) = parsed.ok_or_else(wrong)?;
        if out.iter().any(|axis| !one.contains(axis) && !two.contains(axis)) {
            return Err(wrong());
        }
        Ok(Equation { one, two, out })
    }

    /// The equation as text.
    pub(crate) fn text(&self) -> String {
        let join = |letters: &[char]| letters.iter().collect::<String>();
        format!("{},{}->{}", join(&self.one), join(&self.two), join(&self.out))
    }

    /// Computes it.
    pub(crate) fn evaluate(&self, one: &Array, two: &Array) -> Result<Array, EvaluateError> {
        if one.rank() != self.one.len() || two.rank() != self.two.len() {
            let (one, two, text) = (one.rank(), two.rank(), self.text());
            let message = format!("inputs of {one} and {two} dimensions do not fit '{text}'");
            return Err(EvaluateError::new(message));
        }
        // Axes that only one has and nobody wants are summed at once.
        let (one, first) =
            summed(one, &self.one, |axis| self.two.contains(axis) || self.out.contains(axis))?;
        let (two, second) =
            summed(two, &self.two, |axis| self.one.contains(axis) || self.out.contains(axis))?;
        let both: Vec<char> = first.iter().copied().filter(|axis| second.contains(axis)).collect();
        let (batch, inner): (Vec<char>, Vec<char>) =
            both.into_iter().partition(|axis| self.out.contains(axis));
        let only = |axes: &[char], others: &[char]| -> Vec<char> {
            axes.iter().copied().filter(|axis| !others.contains(axis)).collect()
        };
        let (rows, columns) = (only(&first, &second), only(&second, &first));
        let left = grouped(&one, &first, [&batch, &rows, &inner])?;
        let right = grouped(&two, &second, [&batch, &inner, &columns])?;
        let product = matmul(&left, &right)?;
        let sizes = |array: &Array, names: &[char], wanted: &[char]| -> Vec<usize> {
            wanted
                .iter()
                .filter_map(|axis| names.iter().position(|name| name == axis))
                .map(|place| array.dims()[place])
                .collect()
        };
        let mut dims = sizes(&one, &first, &batch);
        dims.extend(sizes(&one, &first, &rows));
        dims.extend(sizes(&two, &second, &columns));
        let product = product.reshaped(&dims)?;
        let names: Vec<char> = batch.into_iter().chain(rows).chain(columns).collect();
        let order: Vec<usize> =
            self.out.iter().filter_map(|axis| names.iter().position(|name| name == axis)).collect();
        shape::transpose(&product, &order)
    }
}

fn summed(
    array: &Array,
    names: &[char],
    keep: impl Fn(&char) -> bool,
) -> Result<(Array, Vec<char>), EvaluateError> {
    let gone: Vec<i64> =
        (0..names.len()).filter(|&at| !keep(&names[at])).map(|at| at as i64).collect();
    let kept = names.iter().copied().filter(&keep).collect();
    if gone.is_empty() {
        return Ok((array.clone(), kept));
    }
    Ok((reduce::sum(array, reduce::Over::axes(&gone))?, kept))
}

/// An array with its axes in three groups, each of which is one axis.
fn grouped(array: &Array, names: &[char], groups: [&[char]; 3]) -> Result<Array, EvaluateError> {
    let place = |axis: &char| names.iter().position(|name| name == axis);
    let order: Vec<usize> =
        groups.iter().flat_map(|group| group.iter().filter_map(place)).collect();
    let sizes = groups.map(|group| {
        group.iter().filter_map(place).map(|place| array.dims()[place]).product::<usize>()
    });
    shape::transpose(array, &order)?.reshaped(&sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        text: &str,
        one: (&[usize], &[f32]),
        two: (&[usize], &[f32]),
        dims: &[usize],
        out: &[f32],
    ) {
        let array =
            |(dims, values): (&[usize], &[f32])| Array::floats(dims, values.to_vec()).unwrap();
        let found = Equation::parse(text).unwrap().evaluate(&array(one), &array(two)).unwrap();
        assert_eq!((found.dims(), found.as_floats().unwrap()), (dims, out));
    }

    #[test]
    fn products_are_summed_over_what_is_not_named() {
        let two = (&[2, 2][..], &[1.0, 2.0, 3.0, 4.0][..]);
        check("ab,bc->ac", two, two, &[2, 2], &[7.0, 10.0, 15.0, 22.0]);
        check("ab,bc->ca", two, two, &[2, 2], &[7.0, 15.0, 10.0, 22.0]);
        check("ab,ab->a", two, two, &[2], &[5.0, 25.0]);
        check("ab,c->ac", two, (&[2], &[1.0, 10.0]), &[2, 2], &[3.0, 30.0, 7.0, 70.0]);
    }

    #[test]
    fn equations_that_are_not_understood_are_refused() {
        for text in ["ab,bc", "...a,ab->...b", "aa,ab->b", "ab,bc->ad"] {
            assert!(Equation::parse(text).is_err(), "{text}");
        }
    }
}
