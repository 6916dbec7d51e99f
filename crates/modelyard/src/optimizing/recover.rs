//! Channels removed, and what is left trained to make up for it. Prints nothing but what the caller's
//! progress shows.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use modelyard_graph::Model;
use modelyard_optimize::OptimizeError;
use modelyard_optimize::prune::sparse::{Cubic, Masks, Scope, Sparsity};
use modelyard_optimize::prune::{self, Cost, Importance, Options, Pruned, Report, Target, Taylor};
use modelyard_train::data::{Batches, Examples, Order, Taught};
use modelyard_train::trainer::{self, Hold, LossKind};
use modelyard_train::{Array, OpError, Workers, with_statistics};

use super::sample::Sample;
use super::workshop::Workshop;
use crate::commands::distill::logits_only;
use crate::commands::local_model;
use crate::data::{DataSet, Task};
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;
use crate::training::interrupt::Interrupt;
use crate::training::network::{check_outputs, fitting_loss};
use crate::training::prepare::{self, Bound, Sets};
use crate::training::recipe::Recipe;
use crate::training::record::Outcome;
use crate::training::session::{Conditions, Job, Trained};

/// How a pruned model makes up for what it lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Recovery {
    /// Not at all.
    None,
    /// It learns the data again.
    Finetune,
    /// It learns to answer as the original does, beside the data.
    Distill {
        /// Divides the logits of both.
        temperature: f32,
        /// Weight of the original beside the labels.
        alpha: f32,
    },
}

/// What divides the logits in distillation, unless told otherwise (Hinton, Vinyals, Dean, 2015).
pub(crate) const TEMPERATURE: f32 = 4.0;

/// The weight of the original beside the labels, unless told otherwise.
pub(crate) const ALPHA: f32 = 0.7;

/// What a pruned model learns from, and how.
pub(crate) struct Lessons<'a> {
    /// The data, and where it is.
    pub(crate) data: (&'a DataSet, &'a Path),
    /// How to train.
    pub(crate) recipe: &'a Recipe,
    /// How to make up for what was lost.
    pub(crate) recovery: Recovery,
    /// Batches from which the Taylor importance is taken.
    pub(crate) batches: usize,
    /// Threads to train with.
    pub(crate) threads: usize,
    /// Runs the original, as a teacher.
    pub(crate) workshop: &'a Workshop,
    /// Where a waiting person looks.
    pub(crate) progress: &'a Progress,
    /// Whether every epoch is told.
    pub(crate) tells: bool,
    /// What stops it.
    pub(crate) interrupt: &'a Interrupt,
    /// When training ends, whatever remains to be done. Rounds share the time that is left.
    pub(crate) deadline: Option<Instant>,
}

/// What channels are removed by.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Target and limits. Its importance counts unless `taylor` is set.
    pub(crate) options: Options,
    /// Whether importance is how the loss depends on weights, which takes data.
    pub(crate) taylor: bool,
    /// Steps in which the target is reached, each followed by recovery.
    pub(crate) rounds: usize,
}

/// A pruned model, and what came of its training.
pub(crate) struct Made {
    /// The model.
    pub(crate) model: Model,
    /// What was removed of the original, all rounds together.
    pub(crate) report: Report,
    /// What came of the training after each round that removed something.
    pub(crate) outcomes: Vec<Outcome>,
}

