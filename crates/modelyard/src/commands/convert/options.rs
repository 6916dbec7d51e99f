//! From flags to what the conversion is asked for.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use modelyard_convert::{Limits, Options, WeightType};
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
        Ok(Options {
            shapes,
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
