//! The loop: batches, steps, epochs.
//!
//! | module | holds |
//! |---|---|
//! | `mod` | [`Trainer`]: one run |
//! | `options` | [`Options`]: how to train |
//! | `objective` | which value of the graph is graded, and by which loss |
//! | `evaluate` | loss and accuracy of weights on examples |
//! | `diverged` | what went wrong when the loss is no number |
//! | `trainable` | which weights can be trained, and which the penalties are for |
//! | `checkpoint` | a run as bytes, to go on exactly where it stood |

mod checkpoint;
mod diverged;
mod evaluate;
mod objective;
mod options;
#[cfg(test)]
mod tests;
mod trainable;

pub use checkpoint::CheckpointError;
pub use objective::{Correct, LossKind, Objective, logits_of};
pub use options::{EarlyStop, Options};
pub use trainable::trainable;

use std::sync::Arc;

use modelyard_graph::Model;
use serde::{Deserialize, Serialize};

use crate::array::Array;
use crate::buffers::Buffers;
use crate::data::{Batch, Batches, DataError, Examples, Order};
use crate::error::{CompileError, OpError, RunError};
use crate::math::random;
use crate::optimizer::{Optimizer, Trained};
use crate::program::{Mode, Plan, Program, Run, Weights};
use crate::workers::Workers;

/// Why training ended early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The model cannot be trained so.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A step failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The examples and the loss do not fit.
    #[error("failed to grade the model's answers")]
    Loss(#[from] OpError),
    /// The weights could not be changed.
    #[error("failed to change the weights")]
    Update(#[source] OpError),
    /// Examples could not be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The loss is no longer a number, or grows beyond bounds.
    #[error("training diverged in step {step}: {what}; {advice}")]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// Where it shows first.
        what: String,
        /// What to try.
        advice: String,
    },
}

/// One run of training.
pub struct Trainer {
    program: Program,
    plan: Plan,
    /// The same without differentiation.
    evaluation: Plan,
    objective: Objective,
    options: Options,
    weights: Weights,
    /// Numbers of the weights that are trained.
    trained: Vec<usize>,
    optimizer: Optimizer,
    progress: Progress,
    /// The weights of the best epoch, where early stopping asks for them.
    best: Option<Weights>,
    /// What the weights are held to.
    hold: Option<Hold>,
    buffers: Buffers,
    peak_bytes: usize,
}

/// What weights are held to after every step, such as zeros that stay zero: called with the number of
/// steps done, before the first one too.
pub type Hold = Arc<dyn Fn(u64, &mut Weights) -> Result<(), OpError> + Send + Sync>;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Epochs done.
    pub epoch: usize,
    /// Batches done of the epoch under way.
    pub batch: usize,
    /// Steps done.
    pub step: u64,
    /// What came of the epochs that are done.
    pub history: Vec<EpochReport>,
    /// Sums of the epoch under way.
    sums: Sums,
    /// Loss of the first step, to notice one that explodes.
    first_loss: Option<f64>,
    /// The lowest loss that early stopping saw, and its epoch.
    best: Option<(f64, usize)>,
}

/// Sums over some examples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    loss: f64,
    correct: usize,
    /// Examples whose class is known.
    graded: usize,
    examples: usize,
}

/// What came of some examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean loss.
    pub loss: f64,
    /// Share of right answers, where there are classes.
    pub accuracy: Option<f64>,
}

/// What came of one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// From 1.
    pub epoch: usize,
    /// Steps done since the run began.
    pub step: u64,
    /// The learning rate of its last step.
    pub learning_rate: f32,
    /// On the training examples, as the weights changed; with what the penalties add.
    pub training: Score,
    /// On the validation examples, with the weights at its end.
    pub validation: Option<Score>,
}

/// What came of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Epoch under way, from 1.
    pub epoch: usize,
    /// Batches done of it, and how many it has.
    pub batch: (usize, usize),
    /// Steps done since the run began.
    pub step: u64,
    /// Examples in this step.
    pub examples: usize,
    /// The loss of this step, without penalties.
    pub loss: f64,
    /// Over the epoch so far.
    pub score: Score,
}

