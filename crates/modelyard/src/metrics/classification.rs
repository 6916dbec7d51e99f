//! Measures of classifiers, as scikit-learn defines them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::MetricError;

/// Counts answers as they come.
pub(crate) struct Classifier {
    classes: usize,
    /// For each k: examples whose class is among the k highest scores.
    hits: BTreeMap<usize, usize>,
    /// Row by row: the true class; in it, the class answered.
    confusion: Vec<usize>,
    /// Sum of -ln of what the true class got.
    surprise: f64,
    probabilities: bool,
    examples: usize,
}

/// How good a classifier is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Classification {
    /// Examples measured.
    pub(crate) examples: usize,
    /// Share of examples whose class has the highest score.
    pub(crate) accuracy: f64,
    /// For each k: share of examples whose class is among the k highest scores.
    pub(crate) top_k: BTreeMap<usize, f64>,
    /// Mean of -ln of the probability of the true class; where answers are probabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cross_entropy: Option<f64>,
    /// Mean over classes that occur, in truth or answers.
    pub(crate) macro_average: Average,
    /// Mean over classes, each by its number of examples.
    pub(crate) weighted_average: Average,
    /// Each class.
    pub(crate) classes: Vec<Class>,
    /// `confusion[truth][answer]`: examples.
    pub(crate) confusion: Vec<Vec<usize>>,
}

/// How well one class is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Class {
    /// Its name.
    pub(crate) label: String,
    /// Of the examples answered with this class, the share that is of it; 0 where there are none.
    pub(crate) precision: f64,
    /// Of the examples of this class, the share answered with it; 0 where there are none.
    pub(crate) recall: f64,
    /// Harmonic mean of precision and recall.
    pub(crate) f1: f64,
    /// Examples of this class.
    pub(crate) support: usize,
    /// Examples answered with this class.
    pub(crate) answered: usize,
}

/// Averages over classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Average {
    /// Of precision.
    pub(crate) precision: f64,
    /// Of recall.
    pub(crate) recall: f64,
    /// Of F1.
    pub(crate) f1: f64,
}

impl Classifier {
    /// Counts for so many classes, and these k.
    pub(crate) fn new(classes: usize, top: &[usize]) -> Classifier {
        Classifier {
            classes,
            hits: top.iter().map(|&k| (k, 0)).collect(),
            confusion: vec![0; classes * classes],
            surprise: 0.0,
            probabilities: true,
            examples: 0,
        }
    }

    /// Takes the scores of some examples, one for each class, and the true classes. Of equal
    /// scores the one of the lower class counts as higher.
    pub(crate) fn add(&mut self, scores: &[f32], truth: &[usize]) -> Result<(), MetricError> {
        let expected = self.classes;
        if Some(scores.len()) != truth.len().checked_mul(expected) {
            return Err(MetricError::Length { expected, found: scores.len() });
        }
        for (row, &class) in scores.chunks_exact(expected.max(1)).zip(truth) {
            let example = self.examples;
            if class >= expected {
                return Err(MetricError::NoClass { example, class, classes: expected });
            }
            if row.iter().any(|score| score.is_nan()) {
                return Err(MetricError::NotANumber(example));
            }
            self.count(row, class);
        }
        Ok(())
    }

    fn count(&mut self, row: &[f32], class: usize) {
        let score = row[class];
        let before = row[..class].iter().filter(|other| **other >= score).count();
        let rank = before + row[class + 1..].iter().filter(|other| **other > score).count();
        let highest = (0..row.len()).fold(0, |best, other| match row[other] > row[best] {
            true => other,
            false => best,
        });
        for (k, hits) in &mut self.hits {
            *hits += usize::from(rank < *k);
        }
        self.confusion[class * self.classes + highest] += 1;
        let sum: f64 = row.iter().copied().map(f64::from).sum();
        self.probabilities &=
            row.iter().all(|score| (0.0..=1.0).contains(score)) && (sum - 1.0).abs() < 1e-2;
        // As scikit-learn does: a probability of 0 counts as the least that a float can tell from
        // 1, or one example would outweigh all others.
        self.surprise -= f64::from(score.max(f32::EPSILON)).ln();
        self.examples += 1;
    }

    /// The measures. Labels are those of the classes; where some are missing, numbers stand in.
    pub(crate) fn finish(self, labels: &[String]) -> Classification {
        let share = |count: usize| count as f64 / self.examples.max(1) as f64;
        let label = |class: usize| labels.get(class).cloned().unwrap_or_else(|| class.to_string());
        let confusion: Vec<Vec<usize>> =
            self.confusion.chunks(self.classes.max(1)).map(<[usize]>::to_vec).collect();
        let classes: Vec<Class> =
            (0..self.classes).map(|class| measured(class, label(class), &confusion)).collect();
        let right: usize = (0..self.classes).map(|class| confusion[class][class]).sum();
        let occurs = |class: &Class| f64::from(u8::from(class.support + class.answered > 0));
        Classification {
            examples: self.examples,
            accuracy: share(right),
            top_k: self.hits.iter().map(|(&k, &hits)| (k, share(hits))).collect(),
            cross_entropy: (self.probabilities && self.examples > 0)
                .then(|| self.surprise / self.examples as f64),
            macro_average: average(&classes, occurs),
            weighted_average: average(&classes, |class| class.support as f64),
            classes,
            confusion,
        }
    }
}

