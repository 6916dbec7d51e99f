//! Measures as tables for people.

use std::fmt::Write as _;

use super::classification::{Average, Classification};
use super::regression::{Errors, Regression};

/// Most classes whose confusion matrix fits on a screen.
const MATRIX_MAX: usize = 20;

/// A classifier's measures.
pub(crate) fn classification(found: &Classification) -> String {
    let right: usize = (0..found.confusion.len()).map(|class| found.confusion[class][class]).sum();
    let mut summary = vec![vec![
        "accuracy".to_owned(),
        percent(found.accuracy),
        format!("{right} of {}", found.examples),
    ]];
    for (k, share) in found.top_k.iter().filter(|(k, _)| **k > 1) {
        summary.push(vec![format!("top-{k}"), percent(*share)]);
    }
    if let Some(cross_entropy) = found.cross_entropy {
        summary.push(vec!["cross-entropy".to_owned(), format!("{cross_entropy:.4}")]);
    }
    let mut text = columns(&summary);
    let _ = write!(text, "\n{}", columns(&class_rows(found)));
    if found.classes.len() <= MATRIX_MAX {
        let _ = write!(text, "\n{}", columns(&matrix_rows(found)));
    }
    text
}

fn class_rows(found: &Classification) -> Vec<Vec<String>> {
    let heading = ["class", "precision", "recall", "F1", "examples"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let row = |label: &str, precision: f64, recall: f64, f1: f64, support: usize| {
        let numbers = [precision, recall, f1].map(|number| format!("{number:.4}"));
        let mut row = vec![label.to_owned()];
        row.extend(numbers);
        row.push(support.to_string());
        row
    };
    for class in &found.classes {
        let label = shown(&class.label);
        rows.push(row(&label, class.precision, class.recall, class.f1, class.support));
    }
    let average = |label, average: &Average| {
        row(label, average.precision, average.recall, average.f1, found.examples)
    };
    rows.push(average("mean of classes", &found.macro_average));
    rows.push(average("mean of examples", &found.weighted_average));
    rows
}

fn matrix_rows(found: &Classification) -> Vec<Vec<String>> {
    let labels = || found.classes.iter().map(|class| shown(&class.label));
    let mut rows = vec![vec!["truth \\ answer".to_owned()]];
    rows[0].extend(labels());
    for (label, counts) in labels().zip(&found.confusion) {
        let mut row = vec![label];
        // Zeros as dots: what is confused stands out.
        row.extend(counts.iter().map(|&count| match count {
            0 => "·".to_owned(),
            count => count.to_string(),
        }));
        rows.push(row);
    }
    rows
}

/// Measures of a regression.
pub(crate) fn regression(found: &Regression) -> String {
    let heading = ["output", "MSE", "RMSE", "MAE", "R²"].map(str::to_owned).to_vec();
    let row = |name: String, errors: &Errors| {
        let mut row = vec![name];
        row.extend([errors.mse, errors.rmse, errors.mae].map(significant));
        row.push(errors.r2.map_or("-".to_owned(), |r2| format!("{r2:.4}")));
        row
    };
    let mut rows = vec![heading];
    if found.outputs.len() > 1 {
        let outputs = found.outputs.iter().enumerate();
        rows.extend(outputs.map(|(number, errors)| row(number.to_string(), errors)));
    }
    rows.push(row("all".to_owned(), &found.overall));
    columns(&rows)
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Four significant digits, whatever the size.
fn significant(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => format!("{value:.3e}"),
        size if size >= 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    }
}

/// A label that does not break the table.
fn shown(label: &str) -> String {
    const LONGEST: usize = 24;
    let text: String = label.chars().filter(|c| !c.is_control()).collect();
    match text.chars().nth(LONGEST) {
        None => text,
        Some(_) => text.chars().take(LONGEST - 1).chain(['…']).collect(),
    }
}

/// Rows with their cells under each other: the first column to the left, numbers to the right.
fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = width(column).unwrap_or(0) - cell.chars().count();
            let spaces = " ".repeat(pad);
            match column {
                0 => line.push_str(&format!("{cell}{spaces}")),
                _ => line.push_str(&format!("  {spaces}{cell}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::classification::Classifier;
    use super::super::regression::Regressor;
    use super::*;

    #[test]
    fn a_classifier_as_a_table() {
        let mut classifier = Classifier::new(2, &[1, 2]);
        classifier.add(&[0.75, 0.25, 0.25, 0.75, 0.75, 0.25], &[0, 1, 1]).unwrap();
        let found = classifier.finish(&["cat".into(), "dog".into()]);
        let expected = "\
accuracy        66.67 %  2 of 3
top-2          100.00 %
cross-entropy    0.6539

class             precision  recall      F1  examples
cat                  0.5000  1.0000  0.6667         1
dog                  1.0000  0.5000  0.6667         2
mean of classes      0.7500  0.7500  0.6667         3
mean of examples     0.8333  0.6667  0.6667         3

truth \\ answer  cat  dog
cat               1    ·
dog               1    1
";
        assert_eq!(classification(&found), expected);
    }

    #[test]
    fn a_regression_as_a_table() {
        let mut regressor = Regressor::new(1);
        regressor.add(&[1.0, 3.0], &[1.5, 2.0]).unwrap();
        let expected = "\
output     MSE    RMSE     MAE       R²
all     0.6250  0.7906  0.7500  -9.0000
";
        assert_eq!(regression(&regressor.finish()), expected);
    }

    #[test]
    fn numbers_of_any_size_and_long_labels_fit() {
        assert_eq!(significant(12_345_678.0), "1.235e7");
        assert_eq!(significant(0.0), "0.0000");
        assert_eq!(significant(4321.56), "4321.6");
        assert_eq!(shown(&"x".repeat(30)).chars().count(), 24);
    }
}
