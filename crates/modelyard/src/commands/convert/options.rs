//! From flags to what the conversion is asked for.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use modelyard_convert::{Limits, Options, WeightType};
use modelyard_graph::ElementType;
use modelyard_graph::file::External;
use modelyard_tensor::Dim;

use crate::config::Config;

/// What the conversion is asked for.
#[derive(clap::Args)]
#[command(next_help_heading = "Conversion")]
pub(super) struct ConversionArgs {
    /// Shape of an input that differs from what the source says, such as image=batch,3,224,224: a
    /// name is a free dimension (repeatable)
    #[arg(long = "shape", value_name = "INPUT=SHAPE")]
    shapes: Vec<String>,
    /// Type of an input where the source does not say it (TorchScript), such as ids=int64
    /// (repeatable)
    #[arg(long = "type", value_name = "INPUT=TYPE")]
    types: Vec<String>,
    /// Value that an input is fixed to, such as sample_rate=16000: it is no input any more
    /// (TorchScript, repeatable)
    #[arg(long = "value", value_name = "INPUT=VALUE")]
    values: Vec<String>,
    /// Signature of a SavedModel [default: serving_default]
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,
    /// Values to take as inputs, where the source does not say
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    inputs: Vec<String>,
    /// Values to take as outputs, where the source does not say
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    outputs: Vec<String>,
    /// For files of weights: a known architecture, or a .pt2, .onnx or config.json that has it
    #[arg(long, value_name = "NAME|FILE")]
    architecture: Option<String>,
    /// Version of ONNX's operators to write [default: what the conversion gives, 18 or later]
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// Fold batch normalization into the weights before it
    #[arg(long)]
    fold_batch_norm: bool,
    /// Store weights in another type; they are computed with as before
    #[arg(long, value_name = "TYPE", value_enum)]
    weights: Option<Weights>,
    /// Put functions of an ONNX model in where they are called
    #[arg(long)]
    inline: bool,
    /// Write the types and shapes of all values into the model
    #[arg(long)]
    infer_shapes: bool,
    /// Make a batch of 1 one of any size, where nothing in the model is in the way
    #[arg(long)]
    free_batch: bool,
    /// Put weights into a file beside the model
    #[arg(long)]
    external_data: bool,
}

/// What weights can be stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Weights {
    /// Half the size, 11 bits of precision
    Fp16,
    /// Half the size, 8 bits of precision, the range of fp32
    Bf16,
    /// What is stored in 16 bits, in 32
    Fp32,
}

impl ConversionArgs {
    /// Checked.
    pub(super) fn options(&self) -> anyhow::Result<Options> {
        let mut shapes = BTreeMap::new();
        for text in &self.shapes {
            let (name, dims) = shape(text).with_context(|| format!("--shape {text}"))?;
            if shapes.insert(name, dims).is_some() {
                bail!("--shape {text}: the input has a shape already");
            }
        }
        let mut types = BTreeMap::new();
        for text in &self.types {
            let (name, element_type) = typed(text).with_context(|| format!("--type {text}"))?;
            types.insert(name, element_type);
        }
        let mut values = BTreeMap::new();
        for text in &self.values {
            let pair = text.split_once('=').context("expected INPUT=VALUE");
            let (name, value) = pair.with_context(|| format!("--value {text}"))?;
            values.insert(name.to_owned(), value.to_owned());
        }
        Ok(Options {
            shapes,
            types,
            values,
            signature: self.signature.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            architecture: self.architecture.clone(),
            opset: self.opset,
            inline: self.inline,
            weights: match self.weights {
                None => WeightType::AsIs,
                Some(Weights::Fp16) => WeightType::Fp16,
                Some(Weights::Bf16) => WeightType::Bf16,
                Some(Weights::Fp32) => WeightType::Fp32,
            },
            infer_shapes: self.infer_shapes,
            free_batch: self.free_batch,
            fold_batch_norm: self.fold_batch_norm,
        })
    }

    /// Where weights go.
    pub(super) fn external(&self) -> External {
        // Shapes and axes are wanted by whoever looks at the graph: they stay inside.
        const SMALLEST_BYTES: u64 = 1024;
        if self.external_data { External::From(SMALLEST_BYTES) } else { External::WhenNeeded }
    }
}

fn typed(text: &str) -> anyhow::Result<(String, ElementType)> {
    let (name, wanted) = text.rsplit_once('=').context("expected INPUT=TYPE")?;
    let (_, found) = TYPES.iter().find(|(name, _)| *name == wanted).with_context(|| {
        let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
        format!("expected one of {}; found '{wanted}'", known.join(", "))
    })?;
    Ok((name.to_owned(), *found))
}

/// Types that inputs can have, by PyTorch's names.
const TYPES: [(&str, ElementType); 9] = [
    ("float32", ElementType::Float32),
    ("float64", ElementType::Float64),
    ("float16", ElementType::Float16),
    ("bfloat16", ElementType::Bfloat16),
    ("int64", ElementType::Int64),
    ("int32", ElementType::Int32),
    ("int8", ElementType::Int8),
    ("uint8", ElementType::Uint8),
    ("bool", ElementType::Bool),
];

fn shape(text: &str) -> anyhow::Result<(String, Vec<Dim>)> {
    let (name, dims) = text.rsplit_once('=').context("expected INPUT=SHAPE")?;
    let dim = |text: &str| match text.trim() {
        "" => bail!("expected sizes or names between commas"),
        "?" | "-1" => Ok(Dim::Free),
        text => Ok(match text.parse() {
            Ok(size) => Dim::Fixed(size),
            Err(_) => Dim::Symbol(text.to_owned()),
        }),
    };
    let dims: anyhow::Result<Vec<Dim>> = match dims.trim() {
        "" => Ok(Vec::new()),
        dims => dims.split(',').map(dim).collect(),
    };
    Ok((name.to_owned(), dims?))
}

/// What the configuration allows models to be.
pub(in crate::commands) fn limits(config: &Config) -> Limits {
    let model = &config.model_limits;
    Limits {
        file_bytes: model.external_bytes,
        tensor_bytes: model.tensor_bytes,
        nodes: model.nodes,
        depth: model.depth,
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_sizes_and_names() {
        let (name, dims) = shape("serving_default_x:0=batch,3,?,224").unwrap();
        assert_eq!(name, "serving_default_x:0");
        let batch = Dim::Symbol("batch".into());
        assert_eq!(dims, [batch, Dim::Fixed(3), Dim::Free, Dim::Fixed(224)]);
        assert_eq!(shape("x=").unwrap().1, []);
        assert!(shape("x").is_err() && shape("x=1,,2").is_err());
    }
}
