//! What is told of a search: numbers for programs (JSON), lines for people.

use std::time::Duration;

use modelyard_graph::Model;
use modelyard_optimize::quantize::dequantized;
use modelyard_optimize::search::{Figures, Goal, Recipe, Trial};
use serde::Serialize;

use super::record::Key;
use super::search::{Found, Search};
use super::sensitivity::Sensitivity;
use super::{Data, Paths};
use crate::data::Task;
use crate::metrics::classification::{Classification, Classifier};
use crate::optimizing::answers::{Answered, Score};

/// Layers whose numbers are shown as histograms.
const SHOWN_LAYERS: usize = 6;
/// Classes beyond which no confusion matrix is drawn.
const MOST_CLASSES: usize = 100;
/// Bars of a histogram.
pub(super) const BARS: usize = 64;

/// What is told.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    /// SHA-256 of the original's file and weights.
    pub(super) model_sha256: String,
    pub(super) output: String,
    pub(super) data: String,
    /// SHA-256 of the examples that answers were compared on, and those that ranges were taken from.
    pub(super) examples_sha256: [String; 2],
    /// How many examples these are.
    pub(super) examples: [usize; 2],
    pub(super) seed: u64,
    pub(super) goal: Goal,
    /// What the budget is a part of.
    pub(super) measure: &'static str,
    pub(super) max_drop: f64,
    pub(super) engine: &'static str,
    pub(super) machine: Machine,
    pub(super) modelyard: &'static str,
    pub(super) seconds: f64,
    /// Whether all that was promising was tried.
    pub(super) is_complete: bool,
    pub(super) original: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) original_score: Option<Score>,
    pub(super) best: Option<Chosen>,
    /// Number of the trial that is nearest to the budget, of those better than the original.
    pub(super) nearest: Option<usize>,
    pub(super) trials: Vec<Line>,
    pub(super) sensitivities: Vec<Sensitivity>,
    pub(super) notes: Vec<String>,
    pub(super) histograms: Vec<Histograms>,
    #[serde(skip)]
    pub(super) confusion: Vec<(String, Classification)>,
}

/// Where it was measured.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) processor: String,
    pub(super) threads: usize,
}

/// The best candidate, as measured the second time.
#[derive(Serialize)]
pub(super) struct Chosen {
    pub(super) recipe: String,
    pub(super) steps: Recipe,
    pub(super) figures: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) score: Option<Score>,
}

/// One candidate.
#[derive(Serialize)]
pub(super) struct Line {
    pub(super) recipe: String,
    #[serde(flatten)]
    pub(super) trial: Trial,
    pub(super) is_within: bool,
    /// Whether no other candidate beats it.
    pub(super) is_on_front: bool,
}

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