/// Removes channels of a model that [`prune::ready`] gave, in rounds, and recovers after each where there
/// are lessons. Stops early, with a model that is whole, when the deadline comes.
pub(crate) fn prune_and_recover(
    original: &Model,
    plan: &Plan,
    lessons: Option<&Lessons<'_>>,
) -> anyhow::Result<Made> {
    // Whether the target can be met shows before anything is trained.
    let first = structured(original, &plan.options)?;
    let teacher = match lessons {
        Some(lessons) => Teacher::of(original, lessons)?,
        None => None,
    };
    let mut made = Made { model: original.clone(), report: first.report, outcomes: Vec::new() };
    let mut widths: Vec<(Vec<String>, usize)> = Vec::new();
    for round in 1..=plan.rounds.max(1) {
        let Some(target) = step(original, &made.model, (plan, round), &widths) else { continue };
        let mut options = Options { target, ..plan.options.clone() };
        if let (true, Some(lessons)) = (plan.taylor, lessons) {
            options.importance = taylor(&made.model, &options, lessons)?;
        }
        let Pruned { model, report } = structured(&made.model, &options)?;
        widths = report.groups.iter().map(|group| (group.weights.clone(), group.kept)).collect();
        made.model = model;
        if let Some(lessons) = lessons.filter(|lessons| lessons.recovery != Recovery::None) {
            let left = plan.rounds.max(1) - round + 1;
            let how = Training { deadline: lessons.share(left), hold: None };
            let trained = train(made.model, lessons, teacher.as_ref(), &how)?;
            made.model = trained.model;
            made.outcomes.push(trained.outcome);
        }
    }
    for group in &mut made.report.groups {
        if let Some((_, kept)) = widths.iter().find(|(weights, _)| *weights == group.weights) {
            group.kept = *kept;
        }
    }
    made.report.after = Cost::of(&made.model);
    Ok(made)
}

/// Makes the smallest weights zero, and recovers where there are lessons: by and by, in the first two
/// thirds of the training, for a share; at once for a pattern.
pub(crate) fn thin_out_and_recover(
    original: &Model,
    (sparsity, exclude): (&Sparsity, &[String]),
    lessons: Option<&Lessons<'_>>,
) -> anyhow::Result<(Model, Masks, Option<Outcome>)> {
    let masks = |model: &Model| Masks::new(model, sparsity, exclude).map_err(refused);
    let mut model = original.clone();
    let mut outcome = None;
    let first = masks(original)?;
    if let Some(lessons) = lessons.filter(|lessons| lessons.recovery != Recovery::None) {
        let teacher = Teacher::of(original, lessons)?;
        let hold = held(first, sparsity, steps(lessons)?);
        let how = Training { deadline: lessons.deadline, hold: Some(&hold) };
        let trained = train(model, lessons, teacher.as_ref(), &how)?;
        model = trained.model;
        outcome = Some(trained.outcome);
    }
    // Training may have ended early, or have brought weights of an earlier epoch back.
    let last = masks(&model)?;
    last.apply(&mut model);
    Ok((model, last, outcome))
}

fn structured(model: &Model, options: &Options) -> anyhow::Result<Pruned> {
    prune::structured(model, options).map_err(refused)
}

fn refused(error: OptimizeError) -> anyhow::Error {
    Exit::Model.coded(error.into())
}

/// What is to go in a round, as a share of what there is now: after each, the same share of what was there
/// before it is left. `None` where enough is gone.
fn step(
    original: &Model,
    now: &Model,
    (plan, round): (&Plan, usize),
    widths: &[(Vec<String>, usize)],
) -> Option<Target> {
    let target = plan.options.target;
    let part = round as f64 / plan.rounds.max(1) as f64;
    let wanted = (1.0 - target.share()).powf(part);
    let (before, after) = (Cost::of(original), Cost::of(now));
    let share = |before: f64, after: f64| {
        let share = 1.0 - wanted * before / after.max(1.0);
        (share > 0.0).then_some(share)
    };
    match target {
        Target::Flops(_) => share(before.flops as f64, after.flops as f64).map(Target::Flops),
        Target::Parameters(_) => {
            share(before.parameters as f64, after.parameters as f64).map(Target::Parameters)
        }
        Target::Channels(_) => {
            // Widths are rounded up: what was too wide so far is made up for.
            let report = prune::structured(original, &plan.options).ok()?.report;
            let before: usize = report.groups.iter().map(|group| group.channels).sum();
            let after: usize = match widths {
                [] => before,
                _ => widths.iter().map(|(_, kept)| kept).sum(),
            };
            share(before as f64, after as f64).map(Target::Channels)
        }
    }
}

