//! Runs all examples and takes the measures.

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use modelyard_train::data::{Batches, Examples, Order, Targets};

use super::super::local_model::{self, LocalModel};
use super::answers::{Answers, Head};
use super::classes::Mapping;
use super::{Args, Measures};
use crate::data::binding::{Binding, Rows};
use crate::data::{DataSet, Task};
use crate::exit::{Exit, ExitWith};
use crate::metrics::classification::Classifier;
use crate::metrics::regression::Regressor;
use crate::observe::progress::Progress;

/// The measures over these parts, and the time that took.
pub(super) fn measure(
    model: &LocalModel,
    data: &DataSet,
    parts: &[&dyn Examples],
    (args, progress): (&Args, &Progress),
) -> anyhow::Result<(Measures, Duration)> {
    let session = model.loaded.session.as_ref();
    let signature = session.signature();
    let head = Head::find(signature, &model.labels, args.output.as_deref());
    let head = head.exit_with(Exit::Usage)?;
    let binding = Binding::new(&data.inputs, &signature.inputs).exit_with(Exit::Usage)?;
    let size = match binding.rows() {
        Rows::Free => args.batch,
        Rows::Fixed(rows) => rows,
        Rows::Single => 1,
    };
    let batches = parts.iter().map(|part| part.len().div_ceil(size)).sum::<usize>();
    let mut bar = progress.bar("evaluating", batches as u64);
    let mut meter = Meter::new(&data.task, model, &head, args).exit_with(Exit::Usage)?;
    let start = Instant::now();
    for part in parts {
        std::thread::scope(|scope| -> anyhow::Result<()> {
            for batch in Batches::start(scope, *part, Order::Sequential, (size, 0)) {
                let batch = batch?;
                let inputs = binding.tensors(&batch).exit_with(Exit::Usage)?;
                let outputs = local_model::run(session, &inputs, &[head.output])?;
                let output = outputs.first().context("the engine gave no output")?;
                let rows = match binding.rows() {
                    Rows::Free => batch.len(),
                    Rows::Fixed(rows) => rows,
                    Rows::Single => 1,
                };
                let answers = Answers::of(output, rows, &head)?.first(batch.len());
                meter.add(answers, &batch.targets).exit_with(Exit::Usage)?;
                bar.step();
            }
            Ok(())
        })?;
    }
    let measures = meter.finish()?;
    Ok((measures, start.elapsed()))
}

/// What takes the measures of one task.
enum Meter<'a> {
    /// The number of scores is known with the first answers.
    Classes {
        labels: &'a [String],
        model: Option<&'a [String]>,
        top: Vec<usize>,
        seen: Seen,
    },
    Values(Regressor, usize),
}

/// Answers of a classifier so far.
enum Seen {
    Nothing,
    Scores(Mapping, Classifier),
    /// One number an example for the second of two classes, and the truth: whether the numbers
    /// are probabilities is known at the end.
    Second(Vec<f32>, Vec<usize>),
}

impl<'a> Meter<'a> {
    fn new(
        task: &'a Task,
        model: &'a LocalModel,
        head: &Head,
        args: &Args,
    ) -> anyhow::Result<Meter<'a>> {
        match task {
            Task::Classification { labels } => Ok(Meter::Classes {
                labels,
                model: model.labels.get(head.output).and_then(|labels| labels.as_deref()),
                top: args.top_k.iter().map(|k| k.get()).collect(),
                seen: Seen::Nothing,
            }),
            Task::Regression { width } => Ok(Meter::Values(Regressor::new(*width), *width)),
            Task::Unlabelled => Err(anyhow!(
                "the data has no targets to measure answers by (--target names one, --targets a \
                 file of them)"
            )),
        }
    }

    fn add(&mut self, answers: Answers, targets: &Targets) -> anyhow::Result<()> {
        match (self, targets) {
            (Meter::Classes { labels, model, top, seen }, Targets::Classes(truth)) => {
                if matches!(seen, Seen::Nothing) {
                    *seen = Seen::start(labels, *model, top, answers.width)?;
                }
                match seen {
                    Seen::Scores(mapping, classifier) => {
                        let truth: Vec<usize> =
                            truth.iter().map(|&class| mapping.classes[class]).collect();
                        classifier.add(&answers.values, &truth)?;
                    }
                    Seen::Second(scores, classes) => {
                        scores.extend(answers.values);
                        classes.extend(truth);
                    }
                    Seen::Nothing => {}
                }
                Ok(())
            }
            (Meter::Values(regressor, width), Targets::Values(truth)) => {
                if answers.width != *width {
                    let found = answers.width;
                    return Err(anyhow!(
                        "the model gives {found} values an example, the data has {width}"
                    ));
                }
                Ok(regressor.add(&answers.values, truth.as_floats()?)?)
            }
            _ => Err(anyhow!("the targets changed their kind")),
        }
    }

    fn finish(self) -> anyhow::Result<Measures> {
        Ok(match self {
            Meter::Values(regressor, _) => Measures::Regression(regressor.finish()),
            Meter::Classes { labels, seen, .. } => Measures::Classification(match seen {
                Seen::Nothing => return Err(anyhow!("there are no examples")),
                Seen::Scores(mapping, classifier) => classifier.finish(&mapping.labels),
                Seen::Second(scores, truth) => {
                    let mut classifier = Classifier::new(2, &[1]);
                    classifier.add(&both(&scores), &truth)?;
                    classifier.finish(labels)
                }
            }),
        })
    }
}

impl Seen {
    fn start(
        labels: &[String],
        model: Option<&[String]>,
        top: &[usize],
        width: usize,
    ) -> anyhow::Result<Seen> {
        if width == 1 && labels.len() <= 2 {
            return match labels.len() {
                2 => Ok(Seen::Second(Vec::new(), Vec::new())),
                _ => Err(anyhow!("the data has one class only, so there is nothing to tell apart")),
            };
        }
        let mapping = Mapping::new(labels, model, width)?;
        // Among as many as there are, every class is.
        let top: Vec<usize> = top.iter().copied().filter(|&k| k == 1 || k < width).collect();
        let classifier = Classifier::new(width, &top);
        Ok(Seen::Scores(mapping, classifier))
    }
}

/// The probabilities of both classes from a number for the second: a probability, or a logit if
/// any of the numbers is outside of 0..1.
fn both(scores: &[f32]) -> Vec<f32> {
    let probabilities = scores.iter().all(|score| (0.0..=1.0).contains(score) || score.is_nan());
    let second = |score: f32| if probabilities { score } else { 1.0 / (1.0 + (-score).exp()) };
    scores.iter().map(|&score| second(score)).flat_map(|second| [1.0 - second, second]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_for_two_classes_is_a_probability_or_a_logit() {
        assert_eq!(both(&[0.25, 1.0]), [0.75, 0.25, 0.0, 1.0]);
        assert_eq!(both(&[0.0, 20.0])[..2], [0.5, 0.5]);
    }
}
