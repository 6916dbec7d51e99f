//! `--list-ops`: which operators or layers of a framework are covered.

use modelyard_convert::{Format, operators};

use crate::output;

/// A framework whose operators can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Framework {
    /// Layers and operations of Keras
    Keras,
    /// Operators of TensorFlow graphs
    Tensorflow,
    /// Operators of TensorFlow Lite
    Tflite,
    /// ATen operators of PyTorch
    Pytorch,
    /// Operators of MXNet
    Mxnet,
    /// Operators of ONNX that change between operator sets
    Onnx,
    /// Objectives of XGBoost
    Xgboost,
    /// Objectives of LightGBM
    Lightgbm,
}

impl Framework {
    fn format(self) -> Format {
        match self {
            Framework::Keras => Format::KerasArchive,
            Framework::Tensorflow => Format::SavedModel,
            Framework::Tflite => Format::TfLite,
            Framework::Pytorch => Format::ExportedProgram,
            Framework::Mxnet => Format::MxNet,
            Framework::Onnx => Format::Onnx,
            Framework::Xgboost => Format::XgBoost,
            Framework::Lightgbm => Format::LightGbm,
        }
    }
}

/// Prints the names, one a line, or as a JSON list.
pub(super) fn print(framework: Framework, json: bool) -> anyhow::Result<()> {
    let names = operators(framework.format());
    match json {
        true => output::json(&names),
        false => Ok(output::line(names.join("\n"))?),
    }
}
