//! Weights in a program: the model that they make.

use std::collections::BTreeMap;

use modelyard_tensor::Tensor;

use super::StateDict;
use super::fitting::{misfit, renamed};
use super::templates::Built;
use crate::input::Source;
use crate::pytorch::exported;
use crate::pytorch::graph::{InputKind, Program};
use crate::pytorch::model::ProgramModel;
use crate::{Conversion, ConvertError, EvaluateError, Format, Limits, Options, SourceModel};

/// A program with the weights of another file.
pub(super) struct WeightsModel {
    inner: Box<dyn SourceModel>,
    /// Of the file with the weights.
    format: Format,
    /// What was done to make them fit.
    notes: Vec<String>,
    labels: Vec<String>,
    ranges: BTreeMap<String, (f64, f64)>,
    /// What images go through before, as JSON.
    preprocessing: Option<String>,
}

impl WeightsModel {
    /// A model whose weights were put into it, and what is to be said about that.
    pub(super) fn boxed(
        inner: Box<dyn SourceModel>,
        format: Format,
        notes: Vec<String>,
    ) -> Box<dyn SourceModel> {
        Box::new(WeightsModel {
            inner,
            format,
            notes,
            labels: Vec::new(),
            ranges: BTreeMap::new(),
            preprocessing: None,
        })
    }
}

/// The model of a template; its weights fit.
pub(super) fn model(
    built: Built,
    (format, options): (Format, &Options),
    notes: Vec<String>,
    (labels, preprocessing): (Vec<String>, Option<String>),
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let inner = ProgramModel::open(built.program, format, options)?;
    let ranges = built.ranges;
    Ok(Box::new(WeightsModel { inner, format, notes, labels, ranges, preprocessing }))
}

/// The program of a `.pt2` file with the weights of `dict`: all of its parameters and buffers must
/// be there in the same shape. Constants of its code stay.
pub(super) fn from_exported(
    file: &Source,
    dict: StateDict,
    (options, limits): (&Options, &Limits),
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let mut program = exported::read(file, limits)?;
    let StateDict { format, tensors, mut notes } = dict;
    let wanted = wanted(&program);
    let expected = wanted.keys().map(String::as_str).collect();
    let (mut tensors, note) = renamed(tensors, &expected);
    notes.extend(note);
    let mut misfit = misfit(&tensors, &wanted);
    // Buffers that are no part of state dicts: tables that the code made.
    misfit.missing.retain(|name| !is_buffer(&program, name));
    let name = file.path.display().to_string();
    if !misfit.is_none() {
        return Err(misfit.error(&name));
    }
    for (name, weight) in &mut program.weights {
        if let Some(mut found) = tensors.remove(name) {
            std::mem::swap(weight, &mut found);
        }
    }
    notes.push(format!("the architecture is that of '{name}'"));
    let inner = ProgramModel::open(program, format, options)?;
    Ok(WeightsModel::boxed(inner, format, notes))
}

/// Parameters and buffers of a program by name, and their shapes.
fn wanted(program: &Program) -> BTreeMap<String, Vec<usize>> {
    let names = program.inputs.iter().filter_map(|kind| match kind {
        InputKind::Parameter(name) | InputKind::Buffer(name) => Some(name),
        _ => None,
    });
    let with_shapes =
        names.filter_map(|name| Some((name.clone(), program.weights.get(name)?.sizes().to_vec())));
    with_shapes.collect()
}

fn is_buffer(program: &Program, name: &str) -> bool {
    program.inputs.iter().any(|kind| matches!(kind, InputKind::Buffer(other) if other == name))
}

impl SourceModel for WeightsModel {
    fn format(&self) -> Format {
        self.format
    }

    fn producer(&self) -> String {
        self.inner.producer()
    }

    fn convert(&self, options: &Options) -> Result<Conversion, ConvertError> {
        let mut conversion = self.inner.convert(options)?;
        conversion.notes.splice(0..0, self.notes.iter().cloned());
        conversion.labels.clone_from(&self.labels);
        conversion.ranges.extend(self.ranges.clone());
        if let Some(preprocessing) = &self.preprocessing {
            let key = "modelyard.preprocessing".into();
            conversion.model.metadata.insert(key, preprocessing.clone());
        }
        Ok(conversion)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EvaluateError> {
        self.inner.evaluate(inputs)
    }

    fn samples(&self) -> Vec<Vec<Tensor>> {
        self.inner.samples()
    }
}