impl Report {
    pub(super) fn new(
        (paths, seed, data): (&Paths<'_>, u64, &Data),
        search: &mut Search<'_>,
        (found, key): (&Found, &Key),
        time: Duration,
    ) -> anyhow::Result<Report> {
        let bench = search.bench;
        let best = found.best.as_ref().map(|best| Chosen {
            recipe: found.trials[best.trial].recipe.to_string(),
            steps: found.trials[best.trial].recipe.clone(),
            figures: best.figures,
            score: best.answered.score(),
        });
        let line = |(number, trial): (usize, &Trial)| Line {
            recipe: trial.recipe.to_string(),
            is_within: trial.outcome.as_ref().is_ok_and(|it| it.is_within(search.budget)),
            is_on_front: found.front.contains(&number),
            trial: trial.clone(),
        };
        let calibration = search.maker.calibration.map_or(0, |sample| sample.len());
        Ok(Report {
            model: paths.model.display().to_string(),
            model_sha256: key.model.clone(),
            output: paths.output.display().to_string(),
            data: paths.data.display().to_string(),
            examples_sha256: key.data.clone(),
            examples: [bench.sample.len(), calibration],
            seed,
            goal: search.goal,
            measure: measure(&bench.answered),
            max_drop: search.budget.drop,
            engine: bench.original.engine,
            machine: Machine {
                processor: processor(),
                threads: modelyard_engine::threads::budget(),
            },
            modelyard: env!("CARGO_PKG_VERSION"),
            seconds: time.as_secs_f64(),
            is_complete: found.is_complete,
            original: found.original,
            nearest: found.nearest,
            original_score: bench.answered.score(),
            trials: found.trials.iter().enumerate().map(line).collect(),
            notes: notes(data, search, found, best.as_ref()),
            confusion: confusions(&data.all.task, &bench.answered, found),
            histograms: histograms(search, found)?,
            sensitivities: search.sensitivities.clone(),
            best,
        })
    }

    /// Why there is no result.
    pub(super) fn nothing(&self) -> String {
        let measured = |line: &&Line| line.trial.outcome.is_ok();
        let within = self.trials.iter().filter(measured).any(|line| line.is_within);
        let why = if within {
            "no candidate within the budget is better than the original beyond noise".to_owned()
        } else {
            format!("no candidate keeps the budget of {:.2} %", 100.0 * self.max_drop)
        };
        let nearest = self.nearest.map(|number| &self.trials[number]);
        let nearest = nearest.and_then(|line| Some((line, line.trial.outcome.as_ref().ok()?)));
        match nearest {
            Some((line, figures)) if !within => format!(
                "{why}; the closest, '{}', costs {:.2} %: see the report",
                line.recipe,
                100.0 * figures.drop.estimate
            ),
            _ => format!("{why}; nothing was written but the report"),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(best) = &self.best {
            let Figures { drop, latency, throughput, bytes, .. } = &best.figures;
            text.push_str(&format!(
                "wrote {}: {}\n  {} lower by {:.2} % ({:.2} to {:.2} with 95 % confidence, {} examples)\n  \
                 latency {:.2}x ({:.2} to {:.2}), throughput {:.2}x ({:.2} to {:.2}) of the time\n  \
                 {:.3} MB of {:.3} MB ({:.2}x)\n",
                self.output,
                best.recipe,
                self.measure,
                100.0 * drop.estimate,
                100.0 * drop.low,
                100.0 * drop.high,
                self.examples[0],
                latency.estimate,
                latency.low,
                latency.high,
                throughput.estimate,
                throughput.low,
                throughput.high,
                *bytes as f64 / 1e6,
                self.original.bytes as f64 / 1e6,
                *bytes as f64 / self.original.bytes.max(1) as f64,
            ));
        }
        text.push_str(&format!(
            "{} candidates in {:.0} s on {} ({})\n",
            self.trials.len(),
            self.seconds,
            self.engine,
            if self.is_complete { "all that promised anything" } else { "time was up" }
        ));
        for line in self.trials.iter().filter(|line| line.is_on_front) {
            if let Ok(figures) = &line.trial.outcome {
                text.push_str(&format!(
                    "  drop {:6.2} %  latency {:.2}x  throughput {:.2}x  {:9.3} MB  {}\n",
                    100.0 * figures.drop.estimate,
                    figures.latency.estimate,
                    figures.throughput.estimate,
                    figures.bytes as f64 / 1e6,
                    line.recipe
                ));
            }
        }
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        text.push_str(&format!("report: {}.report.html", self.output));
        text
    }
}

/// What a drop is measured in.
fn measure(answered: &Answered) -> &'static str {
    match (answered.classes.is_empty(), answered.truth.is_empty()) {
        (false, _) => "accuracy",
        (true, false) => "relative error",
        (true, true) => "agreement with the original",
    }
}

fn notes(data: &Data, search: &Search<'_>, found: &Found, best: Option<&Chosen>) -> Vec<String> {
    let mut notes = Vec::new();
    if data.is_shared() {
        notes.push(
            "ranges were taken from examples that answers were compared on, which flatters integers: \
             give --calibration"
                .to_owned(),
        );
    }
    if let Some(best) = best
        && best.figures.drop.high > search.budget.drop
    {
        notes.push(format!(
            "{} examples do not tell for sure that the budget is kept: the drop may be up to {:.2} %",
            search.bench.sample.len(),
            100.0 * best.figures.drop.high
        ));
    }
    if let Some(best) = &found.best {
        let first = found.trials[best.trial].outcome.as_ref().ok();
        let times = first.map(|first| (first.latency.estimate, best.figures.latency.estimate));
        if let Some((first, again)) = times.filter(|(first, again)| again > &(1.15 * first)) {
            notes.push(format!(
                "the winner's latency was {first:.2}x when it was found and {again:.2}x when it was \
                 measured again: the machine is not quiet"
            ));
        }
    }
    notes
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

fn confusions(task: &Task, original: &Answered, found: &Found) -> Vec<(String, Classification)> {
    let Task::Classification { labels } = task else { return Vec::new() };
    let after = found.best.as_ref().map(|best| ("optimized".to_owned(), &best.answered));
    let all = std::iter::once(("original".to_owned(), original)).chain(after);
    all.filter_map(|(name, answered)| {
        let fits = answered.width == labels.len() && answered.width <= MOST_CLASSES;
        let mut classifier = Classifier::new(fits.then_some(answered.width)?, &[]);
        classifier.add(&answered.values, &answered.classes).ok()?;
        Some((name, classifier.finish(labels)))
    })
    .collect()
}

/// Numbers of the layers that lose most, or of the first ones where that was not measured.
fn histograms(search: &mut Search<'_>, found: &Found) -> anyhow::Result<Vec<Histograms>> {
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
