//! ATen's operators: how each becomes ONNX, and what each computes.
//!
//! One file an operator or a small family, with a table of its overloads: the name, the parameters
//! of its schema, the conversion, the evaluation. Operators that change their first argument in
//! place (`add_`) are not listed: both sides derive them from the one without the underscore.

mod activation;
mod adaptive;
mod advanced_index;
mod antialias;
mod arithmetic;
mod arrange;
mod as_strided;
mod assertion;
mod attention;
mod cast;
mod compare;
mod control;
mod convolution;
mod create;
mod einsum;
mod expand;
mod grid_sample;
mod index;
mod join;
mod linear;
mod normalization;
mod number;
mod operands;
mod order;
mod pad;
mod permute;
mod pool;
mod put;
mod recurrent;
mod reduce;
mod select;
mod similarity;
mod slice;
mod softmax;
mod split;
mod unary;
mod upsample;
mod view;
mod weight_norm;
mod windows;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::convert::{Call, Refusal};
use super::evaluate::{Eval, Outcome};

/// Writes a call as ONNX.
type Convert = fn(&mut Call<'_, '_>) -> Result<(), Refusal>;

/// Computes a call.
type Evaluate = fn(&mut Eval<'_, '_>) -> Outcome;

/// One overload of an operator.
pub(super) struct Operator {
    /// Namespace, name and overload: `aten.add.Tensor`.
    pub(super) name: &'static str,
    /// Names of its parameters in order, separated by blanks.
    pub(super) parameters: &'static str,
    /// Its conversion.
    pub(super) convert: Convert,
    /// Its evaluation.
    pub(super) evaluate: Evaluate,
}

const fn operator(
    name: &'static str,
    parameters: &'static str,
    convert: Convert,
    evaluate: Evaluate,
) -> Operator {
    Operator { name, parameters, convert, evaluate }
}

/// All operators, family by family.
const OPERATORS: &[&[Operator]] = &[
    activation::OPERATORS,
    adaptive::OPERATORS,
    advanced_index::OPERATORS,
    antialias::OPERATORS,
    arithmetic::OPERATORS,
    arrange::OPERATORS,
    as_strided::OPERATORS,
    assertion::OPERATORS,
    attention::OPERATORS,
    cast::OPERATORS,
    compare::OPERATORS,
    control::OPERATORS,
    convolution::OPERATORS,
    create::OPERATORS,
    einsum::OPERATORS,
    expand::OPERATORS,
    grid_sample::OPERATORS,
    index::OPERATORS,
    join::OPERATORS,
    linear::OPERATORS,
    normalization::OPERATORS,
    number::OPERATORS,
    order::OPERATORS,
    pad::OPERATORS,
    permute::OPERATORS,
    pool::OPERATORS,
    put::OPERATORS,
    recurrent::OPERATORS,
    reduce::OPERATORS,
    select::OPERATORS,
    similarity::OPERATORS,
    slice::OPERATORS,
    softmax::OPERATORS,
    split::OPERATORS,
    unary::OPERATORS,
    upsample::OPERATORS,
    view::OPERATORS,
    weight_norm::OPERATORS,
    windows::OPERATORS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Operator>> = LazyLock::new(|| {
    let mut found = HashMap::new();
    for operator in OPERATORS.iter().copied().flatten() {
        found.insert(operator.name, operator);
        // Producers that do not know overloads mean the first one of a name.
        if let Some((name, _)) = operator.name.rsplit_once('.')
            && name.contains('.')
        {
            found.entry(name).or_insert(operator);
        }
    }
    found
});

/// The operator of this name; without an overload, the first one in its table.
pub(super) fn find(target: &str) -> Option<&'static Operator> {
    BY_NAME.get(target).copied()
}

/// Names of all operators.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OPERATORS.iter().copied().flatten().map(|operator| operator.name)
}

/// Why an operator without a conversion is refused, and the nearest way out.
pub(super) fn unknown(target: &str) -> Refusal {
    const RANDOM: [&str; 14] = [
        "aten.rand",
        "aten.randn",
        "aten.randint",
        "aten.bernoulli",
        "aten.normal",
        "aten.uniform",
        "aten.multinomial",
        "aten.randperm",
        "aten.exponential",
        "aten.rrelu",
        "aten.native_dropout",
        "aten.poisson",
        "aten.cauchy",
        "aten.geometric",
    ];
    let is_random = RANDOM.iter().any(|name| {
        target.strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    });
    let way_out = if is_random {
        "it is random: call `model.eval()` before the export, or give the numbers as an input"
    } else if target.starts_with("higher_order") {
        "write the loop or branch out: a fixed number of steps, or `torch.where`"
    } else if target.starts_with("aten.lstm.data") || target.starts_with("aten.gru.data") {
        "do not pack sequences: give the layer padded sequences instead"
    } else if target.starts_with("quantized") {
        "export the model before it is quantized, and quantize the ONNX model instead"
    } else if target.starts_with("aten.") || target.starts_with("operator.") {
        "call `exported_program.run_decompositions()` before saving, which may write it with \
         other operators; or replace it in the model"
    } else {
        "replace this custom operator in the model by operators of PyTorch"
    };
    Refusal::new("the operator", way_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_overload_is_listed_once() {
        let mut names: Vec<&str> = names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn operators_are_found_without_their_overload() {
        assert_eq!(find("aten.add").map(|found| found.name), Some("aten.add.Tensor"));
        assert!(find("aten.no_such_operator.default").is_none());
    }
}
