//! Loss and accuracy of the weights on examples.

use super::{Score, Sums, TrainError, Trainer, named};
use crate::data::{Batches, Examples, Order};
use crate::program::{Mode, Run};
use crate::workers::Workers;

impl Trainer {
    /// The mean loss, without penalties, and the accuracy of the weights on some examples.
    pub fn evaluate(
        &mut self,
        examples: &dyn Examples,
        workers: &Workers,
    ) -> Result<Score, TrainError> {
        let mut sums = Sums::default();
        let size = self.options.batch;
        std::thread::scope(|scope| {
            for batch in Batches::start(scope, examples, Order::Sequential, (size, 0)) {
                let batch = batch?;
                let mut run = Run {
                    buffers: &mut self.buffers,
                    workers,
                    mode: Mode::Evaluate,
                    memory_limit_bytes: self.options.memory_limit_bytes,
                };
                let pass = self.program.forward(
                    &self.evaluation,
                    &self.weights,
                    named(&batch),
                    &mut run,
                )?;
                let prediction = pass.value(self.objective.target());
                let graded = self.objective.grade(prediction, &batch.targets)?;
                let correct = self.objective.correct(prediction, &batch.targets);
                sums.add(graded.loss, correct, batch.len());
                pass.recycle(&mut self.buffers);
            }
            Ok(sums.score())
        })
    }
}
