//! Decides whether the answers of a converted model agree with what they should be.

use anyhow::{Context as _, bail};
use modelyard_convert::verify::{Agreement, compare, sensitivity, widened};
use modelyard_convert::{SourceModel, Tolerance};
use modelyard_engine::Session;
use modelyard_tensor::{DataType, Signature, Tensor};
use serde::Serialize;

use crate::commands::local_model;

/// Inputs and what the outputs should be.
pub(super) struct Question {
    pub(super) inputs: Vec<Tensor>,
    pub(super) answers: Vec<Tensor>,
}

/// One thing that the result was compared with.
#[derive(Serialize)]
pub(in crate::commands) struct Leg {
    /// With what.
    pub(super) against: String,
    /// How many sets of inputs.
    pub(super) trials: usize,
    /// Of those, how many were allowed more than the tolerance: rounding errors of the inputs, or
    /// another set of the framework's own kernels, move their answers by more.
    pub(super) sensitive: usize,
    /// The largest differences: of floats and of integers, as far as there are both.
    pub(super) worst: Vec<Worst>,
    /// Share of elements that may be further apart, in percent.
    pub(super) outliers_percent: f64,
}

/// The largest difference of all outputs of a kind.
#[derive(Clone, Copy, Serialize)]
pub(in crate::commands) struct Worst {
    /// Whether it is of integers; else it is relative to the largest magnitude in the output.
    pub(super) integers: bool,
    pub(super) difference: f64,
    /// What was allowed.
    pub(super) allowed: f64,
}

/// Which way a model went: into ONNX, which an engine runs, or out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Direction {
    /// The result runs in the engine.
    Convert,
    /// The source runs in the engine; the result is evaluated by its format's definitions.
    Export,
}

impl Direction {
    /// What the engine runs.
    pub(super) fn run(self) -> &'static str {
        match self {
            Direction::Convert => "the result",
            Direction::Export => "the ONNX model",
        }
    }

    /// What is evaluated by its own definitions.
    pub(super) fn evaluated(self) -> &'static str {
        match self {
            Direction::Convert => "the source",
            Direction::Export => "the result",
        }
    }

    /// What the result is wrong against.
    fn expected(self, against: &str) -> &str {
        match self {
            Direction::Convert => against,
            Direction::Export => "the ONNX model in an engine",
        }
    }

    /// Compares an evaluator's answer with an engine's.
    fn compare(
        self,
        evaluated: &Tensor,
        run: &Tensor,
        tolerance: &Tolerance,
        step: Option<f64>,
    ) -> Agreement {
        match self {
            Direction::Convert => compare(evaluated, run, tolerance, step),
            Direction::Export => compare(run, evaluated, tolerance, step),
        }
    }
}

/// A result that is judged.
pub(super) struct Judge<'a> {
    pub(super) source: &'a dyn SourceModel,
    pub(super) signature: &'a Signature,
    /// By output.
    pub(super) tolerances: Vec<Tolerance>,
    pub(super) direction: Direction,
    /// By output: the step of its quantization.
    pub(super) steps: Vec<Option<f64>>,
}

/// Where rounding errors of the inputs move answers by this part, so much more may a difference be.
const SENSITIVE: f64 = 4.0;
/// Answers that move by more than this part say nothing.
const CHAOTIC: f64 = 1e-2;

