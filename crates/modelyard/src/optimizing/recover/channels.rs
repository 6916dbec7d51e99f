//! Fewer channels, and what is left trained to make up for it.

use anyhow::Context;
use modelyard_graph::Model;
use modelyard_optimize::prune::{self, Cost, Importance, Options, Pruned, Report, Target, Taylor};
use modelyard_train::Workers;
use modelyard_train::data::{Batches, Examples, Order};

use super::teacher::Teacher;
use super::{Lessons, Training, refused};
use crate::exit::{Exit, ExitWith};
use crate::training::network::fitting_loss;
use crate::training::prepare::{self, Bound, Sets};
use crate::training::record::Outcome;

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
        if let Some(lessons) = lessons.filter(|lessons| lessons.are_given()) {
            let left = plan.rounds.max(1) - round + 1;
            let how = Training { deadline: lessons.share(left), ..Training::default() };
            let trained = lessons.train(made.model, teacher.as_ref(), how)?;
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

fn structured(model: &Model, options: &Options) -> anyhow::Result<Pruned> {
    prune::structured(model, options).map_err(refused)
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