/// What the loss says of each weight.
fn taylor(model: &Model, options: &Options, lessons: &Lessons<'_>) -> anyhow::Result<Importance> {
    let names = prune::filters(model, options).map_err(refused)?;
    let (data, _) = lessons.data;
    let mut settings = lessons.recipe.options(&data.task).exit_with(Exit::Usage)?;
    fitting_loss((model, &data.task), lessons.recipe, &mut settings)?;
    let binding = prepare::bind(data, model, settings.batch).exit_with(Exit::Usage)?;
    let bound = Bound::new(data.train.as_ref(), &binding);
    let sets = Sets::of(data, lessons.recipe)?;
    let training = sets.training(&bound);
    let workers = Workers::new(lessons.threads).context("failed to start threads")?;
    let mut taylor = Taylor::new(model, &names, settings.loss).exit_with(Exit::Model)?;
    let order = Order::Shuffled { seed: settings.seed, epoch: 0 };
    let wanted = lessons.batches.min(training.len().div_ceil(settings.batch));
    let mut bar = lessons.progress.bar("asking which channels matter", wanted as u64);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let batches = Batches::start(scope, &training, order, (settings.batch, 0));
        for batch in batches.take(wanted) {
            let batch = batch?;
            workers.run(|| taylor.observe(&batch, &workers, settings.memory_limit_bytes))?;
            bar.step();
        }
        Ok(())
    })?;
    Ok(Importance::Taylor(taylor.sums()))
}

/// The original's answers to all examples, and how they are taught.
struct Teacher {
    logits: Array,
    loss: LossKind,
}

impl Teacher {
    /// `None` where the original is not asked.
    fn of(original: &Model, lessons: &Lessons<'_>) -> anyhow::Result<Option<Teacher>> {
        let Recovery::Distill { temperature, alpha } = lessons.recovery else { return Ok(None) };
        let (data, _) = lessons.data;
        let labels = match &data.task {
            Task::Regression { .. } => {
                return Err(anyhow!(
                    "distillation is for classes: --recover finetune learns values"
                ))
                .exit_with(Exit::Usage);
            }
            Task::Classification { labels } => Some(labels.len()),
            Task::Unlabelled => None,
        };
        let cut = logits_only(original.clone()).exit_with(Exit::Model)?;
        let logits = answers(&cut, lessons)?;
        let columns = logits.shape()[1];
        if labels.is_some_and(|labels| labels != columns) {
            return Err(anyhow!(
                "the model gives {columns} scores, the data has {} classes: --recover finetune",
                labels.unwrap_or_default()
            ))
            .exit_with(Exit::Usage);
        }
        Ok(Some(Teacher { logits, loss: LossKind::Distillation(temperature, alpha) }))
    }
}

/// The first output of a model for all examples to learn from, a row each.
fn answers(model: &Model, lessons: &Lessons<'_>) -> anyhow::Result<Array> {
    const BATCH: usize = 64;
    let (data, _) = lessons.data;
    let limit_bytes = match &data.task {
        Task::Unlabelled => lessons.recipe.options(&Task::Regression { width: 1 }),
        task => lessons.recipe.options(task),
    }
    .exit_with(Exit::Usage)?
    .memory_limit_bytes;
    let sample = Sample::new(data, data.train.as_ref(), model, (usize::MAX, BATCH, 0))?;
    let loaded = lessons.workshop.load(model)?;
    let mut bar = lessons.progress.bar("asking the original", sample.batches() as u64);
    let (mut values, mut rows) = (Vec::new(), 0);
    sample.each(|inputs| {
        let outputs = local_model::run(loaded.session.as_ref(), &inputs.tensors, &[0])?;
        let output = outputs.first().context("the engine gave no output")?;
        let given = output.values::<f32>().context("the model's answers are no floats")?;
        values.extend_from_slice(&given[..given.len() / inputs.rows.max(1) * inputs.count]);
        rows += inputs.count;
        if 4 * values.len() > limit_bytes {
            bail!("the original's answers outgrow the memory limit of {limit_bytes} bytes");
        }
        bar.step();
        Ok(())
    })?;
    let columns = values.len() / rows.max(1);
    if rows == 0 || values.len() != rows * columns {
        bail!("the model gave {} numbers for {rows} examples", values.len());
    }
    Ok(Array::floats([rows, columns], values))
}

/// One training.
struct Training<'a> {
    deadline: Option<Instant>,
    hold: Option<&'a Hold>,
}

