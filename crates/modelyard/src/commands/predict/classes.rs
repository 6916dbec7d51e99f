//! Which outputs are class probabilities, and their highest ones.

use half::{bf16, f16};
use modelyard_tensor::{DataType, Tensor};
use serde::{Serialize, Serializer};

use crate::tensors::json;

/// One class of one row.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Class {
    /// Its position in the output.
    pub(super) class: usize,
    /// Its name, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) label: Option<String>,
    /// What the model gives it: a probability, or a score where classes have names.
    #[serde(serialize_with = "shortest")]
    pub(super) score: f32,
}

/// As short as an f32 can be told from its neighbours.
fn shortest<S: Serializer>(score: &f32, serializer: S) -> Result<S::Ok, S::Error> {
    json::single(*score).serialize(serializer)
}

/// The `top` classes of each row, or `None` when the output is no classifier's: rows of
/// probabilities that add up to one, or of scores for classes that have names.
pub(super) fn top(
    tensor: &Tensor,
    labels: Option<&[String]>,
    top: usize,
) -> Option<Vec<Vec<Class>>> {
    let classes = match tensor.shape().dims() {
        [_, classes] if *classes >= 2 => *classes,
        _ => return None,
    };
    let scores = floats(tensor)?;
    let named = labels.is_some_and(|labels| labels.len() == classes);
    if !named && !scores.chunks_exact(classes).all(are_probabilities) {
        return None;
    }
    let label =
        |class: usize| labels.filter(|_| named).map(|labels: &[String]| labels[class].clone());
    let row = |scores: &[f32]| {
        let mut order: Vec<usize> = (0..classes).collect();
        // Stable: of equal scores the lower class comes first.
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(top);
        let class = |class| Class { class, label: label(class), score: scores[class] };
        order.into_iter().map(class).collect()
    };
    Some(scores.chunks_exact(classes).map(row).collect())
}

fn are_probabilities(row: &[f32]) -> bool {
    let sum: f64 = row.iter().copied().map(f64::from).sum();
    row.iter().all(|score| (0.0..=1.0).contains(score)) && (sum - 1.0).abs() < 1e-2
}

/// The elements, if they are floats.
fn floats(tensor: &Tensor) -> Option<Vec<f32>> {
    match tensor.data_type() {
        DataType::Fp32 => Some(tensor.values::<f32>().ok()?.into_owned()),
        DataType::Fp64 => Some(tensor.values::<f64>().ok()?.iter().map(|&v| v as f32).collect()),
        DataType::Fp16 => Some(tensor.values::<f16>().ok()?.iter().map(|v| v.to_f32()).collect()),
        DataType::Bf16 => Some(tensor.values::<bf16>().ok()?.iter().map(|v| v.to_f32()).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(rows: usize, values: &[f32]) -> Tensor {
        Tensor::from_vec([rows, values.len() / rows].into(), values.to_vec()).unwrap()
    }

    #[test]
    fn probabilities_are_ranked() {
        let found = top(&tensor(2, &[0.1, 0.7, 0.2, 0.5, 0.5, 0.0]), None, 2).unwrap();
        let classes: Vec<Vec<usize>> =
            found.iter().map(|row| row.iter().map(|class| class.class).collect()).collect();
        assert_eq!(classes, [[1, 2], [0, 1]]);
    }

    #[test]
    fn scores_are_ranked_only_when_classes_have_names() {
        let scores = tensor(1, &[-3.0, 8.0]);
        assert_eq!(top(&scores, None, 1), None);
        let labels = ["cat".to_owned(), "dog".to_owned()];
        let found = top(&scores, Some(&labels), 1).unwrap();
        assert_eq!(found[0][0], Class { class: 1, label: Some("dog".into()), score: 8.0 });
        assert_eq!(top(&scores, Some(&labels[..1]), 1), None);
    }

    #[test]
    fn other_outputs_are_left_alone() {
        assert_eq!(top(&tensor(1, &[1.0]), None, 1), None);
        let integers = Tensor::from_vec([1, 2].into(), vec![0i64, 1]).unwrap();
        assert_eq!(top(&integers, None, 1), None);
        assert_eq!(top(&tensor(1, &[f32::NAN, 1.0]), None, 1), None);
    }
}
