//! Models with fewer weights.
//!
//! *Structured*: whole channels, heads and neurons are removed from every tensor that has them, and the
//! model is smaller and faster everywhere. [`structured`] computes exactly what the original would with all
//! weights of the removed channels zero (normalizations over channels, which [`Options::narrow`] allows,
//! are the exception, and named).
//!
//! *Unstructured*: single weights, or N of every M, become zero ([`sparse`]). Engines for processors gain
//! no speed by that; a compressed file is smaller.
//!
//! | module | holds |
//! |---|---|
//! | `ready` | [`ready`]: a model in the form that pruning takes |
//! | `space`, `site` | indices of axes and how they are tied; a node as rules see it |
//! | `rules` | what each operator ties: one table, one file a family |
//! | `explore` | the walk over a model |
//! | `groups` | channels that compete |
//! | `options`, `report` | what is asked, what is said |
//! | `importance`, `taylor` | how much each channel matters |
//! | `choose`, `apply` | which go; the model without them |
//! | [`sparse`] | single weights: masks and their schedule |

mod apply;
mod choose;
mod explore;
mod groups;
mod importance;
mod options;
mod ready;
mod report;
mod rules;
mod site;
mod space;
pub mod sparse;
mod taylor;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

pub use options::{Importance, Options, Ranking, Target};
pub use ready::ready;
pub use report::{Cost, GroupReport, Pruned, Refused, Report};
pub use taylor::Taylor;

use choose::Choice;
use modelyard_graph::Model;

use crate::OptimizeError;

/// Removes whole channels of a model that [`ready`] gave.
///
/// An error where nothing can be removed, or less than the target: the message names the most.
pub fn structured(model: &Model, options: &Options) -> Result<Pruned, OptimizeError> {
    refuse_quantized(model)?;
    options.check()?;
    let space = followed(model, options)?;
    let (groups, refused) = groups::groups(&space, options);
    if groups.is_empty() {
        return Err(nothing(&refused));
    }
    let scores = importance::scores(model, &groups, &options.importance)?;
    let before = Cost::of(model);
    let choice = Choice { model, space: &space, groups: &groups, scores: &scores, options, before };
    let kept = choice.kept()?;
    let made = apply::checked(model, &space, &choice.removed(&kept))?;
    let reports = groups.iter().zip(&kept).map(|(group, kept)| GroupReport {
        weights: group.weights.iter().map(|(name, _)| name.clone()).collect(),
        channels: group.classes.len() * group.unit,
        kept: kept * group.unit,
        unit: group.unit,
        exact: group.is_exact,
    });
    let after = Cost::of(&made);
    let report = Report { groups: reports.collect(), refused, before, after };
    Ok(Pruned { model: made, report })
}

/// Names of the weights whose filters can be removed: those that [`Taylor`] is to look at.
pub fn filters(model: &Model, options: &Options) -> Result<Vec<String>, OptimizeError> {
    let (groups, refused) = groups::groups(&followed(model, options)?, options);
    if groups.is_empty() {
        return Err(nothing(&refused));
    }
    let names: BTreeSet<String> =
        groups.into_iter().flat_map(|group| group.weights).map(|(name, _)| name).collect();
    Ok(names.into_iter().collect())
}

/// Integers are pruned before they are integers.
fn refuse_quantized(model: &Model) -> Result<(), OptimizeError> {
    match crate::quantize::is_quantized(model) {
        true => Err(OptimizeError::Invalid(
            "the model is quantized: prune the model of floats that it was made of, and quantize the result"
                .into(),
        )),
        false => Ok(()),
    }
}

fn followed(model: &Model, options: &Options) -> Result<space::Space, OptimizeError> {
    explore::explore(model, options.narrow).ok_or_else(|| {
        OptimizeError::Invalid("the model is too large for pruning to follow".into())
    })
}

/// Reasons that an error lists.
const LISTED: usize = 3;

fn nothing(refused: &[Refused]) -> OptimizeError {
    let reasons = refused.iter().take(LISTED);
    let reasons: Vec<String> = reasons
        .map(|refused| format!("{} ({})", refused.weights.join(", "), refused.reason))
        .collect();
    OptimizeError::Nothing(match reasons.as_slice() {
        [] => "the model has no layers with weights in its main graph".into(),
        _ => format!("no channel can be removed: {}", reasons.join("; ")),
    })
}
