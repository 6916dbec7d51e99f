//! The seam between the formats and everything that is common to them.

use std::collections::BTreeMap;

use modelyard_graph::{ElementType, Model};
use modelyard_tensor::{Dim, Tensor};

use crate::{ConvertError, EvaluateError, Format};

/// A model of some framework, read and understood.
///
/// The two ways of using it are written apart from each other: what [`SourceModel::evaluate`] does
/// follows the framework's definitions of its operators and layers, not their mapping to ONNX, so
/// that a mistake in the one is not repeated in the other.
pub trait SourceModel {
    /// Its format.
    fn format(&self) -> Format;

    /// Who wrote it: framework and version, as far as the file says.
    fn producer(&self) -> String;

    /// Writes it as an ONNX graph: as the source has it, not yet cleaned (no constant is folded, no
    /// transpose cancelled), but complete. An error names all that is missing at once.
    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError>;

    /// Evaluates it on `inputs`, which are in the order of the converted model's inputs, state
    /// inputs included; the answers are in the order of its outputs. Weights are read as they are
    /// needed.
    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError>;

    /// As [`SourceModel::evaluate`], rounded as another set of the framework's own kernels does;
    /// `None` where there is one way only. How far both are from each other says how far a network
    /// carries roundings.
    fn evaluate_otherwise(&self, _inputs: &[Tensor]) -> Result<Option<Vec<Tensor>>, EvaluateError> {
        Ok(None)
    }

    /// Inputs that the file itself carries as a sample, in the order of the converted model's
    /// inputs.
    fn samples(&self) -> Vec<Vec<Tensor>> {
        Vec::new()
    }
}

/// What the caller wants of a conversion.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Shapes of inputs that differ from what the source says, by name.
    pub shapes: BTreeMap<String, Vec<Dim>>,
    /// Types of inputs, by name, where the source does not say them (TorchScript).
    pub types: BTreeMap<String, ElementType>,
    /// Values that inputs are fixed to, by name: numbers and texts that decide what the model does
    /// (TorchScript).
    pub values: BTreeMap<String, String>,
    /// Which signature of a SavedModel, or subgraph of another format; its default if absent.
    pub signature: Option<String>,
    /// Names of values to take as inputs where the source does not say (frozen graphs).
    pub inputs: Vec<String>,
    /// Names of values to take as outputs where the source does not say.
    pub outputs: Vec<String>,
    /// For files that hold only weights: the name of an architecture, or the path of a `.pt2`, an
    /// ONNX model or a `config.json` that has it.
    pub architecture: Option<String>,
    /// Version of ONNX's operators to write the model in; that of the source's conversion if absent.
    pub opset: Option<i64>,
    /// Whether functions of the model are put in where they are called.
    pub inline: bool,
    /// What weights are stored as.
    pub weights: WeightType,
    /// Whether the types of all values are written into the model.
    pub infer_shapes: bool,
    /// Whether a batch of 1 is made a batch of any size, where nothing in the model is in the way.
    pub free_batch: bool,
    /// Whether BatchNormalization is folded into the weights of the operator before it. Otherwise it
    /// stays an operator of its own, as in the source.
    pub fold_batch_norm: bool,
}

/// What floats of weights are stored as. They are computed with as before: a `Cast` stands behind
/// those that are stored otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightType {
    /// As they are.
    #[default]
    AsIs,
    /// 16 bits, of which 10 are of the fraction.
    Fp16,
    /// 16 bits with the range of 32.
    Bf16,
    /// 32 bits, where they are stored in 16.
    Fp32,
}

/// A converted model and what is to be said about it.
#[derive(Debug)]
pub struct Conversion {
    /// The graph, with the source's names of inputs and outputs. Not yet verified.
    pub model: Model,
    /// What became of each node or layer of the source, in its order.
    pub steps: Vec<Step>,
    /// What the reader should know: approximations, guards on shapes, state that became inputs.
    pub notes: Vec<String>,
    /// Labels of classes, where the source carries some.
    pub labels: Vec<String>,
    /// How far the answers may be from those of the source.
    pub tolerance: Tolerance,
    /// Sizes of free dimensions to try the model with, where not any will do: by symbol.
    pub sizes: BTreeMap<String, usize>,
    /// Range of values to try an input with (both ends included), where not any will do: by name.
    pub ranges: BTreeMap<String, (f64, f64)>,
}

/// One node or layer of the source, and what it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its name in the source.
    pub label: String,
    /// Its operator or layer in the source.
    pub operator: String,
    /// The ONNX operators it became, in order; empty when it needed none.
    pub nodes: Vec<String>,
}

/// How far two answers may be apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Difference relative to the largest magnitude in the output.
    pub relative: f64,
    /// Steps of the quantized type, for outputs that are integers or come from a
    /// DequantizeLinear; 0 for models that are not quantized.
    pub steps: f64,
    /// Steps of integers of 16 bits, where that is more: those that keep what is rounded to 8 bits
    /// elsewhere move by many of their own steps with one of those.
    pub wide_steps: f64,
    /// Share of elements that may be further apart (rounding that falls to the other side).
    pub outliers: f64,
}

impl Default for Tolerance {
    /// That of float models.
    fn default() -> Self {
        Tolerance { relative: 1e-4, steps: 0.0, wide_steps: 0.0, outliers: 0.0 }
    }
}

impl Conversion {
    /// A conversion with nothing to be said about it.
    pub fn new(model: Model, steps: Vec<Step>) -> Conversion {
        Conversion {
            model,
            steps,
            notes: Vec::new(),
            labels: Vec::new(),
            tolerance: Tolerance::default(),
            sizes: BTreeMap::new(),
            ranges: BTreeMap::new(),
        }
    }
}