impl Lessons<'_> {
    /// When the next of so many rounds ends.
    fn share(&self, rounds: usize) -> Option<Instant> {
        let now = Instant::now();
        let left = self.deadline?.saturating_duration_since(now);
        Some(now + left / u32::try_from(rounds).unwrap_or(u32::MAX).max(1))
    }
}

/// Trains all weights of a model on its lessons.
fn train(
    model: Model,
    lessons: &Lessons<'_>,
    teacher: Option<&Teacher>,
    how: &Training<'_>,
) -> anyhow::Result<Trained> {
    let (data, path) = lessons.data;
    let recipe = lessons.recipe;
    let model = with_statistics(&model).exit_with(Exit::Model)?;
    check_outputs(&model, &data.task).exit_with(Exit::Usage)?;
    prepare::check_labels(&model, &data.task).exit_with(Exit::Usage)?;
    let mut options = match (&data.task, teacher) {
        // The loss needs no labels: what the task would choose is replaced.
        (Task::Unlabelled, Some(_)) => recipe.options(&Task::Regression { width: 1 }),
        (task, _) => recipe.options(task),
    }
    .exit_with(Exit::Usage)?;
    match teacher {
        Some(teacher) => options.loss = teacher.loss,
        None => fitting_loss((&model, &data.task), recipe, &mut options)?,
    }
    let sets = Sets::of(data, recipe)?;
    let binding = prepare::bind(data, &model, options.batch).exit_with(Exit::Usage)?;
    let bound = Bound::new(data.train.as_ref(), &binding);
    let taught = teacher.map(|teacher| Taught {
        of: &bound,
        labelled: true,
        logits: teacher.logits.clone(),
    });
    let source: &dyn Examples = match &taught {
        Some(taught) => taught,
        None => &bound,
    };
    let (training, validation) = (sets.training(source), sets.validation(source));
    let labelled = !matches!(data.task, Task::Unlabelled);
    let test =
        data.test.as_ref().filter(|_| labelled).map(|test| Bound::new(test.as_ref(), &binding));
    let job = Job {
        command: "prune",
        trained: trainer::trainable(&model),
        model,
        data: (data, path),
        training: &training,
        validation: validation.as_ref().map(|part| part as _),
        test: test.as_ref().map(|test| test as _),
        options,
    };
    job.train(&Conditions {
        checkpoints: None,
        resume: false,
        metrics: None,
        threads: lessons.threads,
        progress: lessons.progress,
        tells: lessons.tells,
        interrupt: lessons.interrupt,
        deadline: how.deadline,
        hold: how.hold,
    })
}

/// Steps of a training.
fn steps(lessons: &Lessons<'_>) -> anyhow::Result<u64> {
    let (data, _) = lessons.data;
    let options = match &data.task {
        Task::Unlabelled => lessons.recipe.options(&Task::Regression { width: 1 }),
        task => lessons.recipe.options(task),
    }
    .exit_with(Exit::Usage)?;
    let examples = Sets::of(data, lessons.recipe)?.training(data.train.as_ref()).len();
    Ok((examples.div_ceil(options.batch) * options.epochs) as u64)
}

/// Holds masked weights at zero; for a share, ever more of them.
fn held(masks: Masks, sparsity: &Sparsity, steps: u64) -> Hold {
    const UPDATES: u64 = 30;
    let rising = steps * 2 / 3;
    let schedule = match sparsity {
        Sparsity::Share(share, scope) => {
            let every = (rising / UPDATES).max(1);
            Some((Cubic { from: 0.0, to: *share, steps: rising, every }, *scope))
        }
        Sparsity::Pattern(_) => None,
    };
    // Nothing is masked before the first update.
    let masks = Mutex::new(masks);
    Arc::new(move |step, weights| {
        let mut masks = masks.lock().map_err(|_| OpError::new("an earlier step failed"))?;
        if let Some((schedule, scope)) = &schedule
            && let Some(share) = schedule.at(step)
        {
            let scope: Scope = *scope;
            masks.renew(weights, share, scope)?;
        }
        masks.hold(weights)
    })
}
