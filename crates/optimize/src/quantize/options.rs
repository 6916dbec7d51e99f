//! What is to be quantized, and to what.

use std::collections::BTreeSet;

use modelyard_graph::{Model, Node};
use modelyard_train::transfer::matches;

use crate::Grid;

/// What is to be quantized, and to what.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The integers of activations.
    pub activations: Grid,
    /// The integers of weights.
    pub weights: Grid,
    /// Whether each channel of a weight has a scale of its own.
    pub per_channel: bool,
    /// Whether products of two activations, such as in attention, are quantized too.
    pub products: bool,
    /// Operators whose nodes are quantized; `None` for [`usual_operators`].
    pub operators: Option<BTreeSet<String>>,
    /// Nodes that stay as they are, by name; `*` stands for anything.
    pub exclude: Vec<String>,
}

impl Options {
    /// Why a node stays as it is, if the options say so.
    pub(super) fn refusal(
        &self,
        node: &Node,
        operators: &BTreeSet<String>,
    ) -> Option<&'static str> {
        if !node.domain.is_empty() || !operators.contains(&node.op_type) {
            return Some("not among the operators to quantize");
        }
        let excluded = |pattern: &String| matches(pattern, node.label());
        self.exclude.iter().any(excluded).then_some("excluded")
    }
}

impl Default for Options {
    /// U8S8 per channel: on processors with VNNI the fastest, by far (docs/optimization.md).
    fn default() -> Options {
        Options {
            activations: Grid::U8,
            weights: Grid::S8,
            per_channel: true,
            products: false,
            operators: None,
            exclude: Vec::new(),
        }
    }
}

/// Operators that have weights; these bring nearly all of the speed and the size.
const WITH_WEIGHTS: [&str; 5] = ["Conv", "ConvTranspose", "Gather", "Gemm", "MatMul"];

/// What stands between convolutions and is as cheap with integers. Left as floats, it would cost two
/// conversions each.
const BETWEEN_CONVOLUTIONS: [&str; 6] =
    ["Add", "AveragePool", "Concat", "GlobalAveragePool", "Mul", "Sigmoid"];

/// Operators that are worth quantizing in this model: those with weights, and in networks of
/// convolutions what stands between these.
///
/// Transformers keep what stands between their products of matrices: the sums of residual branches
/// have outliers that 8 bits do not hold (Bondarenko et al., "Understanding and Overcoming the
/// Challenges of Efficient Transformer Quantization", 2021).
pub fn usual_operators(model: &Model) -> BTreeSet<String> {
    let is_convolution = |operator: &str| matches!(operator, "Conv" | "ConvTranspose");
    let convolutions = model
        .graph
        .nodes
        .iter()
        .any(|node| is_convolution(&node.op_type) && node.domain.is_empty());
    let between = BETWEEN_CONVOLUTIONS.iter().filter(|_| convolutions);
    WITH_WEIGHTS.iter().chain(between).map(|&operator| operator.to_owned()).collect()
}
