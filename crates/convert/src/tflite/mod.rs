//! TensorFlow Lite: `.tflite` files.
//!
//! A file is a FlatBuffer of graphs over tensors, with weights in buffers. It is read by a reader of
//! our own, which checks every offset.
//!
//! Activations are channels-last, filters are `[out, height, width, in]`; weights are written in
//! ONNX's order once, activations are transposed around each window operator. Quantized operators
//! become DequantizeLinear, the operator, QuantizeLinear; the transposes stand outside of that, on
//! integers.
//!
//! | module | holds |
//! |---|---|
//! | `flatbuffer`, `flexbuffer` | tables and vectors, checked; parameters of custom operators |
//! | `schema` | what the numbers in the file are called |
//! | `parse`, `model` | from the file to typed graphs |
//! | `sparse` | sparse weights |
//! | `metadata` | labels and normalization that tools append |
//! | `interface`, `batch`, `variables` | what the model takes and gives: names, rows, state |
//! | `convert`, `values`, `fixed`, `integers`, `layout` | to ONNX |
//! | `evaluate`, `quantization`, `window`, `products` | the reference evaluator |
//! | `tolerance` | how far both may be apart |
//! | `ops` | the operators, a file for each or for a small family |

mod batch;
mod convert;
mod evaluate;
mod fixed;
pub(crate) mod flatbuffer;
mod flexbuffer;
mod integers;
mod interface;
#[cfg(test)]
mod kernels;
mod layout;
mod metadata;
mod model;
mod ops;
mod parse;
mod products;
mod quantization;
pub(crate) mod schema;
mod sparse;
mod stop;
mod tolerance;
mod values;
mod variables;
mod window;

use modelyard_tensor::Tensor;

use self::interface::Interface;
use self::model::Model;
use self::quantization::Halves;
use crate::export::Named;
use crate::input::Source;
use crate::{Conversion, ConvertError, EvaluateError, Format, Limits, Options, SourceModel};

/// A TensorFlow Lite model, read and checked.
#[derive(Debug)]
struct TfLite {
    model: Model,
    interface: Interface,
}

/// Reads a `.tflite` file.
pub(crate) fn read(
    source: &Source,
    options: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let model = parse::parse(source.file()?, limits)?;
    let interface = Interface::find(&model, options)?;
    Ok(Box::new(TfLite { model, interface }))
}

/// As [`read`], with the names of the inputs and of the outputs.
pub(crate) fn read_named(source: &Source, limits: &Limits) -> Result<Named, ConvertError> {
    let model = parse::parse(source.file()?, limits)?;
    let interface = Interface::find(&model, &Options::default())?;
    let (inputs, outputs) = (interface.inputs.clone(), interface.outputs.clone());
    Ok(Named { source: Box::new(TfLite { model, interface }), inputs, outputs })
}

/// Names of the operators that are converted.
pub(crate) fn vocabulary() -> Vec<String> {
    ops::OPERATORS.iter().map(|entry| entry.name.to_owned()).collect()
}

impl SourceModel for TfLite {
    fn format(&self) -> Format {
        Format::TfLite
    }

    fn producer(&self) -> String {
        match self.model.description.trim() {
            "" => "TensorFlow Lite".into(),
            description => format!("TensorFlow Lite ({description})"),
        }
    }

    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError> {
        convert::convert(&self.model, &self.interface, options)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        evaluate::evaluate((&self.model, Halves::AwayFromZero), &self.interface, inputs)
    }

    fn evaluate_otherwise(&self, inputs: &[Tensor]) -> Result<Option<Vec<Tensor>>, EvaluateError> {
        let graph = self.interface.graph(&self.model);
        if !graph.tensors.iter().any(|tensor| tensor.quantized().is_some()) {
            return Ok(None);
        }
        evaluate::evaluate((&self.model, Halves::Up), &self.interface, inputs).map(Some)
    }
}
