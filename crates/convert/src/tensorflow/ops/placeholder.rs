//! `PlaceholderWithDefault`: its default, as nobody feeds it.

use super::{Evaluated, Given};
use crate::tensorflow::context::{Call, Context, Converted};

pub(super) fn convert(_: &mut Context<'_>, call: &Call<'_>) -> Converted {
    Ok(vec![call.input(0)?.clone()])
}

pub(super) fn evaluate(given: &Given<'_>) -> Evaluated {
    Ok(vec![given.input(0)?.clone()])
}
