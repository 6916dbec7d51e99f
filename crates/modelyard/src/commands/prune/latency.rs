//! How much must go for a run to take less time, as the engine that will serve the model has it.
//!
//! Time does not follow operations: an engine computes 16 channels at once, and what is not a product of
//! matrices stays as it is. So candidates are made and timed beside the original.

use anyhow::anyhow;
use modelyard_engine::Loaded;
use modelyard_graph::Model;
use modelyard_optimize::prune::{self, Cost, Options, Target};
use modelyard_optimize::statistics::Difference;

use crate::data::DataSet;
use crate::exit::Exit;
use crate::observe::progress::Progress;
use crate::optimizing::pace::{self, Batch};
use crate::optimizing::recover::refused;
use crate::optimizing::sample::Sample;
use crate::optimizing::workshop::Workshop;

/// Halvings in the search for a share of the channels: as fine as times can be told apart.
const HALVINGS: usize = 7;

/// A share so large that every layer is left at its least width.
const MOST: f64 = 1.0 - 1e-9;

/// The original, and where candidates are timed beside it.
pub(super) struct Stopwatch<'a> {
    original: Loaded,
    /// One example.
    batch: Batch,
    workshop: &'a Workshop,
    seed: u64,
}

/// A candidate.
#[derive(Clone, Copy)]
struct Tried {
    cost: Cost,
    latency: Difference,
}

impl<'a> Stopwatch<'a> {
    /// Loads the original, to be timed on one of the examples.
    pub(super) fn new(
        original: &Model,
        data: &DataSet,
        workshop: &'a Workshop,
        seed: u64,
    ) -> anyhow::Result<Stopwatch<'a>> {
        let sample = Sample::new(data, data.train.as_ref(), original, (1, 1, seed))?;
        let batch = Batch::first(&sample)?;
        Ok(Stopwatch { original: workshop.load_to_serve(original)?, batch, workshop, seed })
    }

    /// How many times as long as the original a model takes.
    pub(super) fn latency(&self, model: &Model) -> anyhow::Result<Difference> {
        let loaded = self.workshop.load_to_serve(model)?;
        let original = self.original.session.as_ref();
        let compared = pace::compare(original, loaded.session.as_ref(), &self.batch, self.seed);
        Ok(compared?.0)
    }

    /// The least share of the operations that must go for this share of the time of a run to be gone,
    /// beyond the noise.
    pub(super) fn target(
        &self,
        model: &Model,
        (options, share): (&Options, f64),
        progress: &Progress,
    ) -> anyhow::Result<Target> {
        let mut bar = progress.bar("timing candidates", HALVINGS as u64 + 1);
        let mut tried: Vec<Tried> = Vec::new();
        let mut timed = |channels: f64| {
            let options = Options { target: Target::Channels(channels), ..options.clone() };
            let made = prune::structured(model, &options).map_err(refused)?;
            let cost = made.report.after;
            bar.step();
            if let Some(known) = tried.iter().find(|tried| tried.cost == cost) {
                return anyhow::Ok(*known);
            }
            let found = Tried { cost, latency: self.latency(&made.model)? };
            tried.push(found);
            Ok(found)
        };
        let is_enough = |tried: &Tried| tried.latency.high <= 1.0 - share;
        let mut found = timed(MOST)?;
        if !is_enough(&found) {
            return Err(Exit::Model.coded(cannot(share, &found.latency)));
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            let candidate = timed(middle)?;
            if is_enough(&candidate) {
                (high, found) = (middle, candidate);
            } else {
                low = middle;
            }
        }
        let before = Cost::of(model).flops.max(1);
        Ok(Target::Flops(1.0 - found.cost.flops as f64 / before as f64))
    }
}

fn cannot(share: f64, most: &Difference) -> anyhow::Error {
    anyhow!(
        "{:.1} % of the time of a run cannot be removed with whole channels: {:.1} % is the most ({:.1} \
         to {:.1} %), with every layer at its least width (--minimum and --multiple set it)",
        100.0 * share,
        100.0 * (1.0 - most.estimate),
        100.0 * (1.0 - most.high),
        100.0 * (1.0 - most.low)
    )
}
