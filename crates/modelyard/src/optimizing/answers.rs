//! What a model answers, how right that is, and how like another model's it is.

use std::sync::Arc;

use anyhow::{Context, bail};
use modelyard_engine::Session;
use modelyard_serving::Labels;
use modelyard_train::data::Targets;
use serde::Serialize;

use super::sample::Sample;
use crate::commands::evaluate::answers::{Answers, Head};
use crate::commands::evaluate::classes::Mapping;
use crate::commands::local_model;
use crate::data::Task;
use crate::exit::{Exit, ExitWith};

/// Most numbers of all answers of a model: 512 MiB of them.
const NUMBERS_MOST: usize = 1 << 27;

/// What a model answers to a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answered {
    /// Row by row, an example each.
    pub(crate) values: Vec<f32>,
    /// Numbers in a row.
    pub(crate) width: usize,
    /// Whether a row is a sequence or a picture: it has no highest score.
    pub(crate) is_flattened: bool,
    /// What should have been answered: the position of a score.
    pub(crate) classes: Vec<usize>,
    /// What should have been answered: numbers, as many as `values`.
    pub(crate) truth: Vec<f32>,
}

/// Which output answers, and what is right.
pub(crate) struct Question<'a> {
    head: Head,
    task: &'a Task,
    labels: Option<Arc<[String]>>,
}

impl<'a> Question<'a> {
    /// The output of this name, or the one that classifies, or the first of floats.
    pub(crate) fn new(
        session: &dyn Session,
        (task, labels): (&'a Task, Labels),
        wanted: Option<&str>,
    ) -> anyhow::Result<Question<'a>> {
        let head = Head::find(session.signature(), &labels, wanted).exit_with(Exit::Usage)?;
        let labels = labels.into_iter().nth(head.output).flatten();
        Ok(Question { head, task, labels })
    }

    /// Asks a model that has the same outputs.
    pub(crate) fn ask(
        &self,
        session: &dyn Session,
        sample: &Sample<'_>,
        mut step: impl FnMut(),
    ) -> anyhow::Result<Answered> {
        let mut answered = Answered::default();
        let mut mapping: Option<Mapping> = None;
        sample.each(|inputs| {
            let outputs = local_model::run(session, &inputs.tensors, &[self.head.output])?;
            let output = outputs.first().context("the engine gave no output")?;
            let is_classified = matches!(self.task, Task::Classification { .. });
            let answers = match is_classified {
                true => Answers::of(output, inputs.rows, &self.head),
                false => Answers::whole(output, inputs.rows, &self.head),
            }?;
            let answers = answers.first(inputs.count);
            // The first dimension may be left out where there is one example.
            answered.is_flattened |=
                output.shape().iter().skip(1).filter(|dim| **dim > 1).count() > 1;
            if answered.values.len() + answers.values.len() > NUMBERS_MOST {
                bail!(
                    "the answers are more than {NUMBERS_MOST} numbers; compare on fewer examples \
                     (--samples)"
                );
            }
            match (&inputs.targets, self.task) {
                (Targets::Classes(classes), Task::Classification { labels }) => {
                    if mapping.is_none() {
                        // One number for the second of two classes is a score of both.
                        let is_of_two = answers.width == 1 && labels.len() == 2;
                        let scores = if is_of_two { 2 } else { answers.width };
                        let found = Mapping::new(labels, self.labels.as_deref(), scores);
                        mapping = Some(found.exit_with(Exit::Usage)?);
                    }
                    if let Some(mapping) = &mapping {
                        answered
                            .classes
                            .extend(classes.iter().map(|&class| mapping.classes[class]));
                    }
                }
                (Targets::Values(values), _) => answered.truth.extend(values.as_floats()?),
                _ => {}
            }
            if answered.width != 0 && answered.width != answers.width {
                bail!(
                    "the model gives {} numbers an example, then {}",
                    answered.width,
                    answers.width
                );
            }
            answered.width = answers.width;
            answered.values.extend(answers.values);
            step();
            Ok(())
        })?;
        if !answered.truth.is_empty() && answered.truth.len() != answered.values.len() {
            bail!("the model gives {} values an example, the data has others", answered.width);
        }
        Ok(answered)
    }
}

impl Answered {
    /// Whether an answer is a row of scores, of which one is the highest.
    pub(crate) fn has_scores(&self) -> bool {
        self.width > 1 && !self.is_flattened
    }

    /// The cosine between each answer and that of another model.
    pub(crate) fn cosines(&self, other: &Answered) -> impl Iterator<Item = f64> {
        let width = self.width.max(1);
        let rows = self.values.chunks_exact(width).zip(other.values.chunks_exact(width));
        rows.map(|(one, two)| cosine(one, two))
    }

