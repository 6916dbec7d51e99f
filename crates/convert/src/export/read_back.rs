//! What was written, read back: with the inputs and outputs in the order of the ONNX model, whatever
//! order the format has them in.

use std::collections::HashSet;
use std::path::Path;

use modelyard_tensor::Tensor;

use super::{Exported, Target};
use crate::input::Source;
use crate::{Conversion, ConvertError, EvaluateError, Format, Limits, Options, SourceModel};
use crate::{tensorflow, tflite};

/// A model with the names of its inputs and outputs, in the order in which it takes and gives them.
pub(crate) struct Named {
    pub(crate) source: Box<dyn SourceModel>,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
}

/// Opens what was written at `path`, to evaluate it on inputs in the order of the exported model's.
/// An error when its inputs or outputs are not called as they are there.
pub fn read_back(
    exported: &Exported,
    path: &Path,
    target: Target,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let file = Source::open(path, limits)?;
    let Named { source, inputs, outputs } = match target {
        Target::Tflite => tflite::read_named(&file, limits)?,
        Target::SavedModel => tensorflow::read_named(&file, limits)?,
    };
    let graph = &exported.model.graph;
    let asked = |values: &[modelyard_graph::Value]| -> Vec<String> {
        values.iter().map(|value| value.name.clone()).collect()
    };
    let given = places(&asked(&graph.inputs), &inputs, "inputs", target)?;
    let mut inputs = vec![0; given.len()];
    for (asked, &place) in given.iter().enumerate() {
        inputs[place] = asked;
    }
    let outputs = places(&asked(&graph.outputs), &outputs, "outputs", target)?;
    Ok(Box::new(Ordered { source, inputs, outputs }))
}

/// Where each of the names that were asked for is among those of the file: as many, each once.
fn places(
    asked: &[String],
    found: &[String],
    what: &str,
    target: Target,
) -> Result<Vec<usize>, ConvertError> {
    // A name of an input and of an output is made two where all values have one space of names.
    let is_same =
        |other: &str, name: &str| other == name || other.strip_suffix(".out") == Some(name);
    let place = |name: &String| found.iter().position(|other| is_same(other, name));
    let places: Option<Vec<usize>> = asked.iter().map(place).collect();
    let is_whole = |places: &Vec<usize>| {
        let distinct: HashSet<usize> = places.iter().copied().collect();
        distinct.len() == found.len() && places.len() == found.len()
    };
    places.filter(is_whole).ok_or_else(|| ConvertError::Malformed {
        format: target.name(),
        place: format!("its {what}"),
        message: format!("expected '{}', found '{}'", asked.join("', '"), found.join("', '")),
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

    fn evaluate_otherwise(&self, inputs: &[Tensor]) -> Result<Option<Vec<Tensor>>, EvaluateError> {
        let answers = self.source.evaluate_otherwise(&picked(inputs, &self.inputs)?)?;
        answers.map(|answers| picked(&answers, &self.outputs)).transpose()
    }
}
