//! How to merge, as flags.

use anyhow::bail;
use modelyard_optimize::merge::{Of, normalized};

use crate::exit::{Exit, ExitWith};

/// How to merge.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Merging")]
pub(crate) struct MergeArgs {
    /// What becomes of the models
    #[arg(long, value_enum, default_value = "average")]
    pub(super) mode: Mode,
    /// How much each model counts, in the order of the models [default: all the same]
    #[arg(long, value_name = "W,…", value_delimiter = ',', conflicts_with = "fit")]
    weights: Vec<f64>,
    /// Find weights on a part of the data that is to be other than what the models learned from
    #[arg(long, requires = "data")]
    fit: bool,
    /// What is averaged or stacked [default: what the models give, or probabilities where they differ]
    #[arg(long, value_enum)]
    of: Option<OfArg>,
    /// Part of the examples that weights are not fitted on, but measured
    #[arg(long, value_name = "PART", default_value = "0.5", value_parser = part)]
    pub(super) held_out: f64,
    /// How small a stack's weights are kept
    #[arg(long, value_name = "X", default_value = "0.01", value_parser = positive)]
    pub(super) l2: f64,
}

/// What becomes of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// One graph that gives the average of what all give
    Average,
    /// One graph in which each model votes for a class
    Vote,
    /// One graph that gives the average of all probabilities
    SoftVote,
    /// One graph with a linear model over what all give, fitted on the data
    Stack,
    /// The graph of one with the average of all weights; with --fit the greedy soup
    Soup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OfArg {
    /// What goes into the last Softmax or Sigmoid
    Logits,
    /// What comes out of it
    Probabilities,
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part: &f64| *part > 0.0 && *part < 1.0);
    part.ok_or_else(|| format!("expected a part between 0 and 1, found '{text}'"))
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| format!("expected a number above zero, found '{text}'"))
}

impl MergeArgs {
    /// Whether anything is learned from the data.
    pub(super) fn fits(&self) -> bool {
        self.fit || self.mode == Mode::Stack
    }

    /// Refuses what does not go together.
    pub(super) fn check(&self, models: usize, has_data: bool) -> anyhow::Result<()> {
        let check = || {
            if models < 2 {
                bail!("merging takes at least two models, found {models}");
            }
            if self.mode == Mode::Stack && !has_data {
                bail!("a stack is fitted on examples: give --data");
            }
            if self.mode == Mode::Stack && !self.weights.is_empty() {
                bail!("the weights of a stack are fitted: leave out --weights");
            }
            if self.of.is_some() && !matches!(self.mode, Mode::Average | Mode::Stack) {
                bail!(
                    "--of goes with --mode average and --mode stack, not with {}",
                    self.mode.name()
                );
            }
            normalized(&self.weights(models), models)?;
            Ok(())
        };
        check().exit_with(Exit::Usage)
    }

    /// How much each model counts, as it was asked for.
    pub(super) fn weights(&self, models: usize) -> Vec<f64> {
        if self.weights.is_empty() { vec![1.0; models] } else { self.weights.clone() }
    }

    /// What is combined.
    pub(super) fn of(&self) -> Option<Of> {
        match (self.mode, self.of) {
            (Mode::SoftVote, _) | (_, Some(OfArg::Probabilities)) => Some(Of::Probabilities),
            (_, Some(OfArg::Logits)) => Some(Of::Logits),
            _ => None,
        }
    }
}

impl Mode {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::Average => "average",
            Mode::Vote => "vote",
            Mode::SoftVote => "soft-vote",
            Mode::Stack => "stack",
            Mode::Soup => "soup",
        }
    }

    /// Whether it is for classes only.
    pub(super) fn needs_classes(self) -> bool {
        matches!(self, Mode::Vote | Mode::SoftVote)
    }
}
