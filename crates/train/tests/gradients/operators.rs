//! Each operator by itself.
//!
//! The measure: the largest difference in an array, relative to the largest element that PyTorch
//! has in it, or to 0.1 where all are smaller.

use modelyard_graph::{Limits, Model};
use modelyard_train::{Array, Data, Program};

use crate::{Question, answer, members, mode};

const FIXTURE: &[u8] = include_bytes!("../fixtures/operators.zip");

/// Ten times tighter than what is promised for networks: these are few sums.
const TOLERANCE: f64 = 1e-4;

#[test]
fn outputs_and_gradients_are_those_of_pytorch() {
    let cases = members(FIXTURE);
    assert!(cases.len() > 400, "expected the whole fixture, found {} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .flat_map(|(name, model)| {
            let failed = move |failure| format!("{name}: {failure}");
            check(model).into_iter().map(failed)
        })
        .collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Everything that is wrong with a case.
fn check(model: &[u8]) -> Vec<String> {
    let (model, expected) = parse(model);
    let of = |role: &str| -> Vec<(&str, &Array)> {
        let named = expected.iter().map(|(name, array)| (name.as_str(), array));
        named.filter_map(|(name, array)| Some((name.strip_prefix(role)?, array))).collect()
    };
    let (values, gradients) = (of("value:"), of("gradient:"));
    let targets: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let trained: Vec<&str> = gradients.iter().map(|(name, _)| *name).collect();
    let question = Question {
        mode: mode(&model.metadata["mode"]),
        inputs: Vec::new(),
        targets: &targets,
        seeds: of("seed:").into_iter().map(|(name, array)| (name, array.clone())).collect(),
        trained: &trained,
    };
    let found = Program::compile(&model)
        .map_err(|error| error.to_string())
        .and_then(|program| answer(&program, question));
    match found {
        Err(error) => vec![error],
        Ok((found_values, found_gradients)) => differences("output", &values, &found_values)
            .chain(differences("gradient by", &gradients, &found_gradients))
            .collect(),
    }
}

/// What differs too much, by role and name.
fn differences(
    role: &'static str,
    expected: &[(&str, &Array)],
    found: &[Array],
) -> impl Iterator<Item = String> {
    expected.iter().zip(found).filter_map(move |((name, expected), found)| {
        difference(found, expected).map(|difference| format!("{role} {name}: {difference}"))
    })
}

/// The model without its expectations, and those by role and name.
fn parse(bytes: &[u8]) -> (Model, Vec<(String, Array)>) {
    let mut model = Model::parse(bytes.to_vec().into(), &Limits::default()).unwrap();
    let mut expected = Vec::new();
    model.graph.initializers.retain(|constant| {
        let Some(name) = constant.name.strip_prefix("expected:") else { return true };
        expected.push((name.to_owned(), Array::from_constant(constant).unwrap()));
        false
    });
    (model, expected)
}

/// What differs, if it is too much.
fn difference(found: &Array, expected: &Array) -> Option<String> {
    if found.shape() != expected.shape() {
        return Some(format!("shape {}, PyTorch: {}", found.shape(), expected.shape()));
    }
    let (found, expected) = (numbers(found), numbers(expected));
    let largest = expected.iter().fold(0.1f64, |most, value| most.max(value.abs()));
    let worst = (0..found.len())
        .map(|index| ((found[index] - expected[index]).abs() / largest, index))
        // A difference that is no number is the worst of all.
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    let (error, index) = worst?;
    let text = || format!("{error:.1e} at {index}: {}, PyTorch: {}", found[index], expected[index]);
    (error.is_nan() || error > TOLERANCE).then(text)
}

fn numbers(array: &Array) -> Vec<f64> {
    match array.data() {
        Data::Floats(values) => values.iter().map(|&value| value.into()).collect(),
        Data::Ints(values) => values.iter().map(|&value| value as f64).collect(),
        Data::Bools(values) => values.iter().map(|&value| f64::from(u8::from(value))).collect(),
    }
}
