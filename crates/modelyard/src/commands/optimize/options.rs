//! What is asked of a search, as flags.

use std::path::PathBuf;
use std::time::Duration;

use modelyard_optimize::search::Goal;

use super::passes::PassArgs;
use crate::cli::{EngineArgs, duration};
use crate::data::args::DataIfAny;

/// Find the smallest or fastest model whose answers are good enough
///
/// Candidates are made of the model: cleaned, with fewer bits, with fewer channels where it can be
/// trained; each is run beside the original on the engine and the machine that this command runs on.
/// The best that keeps the budget is written, with a report of all that was tried. Where the data has
/// no targets, the budget is for answers that differ from the original's.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    modelyard optimize digits.onnx -o digits-fast.onnx --data examples/digits\n  \
    modelyard optimize net.onnx -o net-small.onnx --data photos --for size \
    --max-accuracy-drop 1% --time 10m")]
pub(crate) struct Args {
    /// The model to start from
    #[arg(value_name = "MODEL", required_unless_present = "list_passes")]
    pub(super) model: Option<PathBuf>,
    /// Where the best model goes; the report goes beside it
    #[arg(short, long, value_name = "FILE", required_unless_present = "list_passes")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) data: DataIfAny,
    /// Data to take ranges of activations from [default: the part of the data to learn from, or all]
    #[arg(long, value_name = "PATH")]
    pub(super) calibration: Option<PathBuf>,
    /// How much worse answers may get: the part of the examples, such as 0.5%
    #[arg(long, value_name = "PART", default_value = "0.5%", value_parser = part)]
    pub(super) max_accuracy_drop: f64,
    /// What is to get better
    #[arg(long = "for", value_enum, default_value = "latency")]
    pub(super) goal: Wanted,
    /// Time after which no more candidates are tried, such as 90s, 30m or 2h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = duration)]
    pub(super) time: Duration,
    /// Examples whose answers are compared
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(super) samples: usize,
    /// Examples that ranges are taken from
    #[arg(long, value_name = "N", default_value = "256")]
    pub(super) calibration_samples: usize,
    /// Examples of a large batch
    #[arg(long, value_name = "N", default_value = "32")]
    pub(super) batch: usize,
    /// Decides what is drawn by chance
    #[arg(long, value_name = "N", default_value = "0")]
    pub(super) seed: u64,
    /// Forget what an earlier run of the same search measured
    #[arg(long)]
    pub(super) fresh: bool,
    #[command(flatten)]
    pub(super) passes: PassArgs,
    /// Print the report as JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) engine: EngineArgs,
}

/// What is to get better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Wanted {
    /// Time of a single call
    Latency,
    /// Time per example in large batches
    Throughput,
    /// Size of the file
    Size,
    /// Memory of the loaded model
    Memory,
}

impl Wanted {
    pub(super) fn goal(self) -> Goal {
        match self {
            Wanted::Latency => Goal::Latency,
            Wanted::Throughput => Goal::Throughput,
            Wanted::Size => Goal::Size,
            Wanted::Memory => Goal::Memory,
        }
    }
}

fn part(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let number = number.ok().filter(|part| (0.0..=1.0).contains(part));
    number.ok_or_else(|| format!("expected a part such as 0.5% or 0.005, found '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read() {
        assert_eq!((part("0.5%"), part("0.01")), (Ok(0.005), Ok(0.01)));
        assert!(part("200%").is_err() && part("-1").is_err() && part("x").is_err());
    }
}
