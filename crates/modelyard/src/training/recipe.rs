//! How to train, from flags and TOML.

use anyhow::{anyhow, bail};
use modelyard_train::optimizer::{Clip, Curve, Penalties, Rule, Schedule};
use modelyard_train::trainer::{EarlyStop, LossKind, Options};
use serde::Deserialize;

use crate::data::Task;

/// How to train. Every flag is also a key of the table `[training]` in a TOML file; flags win.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[command(next_help_heading = "How to train")]
pub(crate) struct Recipe {
    /// How answers are graded [default: cross-entropy for classes, mse for values]
    #[arg(long, value_enum)]
    pub(crate) loss: Option<Loss>,
    /// How weights follow their gradients [default: adam]
    #[arg(long, value_enum)]
    pub(crate) optimizer: Option<OptimizerName>,
    /// Learning rate [default: 0.001; sgd 0.01]
    #[arg(long, value_name = "RATE")]
    pub(crate) learning_rate: Option<f32>,
    /// Momentum of sgd and rmsprop [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub(crate) momentum: Option<f32>,
    /// Let the momentum of sgd look ahead
    #[arg(long)]
    pub(crate) nesterov: bool,
    /// Learning rate over time: constant, cosine, or step:EPOCHS:FACTOR [default: constant]
    #[arg(long, value_name = "CURVE")]
    pub(crate) schedule: Option<String>,
    /// Steps over which the learning rate rises from 0 [default: 0]
    #[arg(long, value_name = "STEPS")]
    pub(crate) warmup: Option<u64>,
    /// Times that all examples are seen [default: 5]
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Examples a step [default: 32]
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<usize>,
    /// Add the sum of absolute weights times this to the loss
    #[arg(long, value_name = "FACTOR")]
    pub(crate) l1: Option<f32>,
    /// Add the sum of squared weights times this to the loss
    #[arg(long, value_name = "FACTOR")]
    pub(crate) l2: Option<f32>,
    /// Take this share of each weight, times the learning rate, off in each step [default: 0;
    /// adamw 0.01]
    #[arg(long, value_name = "SHARE")]
    pub(crate) weight_decay: Option<f32>,
    /// Scale gradients down to this norm over all weights
    #[arg(long, value_name = "NORM", conflicts_with = "clip_value")]
    pub(crate) clip_norm: Option<f32>,
    /// Bound every number of the gradients
    #[arg(long, value_name = "MAX")]
    pub(crate) clip_value: Option<f32>,
    /// Stop after N epochs without a lower (validation) loss, and keep the best weights
    #[arg(long, value_name = "N")]
    pub(crate) early_stop: Option<usize>,
    /// Share of the training examples that is set apart to validate by [default: 0.1]
    #[arg(long, value_name = "SHARE")]
    pub(crate) validation: Option<f64>,
    /// Decides everything that is left to chance: the same seed gives the same weights, bit for
    /// bit, on one machine [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Take mean and deviation of the inputs out, as part of the model: standard or none
    /// [default: standard for tables, none for the rest]
    #[arg(long, value_enum)]
    pub(crate) normalize: Option<Normalize>,
    /// Most bytes that the values of one step may take, such as 4GiB [default: 3/4 of the memory
    /// that is free]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<String>,
}

/// A loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Loss {
    /// One class of several
    CrossEntropy,
    /// Mean squared error
    Mse,
    /// Independent yes and no
    BinaryCrossEntropy,
    /// Divergence from a distribution
    KlDivergence,
}

/// An optimizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OptimizerName {
    /// Adam (Kingma and Ba)
    Adam,
    /// Adam with decoupled weight decay
    Adamw,
    /// Stochastic gradient descent
    Sgd,
    /// RMSprop
    Rmsprop,
}

/// What is taken out of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Normalize {
    /// Nothing
    None,
    /// Mean and standard deviation of each feature, or of each channel of a picture
    Standard,
}

impl Recipe {
    /// These settings where they are given, else those of `file`.
    pub(crate) fn or(self, file: Recipe) -> Recipe {
        // One way to clip: a flag for the other takes its place.
        let clips = self.clip_norm.is_some() || self.clip_value.is_some();
        let file_clips = if clips { (None, None) } else { (file.clip_norm, file.clip_value) };
        Recipe {
            loss: self.loss.or(file.loss),
            optimizer: self.optimizer.or(file.optimizer),
            learning_rate: self.learning_rate.or(file.learning_rate),
            momentum: self.momentum.or(file.momentum),
            nesterov: self.nesterov || file.nesterov,
            schedule: self.schedule.or(file.schedule),
            warmup: self.warmup.or(file.warmup),
            epochs: self.epochs.or(file.epochs),
            batch: self.batch.or(file.batch),
            l1: self.l1.or(file.l1),
            l2: self.l2.or(file.l2),
            weight_decay: self.weight_decay.or(file.weight_decay),
            clip_norm: self.clip_norm.or(file_clips.0),
            clip_value: self.clip_value.or(file_clips.1),
            early_stop: self.early_stop.or(file.early_stop),
            validation: self.validation.or(file.validation),
            seed: self.seed.or(file.seed),
            normalize: self.normalize.or(file.normalize),
            memory_limit: self.memory_limit.or(file.memory_limit),
        }
    }

