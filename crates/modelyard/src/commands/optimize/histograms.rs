//! Numbers of layers before and after, counted.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_graph::{ElementType, Model, ValueType};
use modelyard_optimize::calibrate::{Calibration, Method, Observed, Range};
use modelyard_optimize::quantize::dequantized;
use serde::Serialize;

use super::search::{FEW, Found, Search};
use crate::optimizing::observe::observe;

/// Layers whose numbers are shown.
const SHOWN_LAYERS: usize = 6;
/// Bars of a histogram.
pub(super) const BARS: usize = 64;

/// Numbers of one layer before and after, in bars of one width.
#[derive(Serialize)]
pub(super) struct Histograms {
    pub(super) node: String,
    pub(super) weight: Option<Bars>,
    pub(super) weight_after: Option<Bars>,
    /// Of what the node takes.
    pub(super) activation: Option<Bars>,
    pub(super) activation_after: Option<Bars>,
    /// The range of the integers.
    pub(super) range: Option<[f32; 2]>,
}

/// Counts from one number to another.
#[derive(Clone, Serialize)]
pub(super) struct Bars {
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) counts: Vec<u64>,
}

/// Numbers of the layers that lose most, or of the first ones where that was not measured.
pub(super) fn histograms(
    search: &mut Search<'_>,
    found: &Found,
) -> anyhow::Result<Vec<Histograms>> {
    let Some(best) = &found.best else { return Ok(Vec::new()) };
    let weights = dequantized(&best.model);
    let base = search.maker.make(&Search::passes())?;
    let mut layers: Vec<String> = search.sensitivities.iter().map(|it| it.node.clone()).collect();
    if layers.is_empty() {
        layers = base.graph.nodes.iter().map(|node| node.label().to_owned()).collect();
    }
    let mut shown = Vec::new();
    for layer in layers {
        let node = base.graph.nodes.iter().find(|node| node.label() == layer);
        let Some(weight) = node.and_then(|node| node.input(1)) else { continue };
        let Some(before) = numbers(&base, weight).filter(|numbers| numbers.len() >= BARS) else {
            continue;
        };
        let bars = Bars::of(&before, None);
        shown.push(Histograms {
            node: layer,
            weight_after: weights
                .get(weight)
                .map(|after| Bars::of(after, Some((bars.low, bars.high)))),
            weight: Some(bars),
            activation: None,
            activation_after: None,
            range: None,
        });
        if shown.len() == SHOWN_LAYERS {
            break;
        }
    }
    add_activations(search, [&base, &best.model], &mut shown)?;
    Ok(shown)
}

fn add_activations(
    search: &Search<'_>,
    [base, best]: [&Model; 2],
    shown: &mut [Histograms],
) -> anyhow::Result<()> {
    let names: Vec<String> = shown.iter().map(|layer| layer.node.clone()).collect();
    let (before, after) = (taken(search, base, &names)?, taken(search, best, &names)?);
    for layer in shown {
        let Some(seen) = before.get(&layer.node) else { continue };
        layer.range = Some([seen.range.low, seen.range.high]);
        layer.activation = Bars::observed(seen, seen.range);
        let after = after.get(&layer.node);
        layer.activation_after = after.and_then(|after| Bars::observed(after, seen.range));
    }
    Ok(())
}

/// What these nodes of a model take, by their names, as far as it is floats.
fn taken(
    search: &Search<'_>,
    model: &Model,
    nodes: &[String],
) -> anyhow::Result<BTreeMap<String, Observed>> {
    let types = model.types();
    let is_float = |name: &&str| {
        let stated = types.get(*name).and_then(ValueType::as_tensor);
        stated.is_some_and(|(found, _)| found == ElementType::Float32)
    };
    let mut inputs: BTreeMap<&str, &str> = BTreeMap::new();
    for node in
        model.graph.nodes.iter().filter(|node| nodes.iter().any(|name| name == node.label()))
    {
        inputs.extend(node.input(0).filter(is_float).map(|input| (node.label(), input)));
    }
    let Some(sample) = search.maker.calibration.filter(|_| !inputs.is_empty()) else {
        return Ok(BTreeMap::new());
    };
    let tensors: BTreeSet<&str> = inputs.values().copied().collect();
    let tensors: Vec<&str> = tensors.into_iter().collect();
    let calibration = Calibration::new(Method::MinMax).with_histograms();
    let place = (&sample.few(FEW), search.maker.workshop);
    let seen = observe((model, &tensors), place, calibration, search.progress)?;
    let found = inputs
        .into_iter()
        .filter_map(|(label, input)| Some((label.to_owned(), seen.tensors().get(input)?.clone())));
    Ok(found.collect())
}

fn numbers(model: &Model, name: &str) -> Option<Vec<f32>> {
    let tensor = model.graph.initializer(name)?.to_tensor()?;
    Some(tensor.values::<f32>().ok()?.into_owned())
}

impl Bars {
    fn of(numbers: &[f32], range: Option<(f32, f32)>) -> Bars {
        let (low, high) = range.unwrap_or_else(|| {
            let low = numbers.iter().fold(f32::INFINITY, |low, x| low.min(*x));
            (low, numbers.iter().fold(f32::NEG_INFINITY, |high, x| high.max(*x)))
        });
        Bars::binned(numbers.iter().map(|x| (*x, 1)), low, high)
    }

    fn observed(seen: &Observed, range: Range) -> Option<Bars> {
        let histogram = seen.histogram.as_ref()?;
        Some(Bars::binned(histogram.bins(), range.low, range.high))
    }

    fn binned(numbers: impl Iterator<Item = (f32, u64)>, low: f32, high: f32) -> Bars {
        let mut counts = vec![0; BARS];
        let width = ((high - low) / BARS as f32).max(f32::MIN_POSITIVE);
        for (x, count) in numbers {
            counts[(((x - low) / width).max(0.0) as usize).min(BARS - 1)] += count;
        }
        Bars { low, high, counts }
    }
}
