//! Weights in an ONNX model of the same architecture: its initializers are replaced by name.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_graph::{Constant, ElementType, Model};

use super::StateDict;
use super::fitting::{misfit, renamed};
use super::program::WeightsModel;
use crate::input::Source;
use crate::{ConvertError, Limits, SourceModel};

/// The ONNX model in `file` with the weights of `dict`. Every initializer that is a parameter must be
/// there in the same shape, and every weight must find its initializer: exporters fold and rename
/// some, which would keep their old values.
pub(super) fn with_weights(
    file: &Source,
    dict: StateDict,
    limits: &Limits,
) -> Result<Box<dyn SourceModel>, ConvertError> {
    let mut model = crate::onnx::load(file, limits)?;
    let StateDict { format, tensors, mut notes } = dict;
    let floats = floats(&model);
    let expected: BTreeSet<&str> = floats.keys().map(String::as_str).collect();
    let (tensors, note) = renamed(tensors, &expected);
    notes.extend(note);
    let mut misfit = misfit(&tensors, &floats);
    // With all weights used up, what is left are constants that an exporter made.
    let used_up = misfit.extra.is_empty();
    let single =
        |name: &str| floats.get(name).is_some_and(|dims| dims.iter().product::<usize>() <= 1);
    misfit.missing.retain(|name| is_parameter(name) || (!used_up && !single(name)));
    if !misfit.is_none() {
        return Err(misfit.error(&file.path.display().to_string()));
    }
    for constant in &mut model.graph.initializers {
        let Some(weight) = tensors.get(&constant.name) else { continue };
        if weight.element_type() != constant.element_type {
            return Err(ConvertError::Option(format!(
                "weight '{}' is of type {}, but {} in '{}'; save the weights in that type",
                constant.name,
                weight.element_type(),
                constant.element_type,
                file.path.display()
            )));
        }
        *constant = weight.constant(&constant.name)?;
    }
    notes.push(format!("the architecture is that of '{}'", file.path.display()));
    Ok(WeightsModel::boxed(crate::onnx::model(model, limits), format, notes))
}

/// Initializers of floats, and their shapes.
fn floats(model: &Model) -> BTreeMap<String, Vec<usize>> {
    let is_float = |constant: &&Constant| {
        matches!(
            constant.element_type,
            ElementType::Float32
                | ElementType::Float64
                | ElementType::Float16
                | ElementType::Bfloat16
        )
    };
    let weights = model.graph.initializers.iter().filter(is_float);
    weights.map(|constant| (constant.name.clone(), constant.dims.clone())).collect()
}

/// Whether a name is that of a module's parameter, such as `conv1.weight`.
fn is_parameter(name: &str) -> bool {
    const ENDS: [&str; 4] = [".weight", ".bias", ".running_mean", ".running_var"];
    ENDS.iter().any(|end| name.ends_with(end))
}