    /// The seed.
    pub(crate) fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }

    /// The share that is set apart for validation.
    pub(crate) fn validation(&self) -> anyhow::Result<f64> {
        let share = self.validation.unwrap_or(0.1);
        if (0.0..1.0).contains(&share) {
            return Ok(share);
        }
        bail!("expected a share from 0 to below 1 for --validation, found {share}")
    }

    /// The options of the trainer, every number checked.
    pub(crate) fn options(&self, task: &Task) -> anyhow::Result<Options> {
        let schedule = Schedule {
            rate: self.rate()?,
            warmup_steps: self.warmup.unwrap_or(0),
            curve: self.schedule.as_deref().map_or(Ok(Curve::Constant), curve)?,
        };
        let clip = match (self.clip_norm, self.clip_value) {
            (Some(_), Some(_)) => bail!("clip-norm and clip-value exclude each other"),
            (Some(norm), None) => Clip::Norm(positive("--clip-norm", norm)?),
            (None, Some(most)) => Clip::Value(positive("--clip-value", most)?),
            (None, None) => Clip::None,
        };
        let stop = |patience| EarlyStop { patience, min_delta: 0.0 };
        Ok(Options {
            loss: self.loss(task)?,
            rule: self.rule()?,
            penalties: self.penalties()?,
            clip,
            schedule,
            epochs: count("--epochs", self.epochs.unwrap_or(5))?,
            batch: count("--batch", self.batch.unwrap_or(32))?,
            seed: self.seed(),
            early_stop: match self.early_stop {
                Some(patience) => Some(stop(count("--early-stop", patience)?)),
                None => None,
            },
            memory_limit_bytes: self.memory_limit()?,
        })
    }

    /// The same where a teacher's answers are learned, which takes no targets; the loss is still to be
    /// set.
    pub(crate) fn taught(&self, task: &Task) -> anyhow::Result<Options> {
        match task {
            Task::Unlabelled => self.options(&Task::Regression { width: 1 }),
            task => self.options(task),
        }
    }

    fn rate(&self) -> anyhow::Result<f32> {
        let default = if self.optimizer == Some(OptimizerName::Sgd) { 0.01 } else { 0.001 };
        positive("--learning-rate", self.learning_rate.unwrap_or(default))
    }

    fn loss(&self, task: &Task) -> anyhow::Result<LossKind> {
        Ok(match (self.loss, task) {
            (_, Task::Unlabelled) => bail!(
                "the data has no targets to learn (--target names one, --targets a file of them)"
            ),
            (Some(Loss::CrossEntropy), _) => LossKind::CrossEntropy,
            (Some(Loss::Mse), _) => LossKind::MeanSquaredError,
            (Some(Loss::BinaryCrossEntropy), _) => LossKind::BinaryCrossEntropy,
            (Some(Loss::KlDivergence), _) => LossKind::KlDivergence,
            (None, Task::Classification { .. }) => LossKind::CrossEntropy,
            (None, Task::Regression { .. }) => LossKind::MeanSquaredError,
        })
    }

    fn rule(&self) -> anyhow::Result<Rule> {
        let momentum = share("--momentum", self.momentum.unwrap_or(0.0))?;
        let rule = match self.optimizer.unwrap_or(OptimizerName::Adam) {
            OptimizerName::Adam | OptimizerName::Adamw => Rule::ADAM,
            OptimizerName::Sgd => Rule::Sgd { momentum, nesterov: self.nesterov },
            OptimizerName::Rmsprop => Rule::Rmsprop { rho: 0.9, epsilon: 1e-7, momentum },
        };
        if matches!(rule, Rule::Adam { .. }) && self.momentum.is_some() {
            bail!("--momentum goes with --optimizer sgd or rmsprop");
        }
        if self.nesterov && (!matches!(rule, Rule::Sgd { .. }) || momentum == 0.0) {
            bail!("--nesterov goes with --optimizer sgd and a --momentum");
        }
        Ok(rule)
    }

    fn penalties(&self) -> anyhow::Result<Penalties> {
        let decay = if self.optimizer == Some(OptimizerName::Adamw) { 0.01 } else { 0.0 };
        let penalties = Penalties {
            l1: self.l1.unwrap_or(0.0),
            l2: self.l2.unwrap_or(0.0),
            decay: self.weight_decay.unwrap_or(decay),
        };
        for (flag, value) in
            [("--l1", penalties.l1), ("--l2", penalties.l2), ("--weight-decay", penalties.decay)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                bail!("expected a number of at least 0 for {flag}, found {value}");
            }
        }
        Ok(penalties)
    }

    fn memory_limit(&self) -> anyhow::Result<usize> {
        let Some(text) = &self.memory_limit else {
            return Ok(free_memory_bytes() / 4 * 3);
        };
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
        let bytes = units.iter().find_map(|(unit, factor)| {
            text.strip_suffix(unit)?.trim().parse::<usize>().ok()?.checked_mul(*factor)
        });
        bytes.filter(|&bytes| bytes > 0).ok_or_else(|| {
            anyhow!("expected a size such as 512MiB or 4GiB for --memory-limit, found '{text}'")
        })
    }
}

