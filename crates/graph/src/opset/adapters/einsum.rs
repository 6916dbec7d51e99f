//! Einsum came with 12. Operands are multiplied element by element, each with all indices as
//! dimensions, and summed over those that the result does not have; what is a product of matrices
//! is written as one.

use super::{Adapter, adapter};
use crate::Node;
use crate::opset::site::{Refusal, Site, refuse};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Einsum", 12, None, Some(down))];

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let equation = site.node.string("equation").unwrap_or_default();
    let Some((operands, result)) = parse(equation) else {
        return refuse(format!("equation '{equation}'"));
    };
    if operands.len() != site.node.inputs.len() {
        return refuse(format!("equation '{equation}' for {} operands", site.node.inputs.len()));
    }
    let inputs = site.node.inputs.clone();
    if let ([one, two], [first, second]) = (operands.as_slice(), inputs.as_slice())
        && let Some(product) = Product::of(one, two, &result)
    {
        product.write(site, (first, one), (second, two), &result);
        return Ok(());
    }
    let mut all = result.clone();
    for &index in operands.iter().flatten() {
        if !all.contains(&index) {
            all.push(index);
        }
    }
    let mut product: Option<String> = None;
    for (input, indices) in inputs.iter().zip(&operands) {
        let spread = arranged(site, input, indices, &all);
        product = Some(match product {
            Some(product) => site.add("Mul", &[&product, &spread]),
            None => spread,
        });
    }
    let Some(product) = product else { return refuse("it has no operands") };
    let summed: Vec<i64> = (result.len()..all.len()).map(|axis| axis as i64).collect();
    if summed.is_empty() {
        site.replace_by("Identity", &[&product]);
    } else {
        let sum = Node::new("ReduceSum", &[&product], &[]).with("axes", &summed[..]);
        site.replace(sum.with("keepdims", 0));
    }
    Ok(())
}

/// The indices of the operands and of the result. `None` for what is not covered: `...`, and an
/// index that one operand has twice.
fn parse(equation: &str) -> Option<(Vec<Vec<char>>, Vec<char>)> {
    let equation: String = equation.chars().filter(|found| !found.is_whitespace()).collect();
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation.as_str(), None),
    };
    let list = |text: &str| {
        let indices: Vec<char> = text.chars().collect();
        let mut sorted = indices.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let plain = indices.iter().all(char::is_ascii_alphabetic);
        (plain && sorted.len() == indices.len()).then_some(indices)
    };
    let operands: Vec<Vec<char>> = left.split(',').map(list).collect::<Option<_>>()?;
    let result = match right {
        Some(right) => list(right)?,
        // What appears once, in alphabetic order.
        None => {
            let mut once: Vec<char> = operands.iter().flatten().copied().collect();
            once.sort_unstable();
            let count = |index: &char| left.chars().filter(|other| other == index).count();
            once.retain(|index| count(index) == 1);
            once
        }
    };
    let known = result.iter().all(|index| operands.iter().any(|operand| operand.contains(index)));
    known.then_some((operands, result))
}

/// `input` with a dimension for each of `all`, in their order; 1 for those it does not have.
fn arranged(site: &mut Site<'_>, input: &str, indices: &[char], all: &[char]) -> String {
    let order: Vec<i64> = all
        .iter()
        .filter_map(|index| indices.iter().position(|other| other == index))
        .map(|position| position as i64)
        .collect();
    let mut value = input.to_owned();
    if order.iter().enumerate().any(|(place, &position)| place as i64 != position) {
        value = site.add_node(Node::new("Transpose", &[&value], &[]).with("perm", &order[..]));
    }
    let new: Vec<i64> = (0..all.len())
        .filter(|&axis| !indices.contains(&all[axis]))
        .map(|axis| axis as i64)
        .collect();
    if !new.is_empty() {
        value = site.add_node(Node::new("Unsqueeze", &[&value], &[]).with("axes", &new[..]));
    }
    value
}

/// A product of matrices: `batch x rows x summed` by `batch x summed x columns`.
struct Product {
    batch: Vec<char>,
    rows: char,
    columns: char,
    summed: char,
}

impl Product {
    fn of(one: &[char], two: &[char], result: &[char]) -> Option<Product> {
        let only = |list: Vec<char>| if let [single] = list[..] { Some(single) } else { None };
        let has = |list: &[char], index: &char| list.contains(index);
        let both: Vec<char> = one.iter().copied().filter(|index| has(two, index)).collect();
        let (batch, summed): (Vec<char>, Vec<char>) =
            both.into_iter().partition(|index| has(result, index));
        let own = |mine: &[char], other: &[char]| {
            let own = mine.iter().copied().filter(|index| !has(other, index)).collect();
            only(own).filter(|index| has(result, index))
        };
        let (rows, columns) = (own(one, two)?, own(two, one)?);
        Some(Product { batch, rows, columns, summed: only(summed)? })
    }

    fn write(
        &self,
        site: &mut Site<'_>,
        (first, one): (&str, &[char]),
        (second, two): (&str, &[char]),
        result: &[char],
    ) {
        let with = |last: [char; 2]| [self.batch.as_slice(), &last].concat();
        let left = arranged(site, first, one, &with([self.rows, self.summed]));
        let right = arranged(site, second, two, &with([self.summed, self.columns]));
        let given = with([self.rows, self.columns]);
        if given == result {
            return site.replace_by("MatMul", &[&left, &right]);
        }
        let product = site.add("MatMul", &[&left, &right]);
        let place = |index: &char| given.iter().position(|other| other == index);
        let order: Vec<i64> =
            result.iter().filter_map(place).map(|position| position as i64).collect();
        site.replace(Node::new("Transpose", &[&product], &[]).with("perm", &order[..]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_read() {
        let (operands, result) = parse("b i j, b j k -> b i k").unwrap();
        assert_eq!(operands, [['b', 'i', 'j'], ['b', 'j', 'k']]);
        assert_eq!(result, ['b', 'i', 'k']);
        assert_eq!(parse("ij,jk").unwrap().1, ['i', 'k']);
        assert!(parse("...ij->...ji").is_none() && parse("ii->i").is_none());
        assert!(parse("ij->k").is_none());
    }
}
