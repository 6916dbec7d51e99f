//! What the frameworks answer: each tree is walked by its framework's rule.

use modelyard_tensor::Tensor;
use rayon::prelude::*;

use super::ensemble::{
    Answer, CATEGORIES, Child, Ensemble, Link, Missing, Rule, Scores, Tree, ZERO,
};
use crate::EvaluateError;
use crate::reference::Array;

impl Rule {
    /// Whether a row with this feature goes left.
    pub(super) fn goes_left(&self, value: f32) -> bool {
        match self {
            Rule::Below { missing_left, .. } | Rule::NotIn { missing_left, .. }
                if value.is_nan() =>
            {
                *missing_left
            }
            Rule::Below { threshold, .. } => value < *threshold,
            Rule::NotIn { set, .. } => {
                let valid = value >= 0.0 && value < CATEGORIES as f32;
                !valid || set.binary_search(&(value as u32)).is_err()
            }
            Rule::AtMost { threshold, missing, missing_left } => {
                let value =
                    if value.is_nan() && *missing != Missing::NaN { 0.0 } else { f64::from(value) };
                let zero = value.abs() <= f64::from(ZERO);
                let is_missing = match missing {
                    Missing::Nothing => false,
                    Missing::Zero => zero,
                    Missing::NaN => value.is_nan(),
                };
                if is_missing { *missing_left } else { value <= *threshold }
            }
            // As C cuts a number to an integer: towards zero.
            Rule::In { set } => {
                let valid = value > -1.0 && value < i32::MAX as f32;
                valid && set.binary_search(&(value as u32)).is_ok()
            }
        }
    }
}

impl Tree {
    /// The leaf that a row falls into. Splits never lead back, so that this ends.
    fn leaf(&self, row: &[f32]) -> Option<usize> {
        let mut at = self.root;
        loop {
            match at {
                Child::Leaf(leaf) => return Some(leaf),
                Child::Split(split) => {
                    let split = self.splits.get(split)?;
                    let left = split.rule.goes_left(*row.get(split.feature)?);
                    at = if left { split.left } else { split.right };
                }
            }
        }
    }
}

/// The answers to `inputs`, in the order of the outputs.
pub(super) fn evaluate(
    ensemble: &Ensemble,
    inputs: &[Tensor],
) -> Result<Vec<Tensor>, EvaluateError> {
    let [input] = inputs else {
        return Err(EvaluateError::new(format!("expected 1 input, found {}", inputs.len())));
    };
    let input = Array::from_tensor(input)?;
    let rows = match input.dims() {
        [rows, features] if *features == ensemble.features => *rows,
        found => {
            let expected = ensemble.features;
            return Err(EvaluateError::new(format!(
                "expected rows of {expected} features, found shape {found:?}"
            )));
        }
    };
    let values = input.as_floats()?;
    let scores: Vec<Vec<f32>> = (0..rows)
        .into_par_iter()
        .map(|row| {
            let start = row * ensemble.features;
            scores(ensemble, &values[start..start + ensemble.features])
        })
        .collect();
    answers(ensemble, &scores)?.iter().map(Array::to_tensor).collect()
}

/// The scores of one row.
fn scores(ensemble: &Ensemble, row: &[f32]) -> Vec<f32> {
    let mut sums: Vec<f64> = ensemble.base.iter().map(|&base| base.into()).collect();
    match &ensemble.scores {
        Scores::Trees(trees) => {
            for tree in trees {
                let width = tree.width(ensemble.targets);
                let Some(leaf) = tree.leaf(row) else { continue };
                let first = tree.target.unwrap_or(0);
                let values = tree.leaves.iter().skip(leaf * width).take(width);
                for (sum, value) in sums.iter_mut().skip(first).zip(values) {
                    *sum += value;
                }
            }
        }
        Scores::Linear(weights) => {
            let ones = row.iter().chain(&[1.0]);
            for (value, weights) in ones.zip(weights.chunks(ensemble.targets)) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += if value.is_nan() { 0.0 } else { f64::from(value * weight) };
                }
            }
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

fn linked(link: Link, score: f32) -> f32 {
    match link {
        Link::Identity => score,
        Link::Exp => score.exp(),
        Link::Sigmoid => sigmoid(score),
        Link::Softplus => f64::from(score).exp().ln_1p() as f32,
        Link::SignedSquare => score * score.abs(),
    }
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn answers(ensemble: &Ensemble, scores: &[Vec<f32>]) -> Result<Vec<Array>, EvaluateError> {
    let rows = scores.len();
    let first = |row: &Vec<f32>| row.first().copied().unwrap_or_default();
    let probabilities: Vec<Vec<f32>> = match ensemble.answer {
        Answer::Values(link) => {
            let values: Vec<f32> =
                scores.iter().flatten().map(|&score| linked(link, score)).collect();
            let dims =
                if ensemble.targets == 1 { vec![rows] } else { vec![rows, ensemble.targets] };
            return Ok(vec![Array::floats(&dims, values)?]);
        }
        Answer::Sign => {
            let labels = scores.iter().map(|row| i64::from(first(row) > 0.0)).collect();
            return Ok(vec![Array::ints(&[rows], labels)?]);
        }
        Answer::Binary(slope) => scores
            .iter()
            .map(|row| {
                let second = sigmoid(slope * first(row));
                vec![1.0 - second, second]
            })
            .collect(),
        Answer::Softmax => scores.iter().map(|row| softmax(row)).collect(),
        Answer::OneVersusAll(slope) => scores
            .iter()
            .map(|row| row.iter().map(|&score| sigmoid(slope * score)).collect())
            .collect(),
    };
    let labels = probabilities.iter().map(|row| highest(row)).collect();
    let classes = if ensemble.targets == 1 { 2 } else { ensemble.targets };
    Ok(vec![
        Array::ints(&[rows], labels)?,
        Array::floats(&[rows, classes], probabilities.concat())?,
    ])
}

/// The first of the highest.
fn highest(row: &[f32]) -> i64 {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if row.get(best).is_some_and(|highest| value > highest) {
            best = index;
        }
    }
    best as i64
}