/// Memory that could be taken without swapping, as Linux estimates it, and within the cgroup's
/// limit; without an estimate there is no bound.
fn free_memory_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    let free = kilobytes.map_or(usize::MAX, |kilobytes: usize| kilobytes.saturating_mul(1024));
    let cgroup = |file: &str| -> Option<usize> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?.trim().parse().ok()
    };
    let within = cgroup("memory.max").zip(cgroup("memory.current"));
    within.map_or(free, |(most, used)| free.min(most.saturating_sub(used)))
}

fn curve(text: &str) -> anyhow::Result<Curve> {
    let parts: Vec<&str> = text.split(':').collect();
    let step = |every: &str, factor: &str| {
        let every = every.parse().ok().filter(|every| *every > 0)?;
        let factor = factor.parse().ok().filter(|factor| (0.0..=1.0).contains(factor))?;
        Some(Curve::Step { every, factor })
    };
    let curve = match parts.as_slice() {
        ["constant"] => Some(Curve::Constant),
        ["cosine"] => Some(Curve::Cosine),
        ["step", every, factor] => step(every, factor),
        _ => None,
    };
    curve.ok_or_else(|| {
        anyhow!("expected constant, cosine or step:EPOCHS:FACTOR for --schedule, found '{text}'")
    })
}

fn positive(flag: &str, value: f32) -> anyhow::Result<f32> {
    match value > 0.0 && value.is_finite() {
        true => Ok(value),
        false => bail!("expected a number above 0 for {flag}, found {value}"),
    }
}

fn share(flag: &str, value: f32) -> anyhow::Result<f32> {
    match (0.0..1.0).contains(&value) {
        true => Ok(value),
        false => bail!("expected a number from 0 to below 1 for {flag}, found {value}"),
    }
}

fn count(flag: &str, value: usize) -> anyhow::Result<usize> {
    match value > 0 {
        true => Ok(value),
        false => bail!("expected a whole number of at least 1 for {flag}, found 0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Task {
        Task::Classification { labels: vec!["a".into(), "b".into()] }
    }

    #[test]
    fn defaults_follow_task_and_optimizer() {
        let options = Recipe::default().options(&classes()).unwrap();
        assert_eq!((options.loss, options.rule), (LossKind::CrossEntropy, Rule::ADAM));
        assert_eq!((options.schedule.rate, options.epochs, options.batch), (0.001, 5, 32));
        let recipe = Recipe { optimizer: Some(OptimizerName::Adamw), ..Recipe::default() };
        let options = recipe.options(&Task::Regression { width: 1 }).unwrap();
        assert_eq!(options.loss, LossKind::MeanSquaredError);
        assert_eq!(options.penalties.decay, 0.01);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |recipe: Recipe, expected: &str| {
            let error = recipe.options(&classes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let none = Recipe::default;
        check(
            Recipe { learning_rate: Some(0.0), ..none() },
            "above 0 for --learning-rate, found 0",
        );
        check(Recipe { schedule: Some("steep".into()), ..none() }, "for --schedule, found 'steep'");
        check(Recipe { momentum: Some(0.9), ..none() }, "--momentum goes with");
        check(Recipe { nesterov: true, ..none() }, "--nesterov goes with");
        check(Recipe { epochs: Some(0), ..none() }, "for --epochs, found 0");
        check(Recipe { memory_limit: Some("lots".into()), ..none() }, "found 'lots'");
        check(Recipe { l2: Some(f32::NAN), ..none() }, "for --l2, found NaN");
        assert!(none().options(&Task::Unlabelled).unwrap_err().to_string().contains("--target"));
        assert!(Recipe { validation: Some(1.0), ..none() }.validation().is_err());
    }

    #[test]
    fn schedules_and_sizes() {
        assert_eq!(curve("step:3:0.5").unwrap(), Curve::Step { every: 3, factor: 0.5 });
        assert_eq!(curve("cosine").unwrap(), Curve::Cosine);
        let recipe = Recipe { memory_limit: Some("2 MiB".into()), ..Recipe::default() };
        assert_eq!(recipe.memory_limit().unwrap(), 2 << 20);
    }

    #[test]
    fn flags_win_over_the_file() {
        let file: Recipe =
            toml::from_str("epochs = 7\nloss = \"mse\"\nlearning-rate = 0.1").unwrap();
        let flags = Recipe { epochs: Some(2), ..Recipe::default() };
        let recipe = flags.or(file);
        assert_eq!((recipe.epochs, recipe.loss), (Some(2), Some(Loss::Mse)));
        assert!(toml::from_str::<Recipe>("epoch = 7").unwrap_err().to_string().contains("epoch"));
    }
}
