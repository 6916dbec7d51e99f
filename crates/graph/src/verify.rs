//! What must hold before anybody works with a model.

use crate::{Limits, Model, Problem};

/// What is wrong with `model`.
pub(crate) fn problems(_model: &Model, _limits: &Limits) -> Vec<Problem> {
    Vec::new()
}
