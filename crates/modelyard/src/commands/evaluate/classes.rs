//! Which class of the data is which score of the model.

use anyhow::bail;

/// Classes of the data among those of the model.
#[derive(Debug, PartialEq)]
pub(crate) struct Mapping {
    /// For each class of the data, the position of its score.
    pub(crate) classes: Vec<usize>,
    /// Names of all scores.
    pub(crate) labels: Vec<String>,
}

impl Mapping {
    /// By name where the model names its classes; by number where the data's are numbers of
    /// scores; else by position, where there are as many of both.
    pub(crate) fn new(
        data: &[String],
        model: Option<&[String]>,
        width: usize,
    ) -> anyhow::Result<Mapping> {
        let model = model.filter(|labels| labels.len() == width);
        if let Some(labels) = model {
            let position = |label: &String| {
                let exact = labels.iter().position(|other| other == label);
                let alike = |other: &String| other.trim().eq_ignore_ascii_case(label.trim());
                exact.or_else(|| labels.iter().position(alike))
            };
            let found: Vec<Option<usize>> = data.iter().map(position).collect();
            if let Some(classes) = found.iter().copied().collect() {
                return Ok(Mapping { classes, labels: labels.to_vec() });
            }
            if found.iter().any(Option::is_some) || numbers(data, width).is_none() {
                let missing = data.iter().zip(&found).filter(|(_, found)| found.is_none());
                let missing: Vec<&str> =
                    missing.map(|(label, _)| label.as_str()).take(10).collect();
                bail!(
                    "the model knows no class '{}', it has '{}'",
                    missing.join("', '"),
                    labels.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("', '")
                );
            }
        }
        if let Some(classes) = numbers(data, width) {
            let number = |class: usize| class.to_string();
            let labels = model.map_or_else(|| (0..width).map(number).collect(), <[_]>::to_vec);
            return Ok(Mapping { classes, labels });
        }
        if data.len() == width {
            return Ok(Mapping { classes: (0..width).collect(), labels: data.to_vec() });
        }
        bail!("the model gives {width} scores, but the data has {} classes", data.len())
    }
}

/// The labels as positions, if all are.
fn numbers(labels: &[String], width: usize) -> Option<Vec<usize>> {
    labels.iter().map(|label| label.parse().ok().filter(|number| *number < width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(data: &[&str], model: Option<&[&str]>, width: usize) -> anyhow::Result<Vec<usize>> {
        let owned = |labels: &[&str]| labels.iter().map(|&l| l.to_owned()).collect::<Vec<String>>();
        let model = model.map(owned);
        Ok(Mapping::new(&owned(data), model.as_deref(), width)?.classes)
    }

    #[test]
    fn names_come_before_numbers_and_numbers_before_positions() {
        let animals: Option<&[&str]> = Some(&["dog", "Cat", "2"]);
        assert_eq!(classes(&["cat", "dog"], animals, 3).unwrap(), [1, 0]);
        assert_eq!(classes(&["0", "1"], animals, 3).unwrap(), [0, 1]);
        assert_eq!(classes(&["0", "3"], None, 4).unwrap(), [0, 3]);
        assert_eq!(classes(&["1", "2"], None, 2).unwrap(), [0, 1]);
        assert_eq!(classes(&["a", "b"], None, 2).unwrap(), [0, 1]);
    }

    #[test]
    fn classes_that_the_model_does_not_know_are_named() {
        let error = classes(&["cat", "cow"], Some(&["dog", "cat"]), 2).unwrap_err().to_string();
        assert_eq!(error, "the model knows no class 'cow', it has 'dog', 'cat'");
        let error = classes(&["a", "b"], None, 3).unwrap_err().to_string();
        assert_eq!(error, "the model gives 3 scores, but the data has 2 classes");
    }
}
