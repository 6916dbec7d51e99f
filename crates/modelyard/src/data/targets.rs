//! What models should answer: from what a source says to classes or values.

use std::cmp::Ordering;
use std::collections::HashMap;

use anyhow::bail;
use modelyard_train::Array;
use modelyard_train::data::Targets;

use super::{Task, TaskKind};

/// Most classes: beyond this, targets are something else.
const CLASSES_MAX: usize = 65_536;

/// Targets as a source has them.
#[derive(Debug, PartialEq)]
pub(super) enum Raw {
    /// Whole numbers: classes, unless values are asked for.
    Integers(Vec<i64>),
    /// Texts: classes.
    Texts(Vec<String>),
    /// Rows of so many values.
    Values(usize, Vec<f32>),
    /// None.
    Unknown,
}

/// The targets of all parts of a data set, and the task they make. Parts share their classes.
pub(super) fn decide(
    parts: Vec<Raw>,
    task: Option<TaskKind>,
) -> anyhow::Result<(Vec<Targets>, Task)> {
    let parts: Vec<Raw> =
        parts.into_iter().map(|part| asked_for(part, task)).collect::<anyhow::Result<_>>()?;
    if parts.iter().all(|part| *part == Raw::Unknown) {
        return Ok((parts.iter().map(|_| Targets::Unknown).collect(), Task::Unlabelled));
    }
    if let Some(Raw::Values(width, _)) = parts.first() {
        let width = *width;
        let values = parts.into_iter().map(|part| values(part, width)).collect::<Result<_, _>>()?;
        return Ok((values, Task::Regression { width }));
    }
    classes(parts)
}

/// The targets under the task that was asked for, where they allow it.
fn asked_for(raw: Raw, task: Option<TaskKind>) -> anyhow::Result<Raw> {
    Ok(match (raw, task) {
        (_, Some(TaskKind::Unlabelled)) => Raw::Unknown,
        (Raw::Integers(values), Some(TaskKind::Regression)) => {
            Raw::Values(1, values.into_iter().map(|value| value as f32).collect())
        }
        (Raw::Texts(texts), Some(TaskKind::Regression)) => {
            let values = texts.iter().map(|text| text.trim().parse());
            match values.collect() {
                Ok(values) => Raw::Values(1, values),
                Err(_) => bail!("regression needs numbers as targets, found text"),
            }
        }
        (Raw::Values(1, values), Some(TaskKind::Classification)) => {
            if values.iter().any(|value| value.fract() != 0.0 || value.abs() > 1e9) {
                bail!("classes must be texts or whole numbers, found fractions");
            }
            Raw::Integers(values.into_iter().map(|value| value as i64).collect())
        }
        (Raw::Values(width, values), Some(TaskKind::Classification)) => {
            let rows: Option<Vec<i64>> = values.chunks_exact(width.max(1)).map(hot).collect();
            match rows {
                Some(rows) => Raw::Integers(rows),
                None => bail!("rows of {width} targets are no classes: they are not one-hot"),
            }
        }
        (raw, _) => raw,
    })
}

/// The position of the only one among zeros.
fn hot(row: &[f32]) -> Option<i64> {
    let ones = row.iter().filter(|value| **value == 1.0).count();
    let zeros = row.iter().filter(|value| **value == 0.0).count();
    let position = row.iter().position(|value| *value == 1.0)?;
    (ones == 1 && zeros == row.len() - 1).then_some(i64::try_from(position).ok()?)
}

fn values(part: Raw, width: usize) -> anyhow::Result<Targets> {
    match part {
        Raw::Values(found, values) if found == width => {
            let rows = values.len() / width.max(1);
            Ok(Targets::Values(Array::floats([rows, width], values)))
        }
        _ => bail!("the parts of the data have targets of different kinds"),
    }
}

fn classes(parts: Vec<Raw>) -> anyhow::Result<(Vec<Targets>, Task)> {
    let mut names: Vec<Vec<String>> = Vec::new();
    for part in parts {
        names.push(match part {
            Raw::Integers(values) => values.iter().map(i64::to_string).collect(),
            Raw::Texts(texts) => texts,
            _ => bail!("the parts of the data have targets of different kinds"),
        });
    }
    let labels = sorted(names.iter().flatten())?;
    let number: HashMap<&str, usize> =
        labels.iter().enumerate().map(|(number, label)| (label.as_str(), number)).collect();
    let targets = names
        .iter()
        .map(|part| Targets::Classes(part.iter().map(|name| number[name.as_str()]).collect()));
    let targets = targets.collect();
    Ok((targets, Task::Classification { labels }))
}

/// The different names in order: numbers by value, then texts.
pub(super) fn sorted<'a>(names: impl Iterator<Item = &'a String>) -> anyhow::Result<Vec<String>> {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        if !seen.contains(name.as_str()) {
            if seen.len() == CLASSES_MAX {
                bail!("the targets have more than {CLASSES_MAX} classes (try --task regression)");
            }
            seen.insert(name.as_str());
        }
    }
    let mut labels: Vec<String> = seen.into_iter().map(str::to_owned).collect();
    labels.sort_by(|a, b| by_name(a, b));
    Ok(labels)
}

/// Numbers by value, then texts.
fn by_name(a: &str, b: &str) -> Ordering {
    match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(x), Ok(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Raw {
        Raw::Texts(texts.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn parts_share_classes_in_the_order_of_numbers_and_then_texts() {
        let parts = vec![texts(&["10", "9", "b"]), texts(&["a", "9"])];
        let (targets, task) = decide(parts, None).unwrap();
        let labels = ["9", "10", "a", "b"].map(str::to_owned).to_vec();
        assert_eq!(task, Task::Classification { labels });
        assert_eq!(targets, [Targets::Classes(vec![1, 0, 3]), Targets::Classes(vec![2, 0])]);
    }

    #[test]
    fn the_task_asked_for_wins_where_it_can() {
        let regression = decide(vec![Raw::Integers(vec![3, -1])], Some(TaskKind::Regression));
        let (targets, task) = regression.unwrap();
        assert_eq!(task, Task::Regression { width: 1 });
        assert_eq!(targets, [Targets::Values(Array::floats([2, 1], vec![3.0, -1.0]))]);
        let hot = Raw::Values(3, vec![0., 0., 1., 1., 0., 0.]);
        let (targets, _) = decide(vec![hot], Some(TaskKind::Classification)).unwrap();
        assert_eq!(targets, [Targets::Classes(vec![1, 0])]);
        let fractions = Raw::Values(1, vec![0.5]);
        assert!(decide(vec![fractions], Some(TaskKind::Classification)).is_err());
        assert!(decide(vec![texts(&["x"])], Some(TaskKind::Regression)).is_err());
    }

    #[test]
    fn parts_of_different_kinds_are_refused() {
        assert!(decide(vec![texts(&["x"]), Raw::Values(1, vec![0.5])], None).is_err());
        assert!(
            decide(vec![Raw::Values(2, vec![0.5; 2]), Raw::Values(1, vec![0.5])], None).is_err()
        );
    }
}
