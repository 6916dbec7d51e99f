//! How to quantize, as flags.

use std::time::Duration;

use anyhow::bail;
use modelyard_graph::weights::Narrow;
use modelyard_optimize::Grid;
use modelyard_optimize::calibrate::Method;
use modelyard_optimize::improve::Alpha;
use modelyard_optimize::quantize::{Blocks, Options, SEVEN_BITS};

use crate::cli::duration;

/// How to quantize.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Quantization")]
pub(crate) struct QuantizeArgs {
    /// What becomes of weights and activations [default: static with --data, else dynamic]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Integers of activations, in static quantization
    #[arg(long, value_enum, default_value = "u8")]
    activations: Integers,
    /// Integers of weights; s7 is for processors without VNNI, where products of 8 bits saturate
    #[arg(long, value_enum, default_value = "s8")]
    weights: Integers,
    /// Zero lies in the middle of the integers of activations
    #[arg(long)]
    symmetric: bool,
    /// Zero may lie anywhere among the integers of weights
    #[arg(long)]
    asymmetric_weights: bool,
    /// One scale for all of a weight, instead of one for each channel
    #[arg(long)]
    per_tensor: bool,
    /// How ranges are chosen: min-max, moving-average[=0.01], percentile[=99.99], entropy or mse
    #[arg(long, value_name = "METHOD", default_value = "min-max", value_parser = calibrator)]
    pub(super) calibrator: Method,
    /// Quantize nodes of these operators [default: those with weights, and what stands between
    /// convolutions]
    #[arg(long, value_name = "OPERATOR,…", value_delimiter = ',')]
    operators: Vec<String>,
    /// Quantize products of two activations too, such as in attention
    #[arg(long)]
    products: bool,
    /// Leave the nodes of this name as they are; * stands for anything (repeatable)
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Make the ranges of channels alike across layers first: for networks of convolutions, most of all
    /// with depthwise ones (mode static)
    #[arg(long)]
    pub(super) equalize: bool,
    /// Let a ReLU6 between layers to equalize become a ReLU: it would be in the way. Answers change
    /// where the ceiling was reached
    #[arg(long, requires = "equalize")]
    pub(super) unclip: bool,
    /// Move outliers of activations into the weights of products first, as much as promises the least
    /// error (auto) or this much, 0 to 1: for transformers (mode static)
    #[arg(long, value_name = "ALPHA", num_args = 0..=1, default_missing_value = "auto",
        value_parser = alpha)]
    pub(super) smooth: Option<Alpha>,
    /// Smooth only where that needs no more multiplications
    #[arg(long, requires = "smooth")]
    pub(super) smooth_folded: bool,
    /// Let biases make up for what rounding of weights does to the mean of each channel (mode static)
    #[arg(long)]
    pub(super) correct_bias: bool,
    /// Learn for each weight whether it is rounded up or down, in so many steps a layer (mode static)
    #[arg(long, value_name = "STEPS", num_args = 0..=1, default_missing_value = "500",
        value_parser = steps)]
    pub(super) adaround: Option<usize>,
    /// Stop to learn rounding after this time, such as 5m
    #[arg(long, value_name = "TIME", requires = "adaround", value_parser = duration)]
    pub(super) adaround_time: Option<Duration>,
    /// Measure what each node loses as integers, and leave the N that lose most as floats (mode static)
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true)]
    pub(super) keep_sensitive: usize,
    /// Weights that share a scale, in mode int4
    #[arg(long, value_name = "N", default_value = "32")]
    block_size: usize,
}

/// What becomes of weights and activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// Integers of ranges that examples had
    Static,
    /// Integers of ranges that each call has; needs no examples
    Dynamic,
    /// Weights of products in blocks of 4-bit integers, activations of floats
    Int4,
    /// Weights stored as 16-bit floats
    Fp16,
    /// Weights stored as 16-bit floats with the range of 32 bits
    Bf16,
}

impl Mode {
    /// The type of stored weights.
    pub(super) fn narrow(self) -> Narrow {
        if self == Mode::Bf16 { Narrow::Bf16 } else { Narrow::Fp16 }
    }

    fn name(self) -> &'static str {
        match self {
            Mode::Static => "static",
            Mode::Dynamic => "dynamic",
            Mode::Int4 => "int4",
            Mode::Fp16 => "fp16",
            Mode::Bf16 => "bf16",
        }
    }
}

/// Kinds of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Integers {
    /// Unsigned, 8 bits
    U8,
    /// Signed, 8 bits
    S8,
    /// Signed, 7 of 8 bits
    S7,
}

