//! What was written, read back: with the inputs and outputs in the order of the ONNX model, whatever
//! order the format has them in.

use std::path::Path;

use modelyard_graph::Model;
use modelyard_tensor::Tensor;

use super::Exported;
use crate::{Conversion, ConvertError, EvaluateError, Format, Limits, Options, SourceModel, open};

/// Opens what was written at `path`, to evaluate it on inputs in the order of the exported model's.
pub fn read_back(
    exported: &Exported,
    path: &Path,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let source = open(path, &Options::default(), limits)?;
    Ok(match source.format() {
        // Signatures have their inputs and outputs in the order of their names.
        Format::SavedModel => Box::new(Ordered::of(source, &exported.model)),
        _ => source,
    })
}

/// A model that takes and gives by name, in the order of another.
struct Ordered {
    source: Box<dyn SourceModel>,
    /// For each input of the source, which of those that are given it is.
    inputs: Vec<usize>,
    /// For each output that is asked for, which of the source's it is.
    outputs: Vec<usize>,
}

impl Ordered {
    fn of(source: Box<dyn SourceModel>, model: &Model) -> Ordered {
        let names = |values: &[modelyard_graph::Value]| -> Vec<String> {
            values.iter().map(|value| value.name.clone()).collect()
        };
        let inputs = sorted(&names(&model.graph.inputs));
        let outputs = sorted(&names(&model.graph.outputs));
        let mut places = vec![0; outputs.len()];
        for (place, &asked) in outputs.iter().enumerate() {
            places[asked] = place;
        }
        Ordered { source, inputs, outputs: places }
    }
}

/// The places of names, in the order of the names.
fn sorted(names: &[String]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..names.len()).collect();
    places.sort_by_key(|&place| &names[place]);
    places
}

/// Those at these places; an error where there are fewer.
fn picked(tensors: &[Tensor], places: &[usize]) -> Result<Vec<Tensor>, EvaluateError> {
    let found: Option<Vec<Tensor>> =
        places.iter().map(|&place| tensors.get(place).cloned()).collect();
    found.filter(|found| found.len() == tensors.len()).ok_or_else(|| {
        let (expected, found) = (places.len(), tensors.len());
        EvaluateError::new(format!("expected {expected} tensors, found {found}"))
    })
}

impl SourceModel for Ordered {
    fn format(&self) -> Format {
        self.source.format()
    }

    fn producer(&self) -> String {
        self.source.producer()
    }

    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError> {
        self.source.convert(options)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        let answers = self.source.evaluate(&picked(inputs, &self.inputs)?)?;
        picked(&answers, &self.outputs)
    }
}
