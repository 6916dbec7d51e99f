//! ONNX itself: read, cleaned, written in another version.
//!
//! | module | does |
//! |---|---|
//! | `mod` | reads the file and its external data: [`read`] |
//! | `inputs` | weights that are listed as inputs; shapes that the caller knows better |
//! | `evaluate` | what the model computes as it was read |
//!
//! What is the same for all sources, such as another version of the operators, is in
//! [`crate::finish`].

mod evaluate;
mod inputs;

use modelyard_graph::{Model, file};
use modelyard_tensor::Tensor;

use crate::input::Source;
use crate::{Conversion, ConvertError, EvaluateError, Format, Limits, Options, SourceModel, Step};

/// Protobuf holds no more.
const MOST_PROTOBUF: u64 = 2 << 30;

/// A model as the file has it.
struct OnnxModel {
    model: Model,
    limits: Limits,
}

/// Reads an ONNX model with its external data.
pub(crate) fn read(
    source: &Source,
    _: &Options,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    Ok(model(load(source, limits)?, limits))
}

/// The ONNX model in a file, its external data included.
pub(crate) fn load(source: &Source, limits: &Limits) -> Result<Model, ConvertError> {
    let bounds = modelyard_graph::Limits {
        file_bytes: limits.file_bytes.min(MOST_PROTOBUF),
        external_bytes: limits.file_bytes,
        nodes: limits.nodes,
        tensor_bytes: limits.tensor_bytes,
        depth: limits.depth,
        ..modelyard_graph::Limits::default()
    };
    file::read_whole(&source.path, &bounds).map_err(ConvertError::Onnx)
}

/// A model in memory as a source.
pub(crate) fn model(model: Model, limits: &Limits) -> Box<dyn SourceModel> {
    Box::new(OnnxModel { model, limits: limits.clone() })
}

/// Operators that can be written in another version, which is all that ONNX has.
pub(crate) fn vocabulary() -> Vec<String> {
    modelyard_graph::opset::operators().map(str::to_owned).collect()
}

impl SourceModel for OnnxModel {
    fn format(&self) -> Format {
        Format::Onnx
    }

    fn producer(&self) -> String {
        format!("{} {}", self.model.producer, self.model.producer_version).trim().to_owned()
    }

    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError> {
        let mut model = self.model.clone();
        let mut notes = Vec::new();
        inputs::unlist_weights(&mut model, &mut notes);
        inputs::set_shapes(&mut model, &options.shapes)?;
        let step = |node: &modelyard_graph::Node| Step {
            label: node.label().to_owned(),
            operator: node.operator(),
            nodes: vec![node.operator()],
        };
        let steps = model.graph.nodes.iter().map(step).collect();
        Ok(Conversion { notes, ..Conversion::new(model, steps) })
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        evaluate::evaluate(&self.model, inputs, &self.limits)
    }
}