impl Integers {
    fn grid(self) -> Grid {
        match self {
            Integers::U8 => Grid::U8,
            Integers::S8 => Grid { symmetric: false, ..Grid::S8 },
            Integers::S7 => Grid { symmetric: false, ..SEVEN_BITS },
        }
    }
}

fn calibrator(text: &str) -> Result<Method, String> {
    let (name, number) =
        text.split_once('=').map_or((text, None), |(name, rest)| (name, Some(rest)));
    let number = |default: f32, most: f32| match number {
        None => Ok(default),
        Some(text) => {
            let number = text.parse().ok().filter(|number: &f32| *number > 0.0 && *number <= most);
            number.ok_or_else(|| {
                format!("expected a number above 0 and up to {most}, found '{text}'")
            })
        }
    };
    match name {
        "min-max" => Ok(Method::MinMax),
        "moving-average" => Ok(Method::MovingAverage(number(0.01, 1.0)?)),
        "percentile" => Ok(Method::Percentile(number(99.99, 100.0)?)),
        "entropy" => Ok(Method::Entropy),
        "mse" => Ok(Method::Mse),
        _ => Err("expected min-max, moving-average, percentile, entropy or mse".into()),
    }
}

fn steps(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
    number.ok_or_else(|| format!("expected 1 to 100000 steps, found '{text}'"))
}

fn alpha(text: &str) -> Result<Alpha, String> {
    if text == "auto" {
        return Ok(Alpha::Search);
    }
    let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
    number.map(Alpha::Fixed).ok_or_else(|| format!("expected auto or 0 to 1, found '{text}'"))
}

impl QuantizeArgs {
    /// What becomes of weights and activations, where there are examples or not.
    pub(super) fn mode(&self, has_examples: bool) -> Mode {
        self.mode.unwrap_or(if has_examples { Mode::Static } else { Mode::Dynamic })
    }

    /// The same for the library.
    pub(super) fn options(&self, mode: Mode) -> anyhow::Result<Options> {
        if let (true, Some(flag)) = (mode != Mode::Static, self.only_static()) {
            bail!("{flag} goes with --mode static, found {}", mode.name());
        }
        let weights = Grid { symmetric: !self.asymmetric_weights, ..self.weights.grid() };
        if let Some(unknown) = self.operators.iter().find(|name| !KNOWN.contains(&name.as_str())) {
            bail!(
                "operator '{unknown}' cannot be quantized, expected some of {}",
                KNOWN.join(", ")
            );
        }
        Ok(Options {
            activations: Grid { symmetric: self.symmetric, ..self.activations.grid() },
            weights,
            per_channel: !self.per_tensor,
            products: self.products,
            operators: (!self.operators.is_empty())
                .then(|| self.operators.iter().cloned().collect()),
            exclude: self.exclude.clone(),
        })
    }

    /// A flag that is given and means something in static quantization only.
    fn only_static(&self) -> Option<&'static str> {
        let flags = [
            ("--equalize", self.equalize),
            ("--smooth", self.smooth.is_some()),
            ("--correct-bias", self.correct_bias),
            ("--adaround", self.adaround.is_some()),
            ("--keep-sensitive", self.keep_sensitive > 0),
        ];
        flags.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// How weights are cut into blocks.
    pub(super) fn blocks(&self) -> Blocks {
        Blocks { size: self.block_size, symmetric: !self.asymmetric_weights }
    }

    /// What the model's metadata says.
    pub(super) fn text(&self, mode: Mode, is_trained: bool) -> String {
        if mode != Mode::Static {
            return mode.name().to_owned();
        }
        let channel = if self.per_tensor { "tensor" } else { "channel" };
        let mut text = format!(
            "static, activations {:?}, weights {:?} per {channel}, ranges by {:?}",
            self.activations, self.weights, self.calibrator
        );
        let done = [
            (self.equalize, ", equalized"),
            (self.smooth.is_some(), ", smoothed"),
            (is_trained, ", trained"),
            (self.adaround.is_some(), ", rounding learned"),
            (self.correct_bias, ", biases corrected"),
        ];
        done.iter().filter(|(is_done, _)| *is_done).for_each(|(_, name)| text.push_str(name));
        text
    }
}

/// Operators that can be quantized.
const KNOWN: [&str; 13] = [
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "ConvTranspose",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "Mul",
    "Sigmoid",
    "Softmax",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibrators_are_read() {
        assert_eq!(calibrator("percentile=99.9"), Ok(Method::Percentile(99.9)));
        assert_eq!(calibrator("moving-average"), Ok(Method::MovingAverage(0.01)));
        assert!(calibrator("percentile=200").is_err() && calibrator("kl").is_err());
    }
}
