//! What went wrong when the loss is no number any more, or too large.

use super::{TrainError, Trainer};
use crate::array::{Array, Data};
use crate::optimizer::Clip;
use crate::program::{Mode, Run};
use crate::workers::Workers;

impl Trainer {
    /// The error for a step with this loss: where numbers went wrong first, and what to try.
    pub(super) fn diverged(
        &mut self,
        loss: f64,
        inputs: Vec<(&str, Array)>,
        workers: &Workers,
    ) -> TrainError {
        let step = self.progress.step + 1;
        let bad_input = inputs.iter().find(|(_, array)| !is_finite(array)).map(|(name, _)| *name);
        if let Some(name) = bad_input {
            return TrainError::Diverged {
                step,
                what: format!("input '{name}' of the batch holds NaN or infinity"),
                advice: "look for missing values in the data".into(),
            };
        }
        let what = match self.bad_weight() {
            Some(name) => format!("weight '{name}' holds NaN or infinity since the step before"),
            None => self.first_bad_value(inputs, workers).unwrap_or_else(|| {
                let first = self.progress.first_loss.unwrap_or_default();
                format!("the loss is {loss:.3e}, it was {first:.3e} in the first step")
            }),
        };
        TrainError::Diverged { step, what, advice: self.advice() }
    }

    /// The first weight that holds no numbers.
    pub(super) fn bad_weight(&self) -> Option<String> {
        let mut names = self.weights.names().iter().enumerate();
        let bad = names.find(|(number, _)| !is_finite(self.weights.array(*number)));
        bad.map(|(_, name)| name.clone())
    }

    /// The first value on the way forward that holds no numbers.
    fn first_bad_value(&mut self, inputs: Vec<(&str, Array)>, workers: &Workers) -> Option<String> {
        let mode = Mode::Train { seed: self.step_seed() };
        let mut run =
            Run { buffers: &mut self.buffers, workers, mode, memory_limit_bytes: usize::MAX };
        let found =
            self.program.find_value(&self.plan, &self.weights, inputs, &mut run, &|array| {
                !is_finite(array)
            });
        found.map(|value| format!("{value}, holds NaN or infinity"))
    }

    /// What to try.
    pub(super) fn advice(&self) -> String {
        let rate = self.options.schedule.rate;
        let clip = match self.options.clip {
            Clip::None => ", clip gradients (--clip-norm 1)",
            _ => "",
        };
        format!("try a lower --learning-rate (now {rate}){clip}, or --normalize standard")
    }
}

fn is_finite(array: &Array) -> bool {
    match array.data() {
        Data::Floats(values) => values.iter().all(|value| value.is_finite()),
        _ => true,
    }
}
