//! Einsum of one or two operands: `ij,jk->ik` and the like.
//!
//! | module | does |
//! |---|---|
//! | `equation` | parses an equation |
//! | `ellipsis` | gives letters to the axes that `...` stands for |
//! | `contract` | evaluates it by permuting, summing and one stack of matrix products |
//!
//! The gradient by an operand is an equation too: the one in which it changes places with the
//! result. Labels that stand twice in one operand and more operands are not covered, nor is
//! broadcasting under an ellipsis.

mod contract;
mod ellipsis;
mod equation;

use std::borrow::Cow;

use modelyard_tensor::Shape;

use crate::array::Array;
use crate::error::OpError;
use crate::operator::{Backward, Gradients, Inputs, Operator, Outcome, Reads, Scope};
use crate::site::Site;
use contract::{Labelled, contract};
use equation::{Equation, Sizes};

#[derive(Debug)]
enum Einsum {
    /// The same equation for all ranks.
    Plain(Equation),
    /// Has an ellipsis: the text, whose equation the ranks decide.
    Ellipsis(String),
}

impl Einsum {
    fn equation(&self, shapes: &[&Shape]) -> Result<Cow<'_, Equation>, OpError> {
        match self {
            Einsum::Plain(equation) => Ok(Cow::Borrowed(equation)),
            Einsum::Ellipsis(text) => {
                let ranks: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
                let text = ellipsis::spelled_out(text, &ranks)?;
                Equation::parse(&text).map(Cow::Owned)
            }
        }
    }
}

impl Operator for Einsum {
    fn forward(&self, scope: &mut Scope<'_>, inputs: Inputs<'_>) -> Result<Outcome, OpError> {
        let shapes = (0..inputs.len()).map(|number| Ok(inputs.at(number)?.shape()));
        let shapes = shapes.collect::<Result<Vec<_>, OpError>>()?;
        let equation = self.equation(&shapes)?;
        let sizes = Sizes::new(&equation, &shapes)?;
        let one = Labelled { data: inputs.floats(0)?, labels: &equation.operands[0] };
        let two = match equation.operands.get(1) {
            Some(labels) => Some(Labelled { data: inputs.floats(1)?, labels }),
            None => None,
        };
        let out = contract(scope, &sizes, (one, two), &equation.result)?;
        let shape: Shape = equation.result.iter().map(|&label| sizes.of(label)).collect();
        Ok(Array::floats(shape, out).into())
    }

    fn reads(&self, wanted: &[bool]) -> Reads {
        match wanted {
            [_] => Reads::NOTHING,
            [true, false] => Reads::NOTHING.and_input(1),
            [false, true] => Reads::NOTHING.and_input(0),
            _ => Reads::INPUTS,
        }
    }

    fn backward(&self, scope: &mut Scope<'_>, mut at: Backward<'_>) -> Result<Gradients, OpError> {
        let gradient = at.gradient()?;
        let shapes: Vec<&Shape> = at.input_shapes.iter().collect();
        let equation = self.equation(&shapes)?;
        let sizes = Sizes::new(&equation, &shapes)?;
        let by_result = Labelled { data: gradient.as_floats()?, labels: &equation.result };
        let mut gradients = vec![None; equation.operands.len()];
        for (number, of) in gradients.iter_mut().enumerate() {
            if !at.wants(number) {
                continue;
            }
            let other = match equation.operands.get(1 - number) {
                Some(labels) if equation.operands.len() == 2 => {
                    Some(Labelled { data: at.inputs.floats(1 - number)?, labels })
                }
                _ => None,
            };
            let out = contract(scope, &sizes, (by_result, other), &equation.operands[number])?;
            *of = Some(Array::floats(at.shape(number)?.clone(), out));
        }
        Ok(gradients)
    }
}

pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Operator>, OpError> {
    let text = site.text("equation", "");
    let equation = Equation::parse(&text.replace("...", ""))?;
    if equation.operands.len() != site.node.inputs.len() {
        return Err(OpError::new(format!(
            "the equation has {} operands, the node {} inputs",
            equation.operands.len(),
            site.node.inputs.len()
        )));
    }
    let has_ellipsis = text.contains("...");
    Ok(Box::new(if has_ellipsis { Einsum::Ellipsis(text) } else { Einsum::Plain(equation) }))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Case, numbers};
    use proptest::prelude::*;

    /// Sizes of labels in tests.
    fn size(label: u8) -> usize {
        match label {
            b'i' => 2,
            b'j' => 3,
            b'k' => 4,
            b'l' => 1,
            _ => 2,
        }
    }

    fn case(equation: &str, seed: u64) -> Case {
        let inputs = equation.split("->").next().unwrap().split(',').map(str::trim);
        let mut case = Case::new("Einsum").with("equation", equation);
        for (number, labels) in inputs.enumerate() {
            let dims: Vec<usize> = labels.bytes().map(size).collect();
            case = case.trained(&dims, numbers(seed ^ number as u64, dims.iter().product()));
        }
        case
    }

    /// The result by definition: a loop over all labels.
    fn expected(operands: &[&str], result: &str, seed: u64) -> Vec<f32> {
        let mut labels: Vec<u8> = operands.concat().bytes().collect();
        labels.sort_unstable();
        labels.dedup();
        let index = |of: &str, at: &[usize]| {
            of.bytes().fold(0, |index, label| {
                let place = labels.iter().position(|&other| other == label).unwrap();
                index * size(label) + at[place]
            })
        };
        let values: Vec<Vec<f32>> = operands
            .iter()
            .enumerate()
            .map(|(number, of)| numbers(seed ^ number as u64, of.bytes().map(size).product()))
            .collect();
        let mut out = vec![0.0; result.bytes().map(size).product()];
        for number in 0..labels.iter().map(|&label| size(label)).product() {
            let mut rest: usize = number;
            let at: Vec<usize> = labels
                .iter()
                .map(|&label| {
                    let at = rest % size(label);
                    rest /= size(label);
                    at
                })
                .collect();
            let terms = operands.iter().zip(&values).map(|(of, values)| values[index(of, &at)]);
            out[index(result, &at)] += terms.product::<f32>();
        }
        out
    }

    const TWO: [(&str, &str, &str); 12] = [
        ("ij", "jk", "ik"),
        ("ij", "kj", "ki"),
        ("bij", "bjk", "bik"),
        ("bhik", "bhjk", "bhij"),
        ("bihk", "bjhk", "bhij"),
        ("i", "j", "ij"),
        ("ij", "ij", ""),
        ("ij", "ij", "ij"),
        ("ijk", "j", "ki"),
        ("ijm", "jkn", "ki"),
        ("lij", "jl", "i"),
        ("ij", "k", "k"),
    ];
    const ONE: [(&str, &str); 5] =
        [("ij", "ji"), ("ijk", "k"), ("ijk", ""), ("ij", "ij"), ("ijkl", "kli")];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4))]
        #[test]
        fn gradients_and_values(seed in any::<u64>()) {
            let two = TWO.iter().map(|&(one, two, result)| (vec![one, two], result));
            let one = ONE.iter().map(|&(one, result)| (vec![one], result));
            for (operands, result) in two.chain(one) {
                let case = case(&format!("{}->{result}", operands.join(",")), seed);
                let found = case.run();
                let dims: Vec<usize> = result.bytes().map(size).collect();
                prop_assert_eq!(found[0].shape().dims(), &dims[..]);
                for (found, expected) in
                    found[0].as_floats().unwrap().iter().zip(expected(&operands, result, seed))
                {
                    prop_assert!((found - expected).abs() < 1e-5, "{operands:?} {result}");
                }
                case.check();
            }
        }
    }

    #[test]
    fn without_arrow_the_result_has_what_stands_once_in_order() {
        let found = case("kj, ji", 3).run();
        let expected = expected(&["kj", "ji"], "ik", 3);
        for (found, expected) in found[0].as_floats().unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
        }
    }

    #[test]
    fn what_is_not_covered_is_named() {
        let refused = |case: Case, text: &str| {
            let error = case.try_run().unwrap_err();
            assert!(error.contains(text), "{error}");
        };
        let with = |equation: &str| {
            Case::new("Einsum").with("equation", equation).trained(&[2, 2], numbers(1, 4))
        };
        refused(with("...ijk->...i"), "operand '...ijk' has 2 axes");
        refused(with("ii->i"), "label 'i' stands twice in 'ii'");
        refused(with("ij->k"), "label 'k' of the result is in no operand");
        refused(with("i1->i"), "'1' is no label");
        refused(with("ijk->i"), "operand 'ijk' has shape [2,2]");
        refused(with("ij,jk->ik"), "the equation has 2 operands, the node 1 inputs");
        refused(with("ij,jk,kl->il"), "3 operands are not covered");
        let sizes = with("ij,jk->ik").trained(&[3, 2], numbers(1, 6));
        refused(sizes, "label 'j' is both 2 and 3");
    }
}
