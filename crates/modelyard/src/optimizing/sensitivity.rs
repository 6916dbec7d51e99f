//! Which nodes lose most when they compute with integers.

use std::collections::BTreeMap;
use std::time::Instant;

use modelyard_graph::Model;
use modelyard_optimize::calibrate::Range;
use modelyard_optimize::quantize::{self, Options, Plan};
use modelyard_optimize::sqnr;
use serde::Serialize;

use super::answers::Question;
use super::sample::Sample;
use super::workshop::Workshop;
use crate::observe::progress::Progress;

/// What one node loses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Sensitivity {
    pub(crate) node: String,
    pub(crate) operator: String,
    /// Signal to noise of the model's answers when only this node has integers, in decibels; of its
    /// weight alone where there was no time to run it.
    pub(crate) sqnr_db: f64,
    /// Whether the model was run for it.
    pub(crate) measured: bool,
}

/// The nodes with weights, those first that lose most: each is quantized alone, and the answers to a
/// sample are compared with those of the model of floats. Ranges are those of [`Plan::possible`]. Ends
/// at the deadline, if there is one.
pub(crate) fn measure(
    (model, ranges, options): (&Model, &BTreeMap<String, Range>, &Options),
    (question, sample): (&Question<'_>, &Sample<'_>),
    (workshop, progress): (&Workshop, &Progress),
    deadline: Option<Instant>,
) -> anyhow::Result<Vec<Sensitivity>> {
    let original = workshop.load(model)?;
    let truth = question.ask(original.session.as_ref(), sample, || ())?;
    let plan = Plan::new(model, options)?;
    let layers = quantize::insert(model, &plan, ranges, options)?.layers;
    let mut bar = progress.bar("measuring what each layer loses", layers.len() as u64);
    let mut found = Vec::with_capacity(layers.len());
    for layer in layers {
        let has_time = deadline.is_none_or(|deadline| Instant::now() < deadline);
        let lost = has_time.then(|| -> anyhow::Result<f64> {
            let alone = only(model, &layer.node, options);
            let plan = Plan::new(model, &alone)?;
            let model = quantize::insert(model, &plan, ranges, &alone)?.model;
            let loaded = workshop.load(&model)?;
            let answers = question.ask(loaded.session.as_ref(), sample, || ())?;
            Ok(sqnr(&truth.values, &answers.values))
        });
        let lost = lost.transpose()?;
        found.push(Sensitivity {
            node: layer.node,
            operator: layer.operator,
            sqnr_db: lost.unwrap_or(layer.sqnr_db),
            measured: lost.is_some(),
        });
        bar.step();
    }
    found.sort_by(|one, two| one.sqnr_db.total_cmp(&two.sqnr_db));
    Ok(found)
}

/// Options that leave all nodes but one as they are.
fn only(model: &Model, node: &str, options: &Options) -> Options {
    let names = model.graph.nodes.iter().map(|node| node.label().to_owned());
    let exclude = names.filter(|name| name != node).collect();
    Options { exclude, ..options.clone() }
}
