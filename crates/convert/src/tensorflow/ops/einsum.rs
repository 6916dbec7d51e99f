//! `Einsum`: products and sums over axes that have names, of one or two values.

use modelyard_tensor::Dim;

use super::{Evaluated, Given, dims};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, layout, matmul, shape};
use crate::tensorflow::context::{Call, Context, Converted};
use crate::tensorflow::value::Refusal;

/// An equation whose axes are all named.
struct Equation {
    inputs: Vec<Vec<char>>,
    output: Vec<char>,
}

/// The first name for axes that the equation leaves to `...`; letters are taken.
const FIRST_UNNAMED: u32 = 0x100;

impl Equation {
    /// The equation for inputs of these ranks. The message says what is wrong with it.
    fn of(text: &str, ranks: &[usize]) -> Result<Equation, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let wrong = || format!("the equation '{text}'");
        let (left, right) = text.split_once("->").ok_or_else(wrong)?;
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() || terms.len() > 2 {
            return Err(wrong());
        }
        let mut most = 0;
        for (term, &rank) in terms.iter().zip(ranks) {
            let named = term.replace("...", "").chars().count();
            let unnamed = rank.checked_sub(named).ok_or_else(wrong)?;
            if unnamed > 0 && !term.contains("...") {
                return Err(wrong());
            }
            most = most.max(unnamed);
        }
        let expand = |term: &str, unnamed: usize| -> Vec<char> {
            // Unnamed axes are aligned at their end, as in broadcasting.
            let names: String = (most - unnamed..most)
                .filter_map(|axis| char::from_u32(FIRST_UNNAMED + axis as u32))
                .collect();
            term.replace("...", &names).chars().collect()
        };
        let inputs: Vec<Vec<char>> = terms
            .iter()
            .zip(ranks)
            .map(|(term, &rank)| expand(term, rank - term.replace("...", "").chars().count()))
            .collect();
        let output = expand(right, most);
        let twice = |names: &[char]| (1..names.len()).any(|at| names[..at].contains(&names[at]));
        let known = |name: &char| inputs.iter().any(|names| names.contains(name));
        if inputs.iter().any(|names| twice(names)) || twice(&output) || !output.iter().all(known) {
            return Err(wrong());
        }
        Ok(Equation { inputs, output })
    }

    /// The equation in letters.
    fn text(&self) -> Option<String> {
        let mut free = ('a'..='z').chain('A'..='Z');
        let mut letters = Vec::new();
        for name in self.inputs.iter().flatten() {
            if !letters.iter().any(|(found, _)| found == name) {
                letters.push((*name, free.next()?));
            }
        }
        let term = |names: &[char]| -> String {
            let letter = |name: &char| letters.iter().find(|(found, _)| found == name);
            names.iter().filter_map(|name| Some(letter(name)?.1)).collect()
        };
        let inputs: Vec<String> = self.inputs.iter().map(|names| term(names)).collect();
        Some(format!("{}->{}", inputs.join(","), term(&self.output)))
    }
}