impl Judge<'_> {
    /// Runs the result on all inputs; an error where it is further off than allowed.
    pub(super) fn leg(
        &self,
        session: &dyn Session,
        against: &str,
        questions: &[Question],
    ) -> anyhow::Result<Leg> {
        let all: Vec<usize> = (0..self.signature.outputs.len()).collect();
        let mut leg = Leg {
            against: against.to_owned(),
            trials: questions.len(),
            sensitive: 0,
            worst: Vec::new(),
            outliers_percent: self.outliers() * 100.0,
        };
        let expected = self.direction.expected(against);
        let mut excused = None;
        for question in questions {
            let found = local_model::run(session, &question.inputs, &all).with_context(|| {
                format!("{} does not run, so nothing was written", self.direction.run())
            })?;
            // An output that nothing is compared with would be taken for right.
            let (asked, given) = (question.answers.len(), found.len());
            if asked != given {
                let run = self.direction.run();
                bail!("{run} has {given} outputs, {against} has {asked}, so nothing was written");
            }
            let mut agreements = self.agreements(question, &found, &[]);
            if let Some(mismatch) = self.mismatch(&agreements) {
                agreements = match self.among_kernels(question, &found)? {
                    Some(among) => among,
                    None => self.sensitive(question, &found)?.with_context(|| {
                        format!("the result disagrees with {expected} on {mismatch}")
                    })?,
                };
                leg.sensitive += 1;
                excused = Some(mismatch);
            }
            for (index, agreement) in agreements.iter().enumerate() {
                leg.count(self.is_integer(index), agreement);
            }
        }
        // What would excuse every trial proves nothing.
        match excused {
            Some(mismatch) if leg.sensitive == leg.trials => {
                bail!("the result disagrees with {expected} on {mismatch}")
            }
            _ => Ok(leg),
        }
    }

    /// What the comparison says when rounding errors of the inputs count; `None` where it says no,
    /// or nothing.
    fn sensitive(
        &self,
        question: &Question,
        found: &[Tensor],
    ) -> anyhow::Result<Option<Vec<Agreement>>> {
        let moves = sensitivity(self.source, &question.inputs, &question.answers)?;
        let agreements = self.agreements(question, found, &moves);
        let is_excused =
            self.mismatch(&agreements).is_none() && moves.iter().all(|part| *part <= CHAOTIC);
        Ok(is_excused.then_some(agreements))
    }

    /// What the comparison says when it counts how far the framework's own kernels are from each
    /// other; `None` where there is one set of them, or where the result is further off.
    fn among_kernels(
        &self,
        question: &Question,
        found: &[Tensor],
    ) -> anyhow::Result<Option<Vec<Agreement>>> {
        let Some(others) = self.source.evaluate_otherwise(&question.inputs)? else {
            return Ok(None);
        };
        let outputs = question.answers.iter().zip(found).zip(&others).enumerate();
        let compared = outputs.map(|(index, ((answer, found), other))| {
            let tolerance = widened(&self.tolerances[index], answer, other);
            self.direction.compare(answer, found, &tolerance, self.steps[index])
        });
        let agreements: Vec<Agreement> = compared.collect();
        Ok(self.mismatch(&agreements).is_none().then_some(agreements))
    }

    /// The largest share that any output allows.
    fn outliers(&self) -> f64 {
        self.tolerances.iter().map(|tolerance| tolerance.outliers).fold(0.0, f64::max)
    }

    fn is_integer(&self, output: usize) -> bool {
        let data_type = self.signature.outputs[output].data_type;
        let floats = [DataType::Fp16, DataType::Bf16, DataType::Fp32, DataType::Fp64];
        !floats.contains(&data_type)
    }

    /// By output; `moves` says what rounding errors of the inputs do to each.
    fn agreements(&self, question: &Question, found: &[Tensor], moves: &[f64]) -> Vec<Agreement> {
        let outputs = question.answers.iter().zip(found).enumerate();
        let compared = outputs.map(|(index, (answer, found))| {
            let more = moves.get(index).map_or(0.0, |part| SENSITIVE * part);
            let tolerance = self.tolerances[index];
            let tolerance = Tolerance { relative: tolerance.relative.max(more), ..tolerance };
            self.direction.compare(answer, found, &tolerance, self.steps[index])
        });
        compared.collect()
    }

    fn mismatch(&self, agreements: &[Agreement]) -> Option<String> {
        let (index, mismatch) = agreements
            .iter()
            .enumerate()
            .find_map(|(index, agreement)| Some((index, agreement.mismatch.as_ref()?)))?;
        let output = &self.signature.outputs[index].name;
        Some(format!("output '{output}', so it was not written: {mismatch}"))
    }
}

impl Leg {
    fn count(&mut self, integers: bool, agreement: &Agreement) {
        let new = Worst { integers, difference: agreement.worst, allowed: agreement.allowed };
        match self.worst.iter_mut().find(|worst| worst.integers == integers) {
            Some(worst) if worst.difference < new.difference => *worst = new,
            Some(_) => {}
            None => self.worst.push(new),
        }
    }

    /// `3 trials, worst difference 1.4e-6 (1e-4 allowed)`.
    pub(super) fn in_words(&self) -> String {
        let mut text = format!("{} {}", self.trials, plural(self.trials, "trial"));
        for worst in &self.worst {
            let (difference, allowed) = (worst.difference, worst.allowed);
            text.push_str(&match worst.integers {
                true => format!(
                    ", integers at most {difference} {} apart ({allowed} allowed)",
                    plural(difference as usize, "step")
                ),
                false => format!(
                    ", worst difference {} ({} allowed)",
                    two_digits(difference),
                    two_digits(allowed)
                ),
            });
        }
        if self.outliers_percent > 0.0 {
            text.push_str(&format!(", beyond it {:.3} % of elements", self.outliers_percent));
        }
        if self.sensitive > 0 {
            text.push_str(&format!(
                "; {} of them allowed more: rounding the inputs, or the framework's other kernels, move \
                 the answers so far",
                self.sensitive
            ));
        }
        text
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

/// `1e-4`, `7.9e-3`, `0`.
fn two_digits(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}").replace(".0e", "e") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_is_told_with_two_digits() {
        assert_eq!(two_digits(1e-4), "1e-4");
        let mut leg = Leg {
            against: "x".into(),
            trials: 3,
            sensitive: 0,
            worst: Vec::new(),
            outliers_percent: 0.0,
        };
        for (difference, allowed) in [(7.874_015e-7, 1e-4), (1e-8, 1e-4)] {
            let agreement = Agreement { worst: difference, allowed, mismatch: None };
            leg.count(false, &agreement);
        }
        leg.count(true, &Agreement { worst: 1.0, allowed: 4.0, mismatch: None });
        let words = "3 trials, worst difference 7.9e-7 (1e-4 allowed), integers at most 1 step \
                     apart (4 allowed)";
        assert_eq!(leg.in_words(), words);
    }
}
