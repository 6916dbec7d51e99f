//! Which nodes lose most when they compute with integers.

use std::time::Instant;

use modelyard_graph::Model;
use modelyard_optimize::quantize::{self, Options, Plan};
use modelyard_optimize::search::{Recipe, Step};
use modelyard_optimize::sqnr;
use serde::Serialize;

use super::candidate::Maker;
use crate::optimizing::answers::Question;
use crate::optimizing::sample::Sample;

/// What one node loses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Sensitivity {
    pub(super) node: String,
    pub(super) operator: String,
    /// Signal to noise of the model's answers when only this node has integers, in decibels; of its
    /// weight alone where there was no time to run it.
    pub(super) sqnr_db: f64,
    /// Whether the model was run for it.
    pub(super) measured: bool,
}

/// The nodes with weights, those first that lose most: each is quantized alone, and the answers to a
/// sample are compared with those of the original. Ends at the deadline.
pub(super) fn measure(
    maker: &mut Maker<'_>,
    (question, sample): (&Question<'_>, &Sample<'_>),
    deadline: Instant,
) -> anyhow::Result<Vec<Sensitivity>> {
    let recipe = Recipe(vec![Step::Passes]);
    let model = maker.make(&recipe)?;
    let workshop = maker.workshop;
    let progress = maker.progress;
    let original = workshop.load(&model)?;
    let truth = question.ask(original.session.as_ref(), sample, || ())?;
    let options = Options::default();
    let ranges = maker.seen(&model, &recipe)?.ranges(options.activations)?;
    let plan = Plan::new(&model, &options)?;
    let layers = quantize::insert(&model, &plan, &ranges, &options)?.layers;
    let names: Vec<String> = layers.iter().map(|layer| layer.node.clone()).collect();
    let mut bar = progress.bar("measuring what each layer loses", layers.len() as u64);
    let mut found = Vec::with_capacity(layers.len());
    for layer in layers {
        let lost = (Instant::now() < deadline).then(|| -> anyhow::Result<f64> {
            let alone = only(&model, &layer.node, &names)?;
            let plan = Plan::new(&model, &alone)?;
            let model = quantize::insert(&model, &plan, &ranges, &alone)?.model;
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
fn only(model: &Model, node: &str, layers: &[String]) -> anyhow::Result<Options> {
    let others = model.graph.nodes.iter().map(|node| node.label().to_owned());
    let exclude = others.chain(layers.iter().cloned()).filter(|name| name != node).collect();
    Ok(Options { exclude, ..Options::default() })
}