    /// Number of examples.
    pub(crate) fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// The highest score of each example: the first, where there are several.
    pub(crate) fn top(&self) -> Vec<usize> {
        let rows = self.values.chunks_exact(self.width.max(1));
        rows.map(|row| {
            let mut best = 0;
            for (index, score) in row.iter().enumerate() {
                if *score > row[best] {
                    best = index;
                }
            }
            best
        })
        .collect()
    }

    /// Whether each example was answered right. Empty where there are no classes.
    pub(crate) fn right(&self) -> Vec<bool> {
        if self.width == 1 {
            return self.right_of_two();
        }
        self.top().into_iter().zip(&self.classes).map(|(found, class)| found == *class).collect()
    }

    /// One number for the second of two classes: a probability, or a logit if any is outside of 0..1.
    fn right_of_two(&self) -> Vec<bool> {
        let is_probability = |score: &f32| (0.0..=1.0).contains(score);
        let border = if self.values.iter().all(is_probability) { 0.5 } else { 0.0 };
        let found = self.values.iter().map(|score| usize::from(*score > border));
        found.zip(&self.classes).map(|(found, class)| found == *class).collect()
    }

    /// How good the answers are: the part that is right, or the mean squared error. `None` where the
    /// data does not say.
    pub(crate) fn score(&self) -> Option<Score> {
        let right = self.right();
        if !right.is_empty() {
            let count = right.iter().filter(|right| **right).count();
            return Some(Score::Accuracy(count as f64 / right.len() as f64));
        }
        if self.truth.is_empty() {
            return None;
        }
        let squares = self.values.iter().zip(&self.truth).map(|(x, y)| f64::from(x - y).powi(2));
        Some(Score::MeanSquaredError(squares.sum::<f64>() / self.truth.len() as f64))
    }
}

/// How good answers are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Score {
    /// The part of the examples that is answered right.
    Accuracy(f64),
    /// The mean of the squared differences.
    MeanSquaredError(f64),
}

/// How alike the answers of two models are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Agreement {
    /// Examples that were answered.
    pub(crate) examples: usize,
    /// The part for which the highest score is the same; none for single numbers.
    pub(crate) top_1: Option<f64>,
    /// The mean of the cosines between the rows of both.
    pub(crate) cosine: f64,
    /// Signal to noise in decibels; none where both are the same.
    pub(crate) sqnr_db: Option<f64>,
}

impl Agreement {
    /// Between the answers of the original and those of another model.
    pub(crate) fn between(original: &Answered, other: &Answered) -> Agreement {
        let same = original.top().into_iter().zip(other.top()).filter(|(one, two)| one == two);
        let examples = original.len();
        let sqnr = modelyard_optimize::sqnr(&original.values, &other.values);
        Agreement {
            examples,
            top_1: original.has_scores().then(|| same.count() as f64 / examples.max(1) as f64),
            cosine: original.cosines(other).sum::<f64>() / examples.max(1) as f64,
            sqnr_db: sqnr.is_finite().then_some(sqnr),
        }
    }
}

fn cosine(one: &[f32], two: &[f32]) -> f64 {
    let dot = |one: &[f32], two: &[f32]| {
        one.iter().zip(two).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>()
    };
    let lengths = (dot(one, one) * dot(two, two)).sqrt();
    if lengths == 0.0 { f64::from(u8::from(one == two)) } else { dot(one, two) / lengths }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(values: &[f32], width: usize, classes: &[usize]) -> Answered {
        Answered {
            values: values.to_vec(),
            width,
            classes: classes.to_vec(),
            ..Answered::default()
        }
    }

    #[test]
    fn right_answers_and_agreement() {
        let one = answered(&[0.9, 0.1, 0.2, 0.8], 2, &[0, 0]);
        let two = answered(&[0.4, 0.6, 0.2, 0.8], 2, &[0, 0]);
        assert_eq!(one.right(), [true, false]);
        assert_eq!(one.score(), Some(Score::Accuracy(0.5)));
        let agreement = Agreement::between(&one, &two);
        assert_eq!((agreement.examples, agreement.top_1), (2, Some(0.5)));
        assert!(agreement.cosine > 0.7 && agreement.cosine < 1.0);
        assert_eq!(Agreement::between(&one, &one).sqnr_db, None);
        assert_eq!(answered(&[0.2, 0.7], 1, &[0, 0]).right(), [true, false]);
        assert_eq!(answered(&[-0.2, 0.3], 1, &[0, 1]).right(), [true, true]);
    }
}