fn measured(class: usize, label: String, confusion: &[Vec<usize>]) -> Class {
    let right = confusion[class][class];
    let support: usize = confusion[class].iter().sum();
    let answered: usize = confusion.iter().map(|row| row[class]).sum();
    let of = |whole: usize| if whole == 0 { 0.0 } else { right as f64 / whole as f64 };
    let f1 = match support + answered {
        0 => 0.0,
        both => 2.0 * right as f64 / both as f64,
    };
    Class { label, precision: of(answered), recall: of(support), f1, support, answered }
}

fn average(classes: &[Class], weight: impl Fn(&Class) -> f64) -> Average {
    let whole: f64 = classes.iter().map(&weight).sum();
    let of = |measure: fn(&Class) -> f64| match whole > 0.0 {
        true => classes.iter().map(|class| weight(class) * measure(class)).sum::<f64>() / whole,
        false => 0.0,
    };
    Average {
        precision: of(|class| class.precision),
        recall: of(|class| class.recall),
        f1: of(|class| class.f1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    /// Seven examples, and what scikit-learn 1.9.1 says of them.
    fn seven() -> Classification {
        #[rustfmt::skip]
        let scores = [
            0.7, 0.2, 0.1,  0.1, 0.8, 0.1,  0.3, 0.3, 0.4,  0.5, 0.4, 0.1,
            0.2, 0.2, 0.6,  0.25, 0.5, 0.25,  0.6, 0.3, 0.1,
        ];
        let truth = [0, 1, 1, 0, 2, 2, 1];
        let mut classifier = Classifier::new(3, &[1, 2]);
        // In two pieces, as batches come.
        classifier.add(&scores[..12], &truth[..4]).unwrap();
        classifier.add(&scores[12..], &truth[4..]).unwrap();
        classifier.finish(&["a".into(), "b".into(), "c".into()])
    }

    #[test]
    fn measures_are_those_of_scikit_learn() {
        let found = seven();
        near(found.accuracy, 0.571_428_571_428_571_4);
        near(found.top_k[&1], found.accuracy);
        // log_loss
        near(found.cross_entropy.unwrap(), 0.796_861_609_907_234_4);
        assert_eq!(found.confusion, [[2, 0, 0], [1, 1, 1], [0, 1, 1]]);
        // precision_recall_fscore_support
        let expected =
            [(0.666_666_67, 1.0, 0.8, 2), (0.5, 0.333_333_33, 0.4, 3), (0.5, 0.5, 0.5, 2)];
        for (class, (precision, recall, f1, support)) in found.classes.iter().zip(expected) {
            near(class.precision, precision);
            near(class.recall, recall);
            near(class.f1, f1);
            assert_eq!(class.support, support);
        }
        near(found.macro_average.precision, 0.555_555_555_555_555_5);
        near(found.macro_average.recall, 0.611_111_111_111_111);
        near(found.macro_average.f1, 0.566_666_666_666_666_8);
        near(found.weighted_average.precision, 0.547_619_047_619_047_6);
        near(found.weighted_average.recall, 0.571_428_571_428_571_4);
        near(found.weighted_average.f1, 0.542_857_142_857_142_9);
    }

    #[test]
    fn of_equal_scores_the_lower_class_is_higher() {
        // The third and the sixth have their class tied for second with a lower one: third.
        near(seven().top_k[&2], 5.0 / 7.0);
        let mut ties = Classifier::new(2, &[1]);
        ties.add(&[0.5, 0.5, 0.5, 0.5], &[0, 1]).unwrap();
        near(ties.finish(&[]).accuracy, 0.5);
    }

    #[test]
    fn classes_that_never_occur_do_not_count() {
        let mut classifier = Classifier::new(3, &[]);
        classifier.add(&[9.0, 1.0, -4.0, 1.0, 9.0, -4.0], &[0, 1]).unwrap();
        let found = classifier.finish(&[]);
        near(found.macro_average.f1, 1.0);
        assert_eq!(found.classes[2].label, "2");
        assert_eq!(found.cross_entropy, None);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        let mut classifier = Classifier::new(2, &[]);
        assert_eq!(classifier.add(&[f32::NAN, 0.0], &[0]), Err(MetricError::NotANumber(0)));
        assert!(classifier.add(&[0.0], &[0]).is_err());
        assert!(classifier.add(&[0.0, 1.0], &[2]).is_err());
        near(classifier.finish(&[]).accuracy, 0.0);
    }
}
