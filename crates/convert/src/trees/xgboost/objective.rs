//! What XGBoost's objectives make of scores.

use super::super::ensemble::{Answer, Link};
use super::refused;
use crate::ConvertError;

/// What an objective says about predictions.
#[derive(Debug)]
pub(super) struct Objective {
    /// What `predict` makes of the scores.
    pub(super) answer: Answer,
    /// From `base_score`, as the file has it, to what a score starts with.
    pub(super) margin: fn(f32) -> f32,
    /// Whether it is none of XGBoost's own.
    pub(super) custom: bool,
}

/// Name, answer and margin of an objective.
type Row = (&'static str, Answer, fn(f32) -> f32);

/// The objectives that are known.
pub(in super::super) const OBJECTIVES: &[Row] = &[
    ("reg:squarederror", Answer::Values(Link::Identity), same),
    ("reg:linear", Answer::Values(Link::Identity), same),
    ("reg:squaredlogerror", Answer::Values(Link::Identity), same),
    ("reg:pseudohubererror", Answer::Values(Link::Identity), same),
    ("reg:absoluteerror", Answer::Values(Link::Identity), same),
    ("reg:quantileerror", Answer::Values(Link::Identity), same),
    ("reg:expectileerror", Answer::Values(Link::Identity), same),
    ("reg:logistic", Answer::Values(Link::Sigmoid), logit),
    ("reg:gamma", Answer::Values(Link::Exp), f32::ln),
    ("reg:tweedie", Answer::Values(Link::Exp), f32::ln),
    ("count:poisson", Answer::Values(Link::Exp), f32::ln),
    ("survival:cox", Answer::Values(Link::Exp), f32::ln),
    ("survival:aft", Answer::Values(Link::Exp), f32::ln),
    ("binary:logistic", Answer::Binary(1.0), logit),
    ("binary:logitraw", Answer::Values(Link::Identity), same),
    ("binary:hinge", Answer::Sign, same),
    ("multi:softmax", Answer::Softmax, same),
    ("multi:softprob", Answer::Softmax, same),
    ("rank:pairwise", Answer::Values(Link::Identity), same),
    ("rank:ndcg", Answer::Values(Link::Identity), same),
    ("rank:map", Answer::Values(Link::Identity), same),
];

/// The objective of this name, for so many scores a row. One that is not known is the user's own:
/// XGBoost itself then answers with raw scores.
pub(super) fn objective(name: &str, targets: usize) -> Result<Objective, ConvertError> {
    let Some((_, answer, margin)) = OBJECTIVES.iter().find(|(other, ..)| *other == name) else {
        return match name.split_once(':') {
            Some(("reg" | "binary" | "multi" | "rank" | "survival" | "count", _)) => Err(refused(
                &format!("objective '{name}'"),
                "the objective",
                "train with an objective that has a known answer, such as reg:squarederror",
            )),
            _ => {
                Ok(Objective { answer: Answer::Values(Link::Identity), margin: same, custom: true })
            }
        };
    };
    let answer = match (*answer, targets) {
        // Several labels that do not exclude each other: a probability for each.
        (Answer::Binary(_), 2..) => Answer::Values(Link::Sigmoid),
        (Answer::Softmax, 1) => Answer::Values(Link::Identity),
        (Answer::Sign, 2..) => {
            let way_out = "train a model for each target, or use binary:logistic";
            return Err(refused("objective 'binary:hinge'", "more than one target", way_out));
        }
        (answer, _) => answer,
    };
    Ok(Objective { answer, margin: *margin, custom: false })
}

fn same(value: f32) -> f32 {
    value
}

/// The score whose sigmoid is this, kept finite as XGBoost does.
fn logit(probability: f32) -> f32 {
    const LEAST: f32 = 1e-16;
    -(1.0 / probability.max(LEAST) - 1.0).ln()
}
