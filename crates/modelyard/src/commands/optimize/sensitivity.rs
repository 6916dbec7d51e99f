//! Which nodes of the model that is searched lose most when they compute with integers.

use std::time::Instant;

use modelyard_optimize::quantize::Options;
use modelyard_optimize::search::{Recipe, Step};

use super::candidate::Maker;
use crate::optimizing::answers::Question;
use crate::optimizing::sample::Sample;
use crate::optimizing::sensitivity;
pub(super) use crate::optimizing::sensitivity::Sensitivity;

/// The nodes with weights, those first that lose most. Ends at the deadline.
pub(super) fn measure(
    maker: &mut Maker<'_>,
    asked: (&Question<'_>, &Sample<'_>),
    deadline: Instant,
) -> anyhow::Result<Vec<Sensitivity>> {
    let recipe = Recipe(vec![Step::Passes]);
    let model = maker.make(&recipe)?;
    let options = Options::default();
    let ranges = maker.seen(&model, &recipe)?.ranges(options.activations)?;
    let place = (maker.workshop, maker.progress);
    sensitivity::measure((&model, &ranges, &options), asked, place, Some(deadline))
}
