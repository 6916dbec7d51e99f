//! Weights become zero while the others are trained.

use std::sync::{Arc, Mutex};

use modelyard_graph::Model;
use modelyard_optimize::prune::sparse::{Cubic, Masks, Scope, Sparsity};
use modelyard_train::OpError;
use modelyard_train::data::Examples;
use modelyard_train::trainer::Hold;

use super::teacher::Teacher;
use super::{Lessons, Training, refused};
use crate::exit::{Exit, ExitWith};
use crate::training::prepare::Sets;
use crate::training::record::Outcome;

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
    if let Some(lessons) = lessons.filter(|lessons| lessons.are_given()) {
        let teacher = Teacher::of(original, lessons)?;
        let hold = held(first, sparsity, steps(lessons)?);
        let how = Training { deadline: lessons.deadline, hold: Some(&hold), ..Training::default() };
        let trained = lessons.train(model, teacher.as_ref(), how)?;
        model = trained.model;
        outcome = Some(trained.outcome);
    }
    // Training may have ended early, or have brought weights of an earlier epoch back.
    let last = masks(&model)?;
    last.apply(&mut model);
    Ok((model, last, outcome))
}

/// Steps of a training.
fn steps(lessons: &Lessons<'_>) -> anyhow::Result<u64> {
    let (data, _) = lessons.data;
    let options = lessons.recipe.taught(&data.task).exit_with(Exit::Usage)?;
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