/// What a run tells its observer.
pub enum Event<'a> {
    /// A step is done.
    Step(&'a StepReport),
    /// An epoch is done.
    Epoch(&'a EpochReport),
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// On.
    Continue,
    /// Stop here; the run can be resumed.
    Stop,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs are done.
    Finished,
    /// The loss fell no more; the best weights are restored.
    Early,
    /// The observer stopped it.
    Stopped,
}

/// A loss so many times the first one has exploded.
const EXPLODED: f64 = 1e5;

impl Trainer {
    /// Prepares to train `model` by its weights `trained` (see [`trainable`] for all of them).
    /// Refuses, by name, what training does not cover.
    pub fn new(model: &Model, trained: &[&str], options: Options) -> Result<Trainer, TrainError> {
        let program = Program::compile(model)?;
        let objective = Objective::of(model, options.loss)?;
        let plan = program.plan(&[objective.target()], trained)?;
        let evaluation = program.plan(&[objective.target()], &[])?;
        let weights = program.weights().clone();
        let trained = plan.trained().to_vec();
        let kinds = trained.iter().map(|&number| Trained {
            size: weights.array(number).len(),
            penalized: trainable::is_penalized(model, &weights.names()[number]),
        });
        let kinds: Vec<Trained> = kinds.collect();
        let optimizer = Optimizer::new(options.rule, options.penalties, options.clip, &kinds);
        Ok(Trainer {
            program,
            plan,
            evaluation,
            objective,
            weights,
            trained,
            optimizer,
            options,
            progress: Progress::default(),
            best: None,
            hold: None,
            buffers: Buffers::default(),
            peak_bytes: 0,
        })
    }

    /// Holds the weights to something from now on.
    pub fn hold(&mut self, hold: Hold) -> Result<(), TrainError> {
        hold(self.progress.step, &mut self.weights).map_err(TrainError::Update)?;
        self.hold = Some(hold);
        Ok(())
    }

    /// How far it is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// How it trains.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Most bytes that the values of a step took at once so far: activations and gradients, not
    /// the weights and what the optimizer remembers.
    pub fn peak_bytes(&self) -> usize {
        self.peak_bytes
    }

    /// Numbers that are trained.
    pub fn trained_parameters(&self) -> usize {
        self.trained.iter().map(|&number| self.weights.array(number).len()).sum()
    }

    /// Writes the weights into the model that the trainer was made of.
    pub fn store(&self, model: &mut Model) {
        self.weights.store(model);
    }

    /// Trains from where the run stands to its end, and tells `observer` of every step and epoch.
    /// On an error the weights are those of the last step that went well.
    pub fn run(
        &mut self,
        examples: &dyn Examples,
        validation: Option<&dyn Examples>,
        workers: &Workers,
        observer: &mut (dyn FnMut(Event<'_>, &Trainer) -> Control + Send),
    ) -> Result<Ended, TrainError> {
        workers.run(|| {
            while self.progress.epoch < self.options.epochs {
                if self.is_stale() {
                    return Ok(self.finish(Ended::Early));
                }
                if self.epoch(examples, workers, observer)? == Control::Stop {
                    return Ok(Ended::Stopped);
                }
                let report = self.end_epoch(validation, examples.len(), workers)?;
                if observer(Event::Epoch(&report), self) == Control::Stop {
                    return Ok(Ended::Stopped);
                }
            }
            Ok(self.finish(Ended::Finished))
        })
    }

    /// Restores the best weights where early stopping kept them.
    fn finish(&mut self, ended: Ended) -> Ended {
        if let Some(best) = self.best.take() {
            self.weights = best;
        }
        ended
    }

    fn is_stale(&self) -> bool {
        match (self.options.early_stop, self.progress.best) {
            (Some(stop), Some((_, epoch))) => self.progress.epoch - epoch >= stop.patience,
            _ => false,
        }
    }

    /// The steps of one epoch, or of what remains of it.
    fn epoch(
        &mut self,
        examples: &dyn Examples,
        workers: &Workers,
        observer: &mut (dyn FnMut(Event<'_>, &Trainer) -> Control + Send),
    ) -> Result<Control, TrainError> {
        let order = Order::Shuffled { seed: self.options.seed, epoch: self.progress.epoch };
        let size = self.options.batch;
        let batches = self.epoch_steps(examples.len()) as usize;
        std::thread::scope(|scope| {
            for batch in Batches::start(scope, examples, order, (size, self.progress.batch)) {
                let report = self.step(batch?, batches, workers)?;
                if observer(Event::Step(&report), self) == Control::Stop {
                    return Ok(Control::Stop);
                }
            }
            Ok(Control::Continue)
        })
    }

    fn epoch_steps(&self, examples: usize) -> u64 {
        examples.div_ceil(self.options.batch.max(1)) as u64
    }

    /// One step: forward, loss, backward, update.
    fn step(
        &mut self,
        batch: Batch,
        batches: usize,
        workers: &Workers,
    ) -> Result<StepReport, TrainError> {
        let examples = batch.len();
        let seed = self.step_seed();
        let inputs = named(&batch);
        let mut run = Run {
            buffers: &mut self.buffers,
            workers,
            mode: Mode::Train { seed },
            memory_limit_bytes: self.options.memory_limit_bytes,
        };
        let mut pass = self.program.forward(&self.plan, &self.weights, inputs.clone(), &mut run)?;
        let prediction = pass.value(self.objective.target());
        let graded = self.objective.grade(prediction, &batch.targets)?;
        let correct = self.objective.correct(prediction, &batch.targets);
        let first = *self.progress.first_loss.get_or_insert(graded.loss);
        if !graded.loss.is_finite() || graded.loss > EXPLODED * first.abs().max(1.0) {
            drop(pass);
            return Err(self.diverged(graded.loss, inputs, workers));
        }
        let gradients =
            pass.backward(vec![(self.objective.target(), graded.gradient)], &mut run)?;
        self.peak_bytes = self.peak_bytes.max(pass.peak_bytes());
        let updates = pass.take_updates();
        pass.recycle(&mut self.buffers);
        let rate = self.learning_rate(batches as u64);
        let step = self.optimizer.step(&mut self.weights, &self.trained, &gradients, rate);
        step.map_err(TrainError::Update)?;
        updates.into_iter().for_each(|(number, array)| self.weights.set(number, array));
        gradients.into_iter().flatten().for_each(|gradient| self.buffers.recycle(gradient));

        if let Some(hold) = &self.hold {
            hold(self.progress.step + 1, &mut self.weights).map_err(TrainError::Update)?;
        }
        let progress = &mut self.progress;
        progress.step += 1;
        progress.batch += 1;
        progress.sums.add(graded.loss, correct, examples);
        Ok(StepReport {
            epoch: progress.epoch + 1,
            batch: (progress.batch, batches),
            step: progress.step,
            examples,
            loss: graded.loss,
            score: progress.sums.score(),
        })
    }

    /// What the step under way draws by chance.
    fn step_seed(&self) -> u64 {
        random::mix(self.options.seed ^ STEP_SEEDS, self.progress.step)
    }

    fn learning_rate(&self, epoch_steps: u64) -> f32 {
        self.options.schedule.at(self.progress.step, epoch_steps, self.options.epochs as u64)
    }

    /// Closes an epoch: its report, and whether it is the best so far.
    fn end_epoch(
        &mut self,
        validation: Option<&dyn Examples>,
        examples: usize,
        workers: &Workers,
    ) -> Result<EpochReport, TrainError> {
        let validation = match validation {
            Some(examples) => Some(self.evaluate(examples, workers)?),
            None => None,
        };
        if let Some(name) = self.bad_weight() {
            return Err(TrainError::Diverged {
                step: self.progress.step,
                what: format!("weight '{name}' holds NaN or infinity after it"),
                advice: self.advice(),
            });
        }
        if let Some(score) = validation.filter(|score| !score.loss.is_finite()) {
            return Err(TrainError::Diverged {
                step: self.progress.step,
                what: format!("the loss on the validation examples is {}", score.loss),
                advice: self.advice(),
            });
        }
        let sums = std::mem::take(&mut self.progress.sums);
        let mut training = sums.score();
        training.loss += self.optimizer.penalty(&self.weights, &self.trained);
        let last = self.progress.step.saturating_sub(1);
        let epoch_steps = self.epoch_steps(examples);
        self.progress.epoch += 1;
        self.progress.batch = 0;
        let report = EpochReport {
            epoch: self.progress.epoch,
            step: self.progress.step,
            learning_rate: self.options.schedule.at(last, epoch_steps, self.options.epochs as u64),
            training,
            validation,
        };
        if let Some(stop) = self.options.early_stop {
            let loss = validation.unwrap_or(training).loss;
            let best = self.progress.best.map_or(f64::INFINITY, |(best, _)| best);
            if loss < best - stop.min_delta {
                self.progress.best = Some((loss, self.progress.epoch));
                self.best = Some(self.weights.clone());
            }
        }
        self.progress.history.push(report.clone());
        Ok(report)
    }
}

/// Keeps the seeds of steps apart from those of the order of examples.
const STEP_SEEDS: u64 = 0x5eed_0f57_e900_0000;

/// The inputs of a batch by name; shares the elements.
fn named(batch: &Batch) -> Vec<(&str, Array)> {
    batch.inputs.iter().map(|(name, array)| (name.as_str(), array.clone())).collect()
}

impl Sums {
    fn add(&mut self, loss: f64, correct: Option<Correct>, examples: usize) {
        self.loss += loss * examples as f64;
        self.correct += correct.map_or(0, |correct| correct.right);
        self.graded += correct.map_or(0, |correct| correct.of);
        self.examples += examples;
    }

    fn score(&self) -> Score {
        let graded = (self.graded > 0).then_some(self.graded as f64);
        Score {
            loss: self.loss / self.examples.max(1) as f64,
            accuracy: graded.map(|graded| self.correct as f64 / graded),
        }
    }
}
