//! What to prune, as flags.

use anyhow::bail;
use modelyard_optimize::prune::sparse::{NofM, Scope, Sparsity};
use modelyard_optimize::prune::{Importance, Options, Ranking, Target};

use crate::data::Task;
use crate::optimizing::recover::{ALPHA, Plan, Recovery, TEMPERATURE};

/// What to prune.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Pruning")]
pub(super) struct PruneArgs {
    /// Remove this share of the channels of every layer: 0.5 is half
    #[arg(long, value_name = "SHARE", group = "what")]
    channels: Option<f64>,
    /// Remove channels until this share of the operations is gone
    #[arg(long, value_name = "SHARE", group = "what")]
    flops: Option<f64>,
    /// Remove channels until this share of the parameters is gone
    #[arg(long, value_name = "SHARE", group = "what")]
    parameters: Option<f64>,
    /// Remove channels until this share of the time of a run is gone: candidates are timed beside the
    /// original, in the engine and on the machine that this runs on
    #[arg(long, value_name = "SHARE", group = "what", requires = "data")]
    latency: Option<f64>,
    /// Make this share of the weights zero instead. Processors gain no speed by it: only a compressed
    /// file is smaller
    #[arg(long, value_name = "SHARE", group = "what")]
    sparsity: Option<f64>,
    /// Let N of every M weights along the input stay, such as 2:4, and make the others zero. Processors
    /// gain no speed by it
    #[arg(long, value_name = "N:M", group = "what", value_parser = pattern)]
    pattern: Option<NofM>,
    /// What makes a channel important: the size of its filters (l1, l2), the scale of its batch
    /// normalization (bn), or how the loss depends on it (taylor, with --data)
    #[arg(long, value_enum, default_value = "l2")]
    importance: ImportanceName,
    /// Whether every layer loses the same share, or the least important channels of all layers go
    #[arg(long, value_enum, default_value = "uniform")]
    ranking: RankingName,
    /// Channels that stay are a multiple of N [default: 16 in layers of 32 or more, 8 in those of 16 or
    /// more, else 1]
    #[arg(long, value_name = "N")]
    multiple: Option<usize>,
    /// Channels that stay in each layer at least
    #[arg(long, value_name = "N", default_value = "1")]
    minimum: usize,
    /// Leave the layers whose weight has this name as they are; * stands for anything (repeatable)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Remove channels too that a LayerNormalization takes mean and variance over; what is left then is
    /// not what the whole computed without them
    #[arg(long)]
    narrow: bool,
    /// Whether --sparsity is of all weights together or of each layer
    #[arg(long, value_enum, default_value = "global")]
    scope: ScopeName,
    /// Reach the target in N steps, each followed by training
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: u8,
    /// How to make up for what was lost [default: distill where the data has classes, else finetune]
    #[arg(long, value_enum, requires = "data")]
    recover: Option<RecoverName>,
    /// Divides the logits of both models in distillation
    #[arg(long, value_name = "T", default_value_t = TEMPERATURE)]
    temperature: f32,
    /// Weight of the original beside the labels in distillation, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = ALPHA)]
    alpha: f32,
    /// Batches that --importance taylor looks at
    #[arg(long, value_name = "N", default_value = "32")]
    pub(super) taylor_batches: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ImportanceName {
    /// Sum of the absolute weights
    L1,
    /// Root of the sum of their squares
    L2,
    /// Scale of the batch normalization
    Bn,
    /// How the loss depends on it, to first order
    Taylor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RankingName {
    /// Every layer loses the same share
    Uniform,
    /// The least important of all go
    Global,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ScopeName {
    /// All weights together
    Global,
    /// Each layer by itself
    Layer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum RecoverName {
    /// Learn to answer as the original does, beside the labels
    Distill,
    /// Learn the data again
    Finetune,
    /// Nothing
    None,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Channels go.
    Channels(Plan),
    /// Channels go until this share of the time is gone.
    Time(Plan, f64),
    /// Weights become zero, but those of these names.
    Weights(Sparsity, Vec<String>),
}

impl PruneArgs {
    /// The same for the library.
    pub(super) fn work(&self, has_data: bool) -> anyhow::Result<Work> {
        let is_taylor = self.importance == ImportanceName::Taylor;
        if is_taylor && !has_data {
            bail!("--importance taylor asks the loss which channels matter: give --data");
        }
        if self.rounds > 1 && !has_data {
            bail!("--rounds is for training in between: give --data");
        }
        let scope = match self.scope {
            ScopeName::Global => Scope::Global,
            ScopeName::Layer => Scope::Layer,
        };
        let latency = self.latency.map(|share| in_range("--latency", share)).transpose()?;
        let target = match (self.channels.or(latency), self.flops, self.parameters) {
            (Some(share), ..) => Target::Channels(in_range("--channels", share)?),
            (_, Some(share), _) => Target::Flops(in_range("--flops", share)?),
            (.., Some(share)) => Target::Parameters(in_range("--parameters", share)?),
            _ => {
                let sparsity = match (self.sparsity, self.pattern) {
                    (Some(share), _) => Sparsity::Share(in_range("--sparsity", share)?, scope),
                    (None, Some(pattern)) => Sparsity::Pattern(pattern),
                    (None, None) => bail!(
                        "say what to prune: --channels, --flops, --parameters, --latency, \
                         --sparsity or --pattern"
                    ),
                };
                if self.rounds > 1 {
                    bail!("--rounds is for channels: --sparsity rises by itself while training");
                }
                return Ok(Work::Weights(sparsity, self.exclude.clone()));
            }
        };
        let options = Options {
            target,
            ranking: match self.ranking {
                RankingName::Uniform => Ranking::Uniform,
                RankingName::Global => Ranking::Global,
            },
            importance: match self.importance {
                ImportanceName::L1 => Importance::L1,
                ImportanceName::Bn => Importance::BatchNorm,
                ImportanceName::L2 | ImportanceName::Taylor => Importance::L2,
            },
            multiple: self.multiple,
            minimum: self.minimum,
            exclude: self.exclude.clone(),
            narrow: self.narrow,
        };
        let plan = Plan { options, taylor: is_taylor, rounds: self.rounds.into() };
        Ok(match latency {
            Some(share) => Work::Time(plan, share),
            None => Work::Channels(plan),
        })
    }

    /// How to make up for what was lost.
    pub(super) fn recovery(&self, task: &Task) -> anyhow::Result<Recovery> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            bail!("expected a number above 0 for --temperature, found {}", self.temperature);
        }
        if !(0.0..=1.0).contains(&self.alpha) {
            bail!("expected a number from 0 to 1 for --alpha, found {}", self.alpha);
        }
        let distill = Recovery::Distill { temperature: self.temperature, alpha: self.alpha };
        Ok(match (self.recover, task) {
            (Some(RecoverName::None), _) => Recovery::None,
            (Some(RecoverName::Finetune), _) => Recovery::Finetune,
            (Some(RecoverName::Distill), _) | (None, Task::Unlabelled) => distill,
            // One number for two classes has no logits to learn from.
            (None, Task::Classification { labels }) if labels.len() > 2 => distill,
            (None, _) => Recovery::Finetune,
        })
    }
}

fn in_range(flag: &str, share: f64) -> anyhow::Result<f64> {
    if share > 0.0 && share < 1.0 {
        return Ok(share);
    }
    bail!("expected a share above 0 and below 1 for {flag}, found {share}")
}

fn pattern(text: &str) -> Result<NofM, String> {
    let parsed = text.split_once(':').and_then(|(n, m)| Some((n.parse().ok()?, m.parse().ok()?)));
    match parsed {
        Some((n, m)) if n > 0 && n < m => Ok(NofM { n, m }),
        _ => Err("expected N:M with N from 1 to below M, such as 2:4".into()),
    }
}