pub(super) fn convert(context: &mut Context<'_>, call: &Call<'_>) -> Converted {
    let text = call.node.attrs.text("equation", "");
    let ranks: Vec<usize> =
        call.inputs.iter().map(|value| value.rank()).collect::<Result<_, _>>()?;
    let way_out = "write it with matrix products";
    let equation = Equation::of(text, &ranks).map_err(|reason| Refusal::new(reason, way_out))?;
    let size = |name: &char| -> Option<Dim> {
        let mut found: Option<Vec<Dim>> = None;
        for (names, value) in equation.inputs.iter().zip(&call.inputs) {
            let Some(axis) = names.iter().position(|other| other == name) else { continue };
            let dim = value.dims.as_ref()?.get(axis)?.clone();
            found = match found {
                None => Some(vec![dim]),
                Some(before) => dims::broadcast(&Some(before), &Some(vec![dim])),
            };
        }
        found?.pop()
    };
    let dims: Option<Vec<Dim>> = equation.output.iter().map(size).collect();
    let text = equation.text();
    let text = text.ok_or_else(|| Refusal::new("an equation of that many axes", way_out))?;
    let mut names = Vec::new();
    for value in &call.inputs {
        names.push(context.name(value)?);
    }
    let element_type = call.input(0)?.element_type;
    let found = context.add_node(node("Einsum", &names).with("equation", text.as_str()));
    Ok(vec![context.value(found, element_type, dims)])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    let text = given.attrs().text("equation", "");
    let ranks: Vec<usize> = given.inputs.iter().map(|array| array.rank()).collect();
    let equation = Equation::of(text, &ranks).map_err(EvaluateError::new)?;
    let mut operands = Vec::new();
    for (index, names) in equation.inputs.iter().enumerate() {
        // What only this operand has, and nobody asks for, is summed up at once.
        let elsewhere = |name: &char| {
            equation.output.contains(name)
                || equation
                    .inputs
                    .iter()
                    .enumerate()
                    .any(|(at, other)| at != index && other.contains(name))
        };
        let axes: Vec<i64> = (0..names.len())
            .filter(|&axis| !elsewhere(&names[axis]))
            .map(|axis| axis as i64)
            .collect();
        let array = given.input(index)?;
        let array =
            if axes.is_empty() { array.clone() } else { reduce::sum(array, Over::axes(&axes))? };
        let names: Vec<char> = names.iter().copied().filter(|name| elsewhere(name)).collect();
        operands.push((array, names));
    }
    let (array, names) = match operands.as_slice() {
        [one] => one.clone(),
        [one, two] => product(one, two, &equation.output)?,
        _ => return Err(EvaluateError::new("an equation of other than one or two values")),
    };
    Ok(vec![ordered(&array, &names, &equation.output)?])
}

/// An array with its axes in the order of `wanted`.
fn ordered(array: &Array, names: &[char], wanted: &[char]) -> Result<Array, EvaluateError> {
    let place = |name: &char| names.iter().position(|other| other == name);
    let order: Option<Vec<usize>> = wanted.iter().map(place).collect();
    let order = order.ok_or_else(|| EvaluateError::new("an axis has no name"))?;
    shape::transpose(array, &order)
}

/// The product of two operands: a matrix product for each element of the axes that both have and
/// the output keeps.
fn product(
    (one, one_names): &(Array, Vec<char>),
    (two, two_names): &(Array, Vec<char>),
    output: &[char],
) -> Result<(Array, Vec<char>), EvaluateError> {
    let in_both = |name: &&char| one_names.contains(name) && two_names.contains(name);
    let batch: Vec<char> = output.iter().filter(in_both).copied().collect();
    let inner: Vec<char> =
        one_names.iter().filter(in_both).filter(|name| !output.contains(name)).copied().collect();
    let only = |names: &[char], other: &[char]| -> Vec<char> {
        names.iter().filter(|name| !other.contains(name)).copied().collect()
    };
    let (rows, columns) = (only(one_names, two_names), only(two_names, one_names));
    let one = ordered(one, one_names, &[batch.as_slice(), &rows, &inner].concat())?;
    let two = ordered(two, two_names, &[batch.as_slice(), &inner, &columns].concat())?;
    let [b, r, c] = [batch.len(), rows.len(), columns.len()];
    let size = |dims: &[usize]| layout::elements(dims);
    let (row_dims, column_dims) = (&one.dims()[b..b + r], &two.dims()[two.rank() - c..]);
    let depth = [size(&one.dims()[b + r..])?, size(&two.dims()[b..two.rank() - c])?];
    let one_dims = [&one.dims()[..b], &[size(row_dims)?, depth[0]]].concat();
    let two_dims = [&two.dims()[..b], &[depth[1], size(column_dims)?]].concat();
    let found =
        matmul::matmul(&one.clone().reshaped(&one_dims)?, &two.clone().reshaped(&two_dims)?)?;
    let dims = [&found.dims()[..b], row_dims, column_dims].concat();
    Ok((found.clone().reshaped(&dims)?, [batch, rows, columns].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_without_names_get_some() {
        let equation = Equation::of("...ij,jk->...ik", &[3, 2]).unwrap();
        assert_eq!(equation.text().unwrap(), "abc,cd->abd");
        assert!(Equation::of("ij->ik", &[2]).is_err());
        assert!(Equation::of("ii->i", &[2]).is_err());
        assert!(Equation::of("ij,jk", &[2, 2]).is_err());
        assert!(Equation::of("ij->ij", &[3]).is_err());
    }
}
