//! Weights of an ensemble from its members' answers to examples. The same answers give the same weights.
//!
//! | module | holds |
//! |---|---|
//! | `average` | weights of an average: the least loss |
//! | `simplex` | the least of a function over weights that sum to one |
//! | `votes` | weights of votes: the most right answers |
//! | [`Stack`], `stack` | a linear model over all answers |
//! | `linear` | systems of linear equations |

mod average;
mod linear;
mod simplex;
mod stack;
mod votes;

pub use average::average;
pub use stack::{Stack, stack};
pub use votes::votes;

use super::Gives;
use crate::OptimizeError;

/// What members answer to the same examples.
#[derive(Clone, Debug)]
pub struct Answers<'a> {
    /// For each member: rows, an example each.
    pub members: Vec<&'a [f32]>,
    /// Numbers in a row.
    pub width: usize,
    /// What they are.
    pub gives: Gives,
}

/// What they should answer.
#[derive(Clone, Copy, Debug)]
pub enum Truth<'a> {
    /// The position of a score; of two classes, where there is one score: that of the second.
    Classes(&'a [usize]),
    /// Numbers, as many as a member gives.
    Values(&'a [f32]),
}

impl Truth<'_> {
    fn len(&self, width: usize) -> usize {
        match self {
            Truth::Classes(classes) => classes.len(),
            Truth::Values(values) => values.len() / width,
        }
    }
}

impl Answers<'_> {
    /// Examples that were answered.
    fn len(&self) -> usize {
        self.members.first().map_or(0, |values| values.len() / self.width.max(1))
    }

    /// Whether weights can be fitted to this.
    fn check(&self, truth: Truth<'_>) -> Result<(), OptimizeError> {
        let wrong = |text: String| Err(OptimizeError::Invalid(text));
        let (examples, width) = (self.len(), self.width);
        if examples == 0 || self.members.iter().any(|values| values.len() != examples * width) {
            return wrong(
                "cannot fit weights: expected as many answers of each model, and some".into(),
            );
        }
        if truth.len(width) != examples {
            let found = truth.len(width);
            return wrong(format!("cannot fit weights: {examples} answers, but {found} targets"));
        }
        if let Truth::Classes(classes) = truth
            && let Some(class) = classes.iter().find(|class| **class >= width.max(2))
        {
            return wrong(format!("cannot fit weights: class {class} is none of {}", width.max(2)));
        }
        let is_finite = |values: &&[f32]| values.iter().all(|value| value.is_finite());
        match self.members.iter().position(|values| !is_finite(values)) {
            Some(member) => wrong(format!(
                "cannot fit weights: model number {} answers NaN or infinity",
                member + 1
            )),
            None => Ok(()),
        }
    }
}
