//! Numbers of layers before and after, counted.

use modelyard_graph::Model;
use modelyard_optimize::quantize::dequantized;
use serde::Serialize;

use super::search::{Found, Search};

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
    let seen = search.maker.known(&Search::passes());
    let mut layers: Vec<String> = search.sensitivities.iter().map(|it| it.node.clone()).collect();
    if layers.is_empty() {
        layers = base.graph.nodes.iter().map(|node| node.label().to_owned()).collect();
    }
    let mut shown = Vec::new();
    for layer in layers {
        let node = base.graph.nodes.iter().find(|node| node.label() == layer);
        let Some((node, weight)) = node.and_then(|node| Some((node, node.input(1)?))) else {
            continue;
        };
        let Some(before) = numbers(&base, weight).filter(|numbers| numbers.len() >= BARS) else {
            continue;
        };
        let bars = Bars::of(&before, None);
        let after = weights.get(weight).map(|after| Bars::of(after, Some((bars.low, bars.high))));
        let observed = node.input(0).and_then(|input| seen?.tensors().get(input));
        shown.push(Histograms {
            node: layer,
            weight: Some(bars),
            weight_after: after,
            activation: observed.and_then(|observed| {
                let histogram = observed.histogram.as_ref()?;
                Some(Bars::binned(histogram.bins(), observed.range.low, observed.range.high))
            }),
            range: observed.map(|observed| [observed.range.low, observed.range.high]),
        });
        if shown.len() == SHOWN_LAYERS {
            break;
        }
    }
    Ok(shown)
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

    fn binned(numbers: impl Iterator<Item = (f32, u64)>, low: f32, high: f32) -> Bars {
        let mut counts = vec![0; BARS];
        let width = ((high - low) / BARS as f32).max(f32::MIN_POSITIVE);
        for (x, count) in numbers {
            counts[(((x - low) / width).max(0.0) as usize).min(BARS - 1)] += count;
        }
        Bars { low, high, counts }
    }
}
