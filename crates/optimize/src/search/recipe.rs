//! How a candidate is made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Steps from the original to a candidate, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Recipe(pub Vec<Step>);

/// One change of a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Passes that keep the answers.
    Passes,
    /// So many percent of the channels are taken out, and the rest learns again from the original.
    Prune {
        /// Percent of the channels.
        percent: u32,
    },
    /// Ranges of channels are made alike across layers.
    Equalize,
    /// Weights stored in 16 bits.
    Half,
    /// Weights of products in blocks of 4 bits.
    Int4,
    /// Integers of ranges that each call has.
    Dynamic,
    /// Integers of ranges that examples had.
    Static(Static),
}

/// How ranges are chosen and which nodes stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Static {
    /// How ranges are chosen.
    pub calibrator: Calibrator,
    /// Whether the outliers of activations are moved into weights first.
    #[serde(default)]
    pub smooth: bool,
    /// Whether biases make up for what rounding of weights does to the mean.
    #[serde(default)]
    pub correct_bias: bool,
    /// Which integers weights become.
    #[serde(default)]
    pub rounding: Rounding,
    /// Names of nodes that stay floats.
    #[serde(default)]
    pub floats: Vec<String>,
}

/// How ranges are chosen, by the names of [`crate::calibrate::Method`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calibrator {
    /// All that was seen.
    #[default]
    MinMax,
    /// 99.99 % of what was seen.
    Percentile,
    /// Least divergence.
    Entropy,
    /// Least squared error.
    Mse,
}

/// Which integers weights become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// The nearest.
    #[default]
    Nearest,
    /// Those on either side that answers are learned to need (AdaRound).
    Learned,
    /// Those that training with rounded weights comes to (quantization-aware training).
    Trained,
}

impl Recipe {
    /// The same with one more step.
    pub fn then(&self, step: Step) -> Recipe {
        let mut steps = self.0.clone();
        steps.push(step);
        Recipe(steps)
    }

    /// The step that makes integers of ranges that examples had, if there is one.
    pub fn static_step(&self) -> Option<&Static> {
        self.0.iter().find_map(|step| match step {
            Step::Static(found) => Some(found),
            _ => None,
        })
    }

    /// Percent of the channels that are taken out.
    pub fn pruned(&self) -> Option<u32> {
        self.0.iter().find_map(|step| match step {
            Step::Prune { percent } => Some(*percent),
            _ => None,
        })
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("original");
        }
        let steps: Vec<String> = self.0.iter().map(Step::to_string).collect();
        f.write_str(&steps.join(" + "))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Passes => f.write_str("passes"),
            Step::Prune { percent } => write!(f, "channels -{percent} %, recovered"),
            Step::Equalize => f.write_str("equalized"),
            Step::Half => f.write_str("fp16 weights"),
            Step::Int4 => f.write_str("int4 weights"),
            Step::Dynamic => f.write_str("int8 dynamic"),
            Step::Static(step) => step.fmt(f),
        }
    }
}

impl fmt::Display for Static {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calibrator = match self.calibrator {
            Calibrator::MinMax => "min-max",
            Calibrator::Percentile => "percentile",
            Calibrator::Entropy => "entropy",
            Calibrator::Mse => "mse",
        };
        write!(f, "int8 static ({calibrator}")?;
        if self.smooth {
            f.write_str(", smoothed")?;
        }
        if self.correct_bias {
            f.write_str(", biases corrected")?;
        }
        match self.rounding {
            Rounding::Nearest => {}
            Rounding::Learned => f.write_str(", rounding learned")?,
            Rounding::Trained => f.write_str(", trained")?,
        }
        match self.floats.len() {
            0 => f.write_str(")"),
            1 => f.write_str(", 1 node of floats)"),
            count => write!(f, ", {count} nodes of floats)"),
        }
    }
}
