//! A new network, from its layers to the trained model.

use std::path::Path;

use anyhow::{anyhow, bail};
use modelyard_graph::Model;
use modelyard_tensor::{DataType, Dim};
use modelyard_train::layers::{self, Input, LayerSpec};
use modelyard_train::trainer::{LossKind, Options};
use modelyard_train::{normalize_input, trainer};

use super::lesson::Lesson;
use super::prepare::{Sets, normalization};
use super::recipe::{Normalize, Recipe};
use super::session::Job;
use crate::data::{DataSet, InputKind, Task};
use crate::exit::{Exit, ExitWith};

/// What a new network is made of, and from what it learns.
pub(crate) struct Network<'a> {
    /// Its layers.
    pub(crate) layers: &'a [LayerSpec],
    /// How to train.
    pub(crate) recipe: &'a Recipe,
    /// What it learns from, and where that is.
    pub(crate) data: (&'a DataSet, &'a Path),
}

impl Network<'_> {
    /// Makes the network and gives it, with its examples, to `train`.
    pub(crate) fn train<T>(
        &self,
        train: impl FnOnce(Job<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Network { layers, recipe, data: (data, path) } = *self;
        // Mistakes in the recipe show before anything is measured.
        recipe.options(&data.task).exit_with(Exit::Usage)?;
        let input = input(data, layers).exit_with(Exit::Usage)?;
        let mut model = layers::build(layers, &input, recipe.seed()).exit_with(Exit::Usage)?;
        check_outputs(&model, &data.task).exit_with(Exit::Usage)?;
        if normalizes(data, &input, recipe)? {
            let training = Sets::of(data, recipe)?.training(data.train.as_ref());
            let measured = normalization(&training, (&data.inputs[0].name, 0), &input.shape)?;
            model = normalize_input(model, &input.name, &measured)?;
        }
        Lesson {
            command: "train",
            trained: trainer::trainable(&model),
            model,
            data: (data, path),
            recipe,
            teacher: None,
        }
        .give(train)
    }
}

/// The input of the network: the shape of one example, flat where the first layer is dense.
pub(crate) fn input(data: &DataSet, layers: &[LayerSpec]) -> anyhow::Result<Input> {
    let [only] = data.inputs.as_slice() else {
        let names: Vec<&str> = data.inputs.iter().map(|input| input.name.as_str()).collect();
        bail!(
            "layers take one input, the data has {}: {} (--ignore leaves some out)",
            names.len(),
            names.join(", ")
        );
    };
    let first = layers.first().map(|layer| layer.name.as_str());
    let mut shape = only.shape.to_vec();
    if first == Some("dense") {
        shape = vec![shape.iter().product()];
    } else if only.kind == InputKind::Image && shape.len() == 2 {
        shape.insert(0, 1);
    }
    let data_type = if first == Some("embedding") { DataType::Int64 } else { DataType::Fp32 };
    Ok(Input { name: only.name.clone(), shape, data_type })
}

/// Whether mean and deviation are to be taken out.
pub(crate) fn normalizes(data: &DataSet, input: &Input, recipe: &Recipe) -> anyhow::Result<bool> {
    let is_table = matches!(data.inputs[0].kind, InputKind::Table(_));
    let is_float = input.data_type == DataType::Fp32;
    match recipe.normalize {
        Some(Normalize::Standard) if !is_float => {
            Err(anyhow!("--normalize standard is for floats, an embedding takes whole numbers"))
                .exit_with(Exit::Usage)
        }
        Some(normalize) => Ok(normalize == Normalize::Standard),
        None => Ok(is_table && is_float),
    }
}

/// Refuses a model that ends in another number of outputs than the data has answers. Two classes
/// may have one output: how likely the second is.
pub(crate) fn check_outputs(model: &Model, task: &Task) -> anyhow::Result<()> {
    let (wanted, what) = match task {
        Task::Classification { labels } => (labels.len(), "classes"),
        Task::Regression { width } => (*width, "numbers to answer"),
        Task::Unlabelled => return Ok(()),
    };
    let dims = output_dims(model)?;
    let Some([_, inner @ .., last]) = dims.as_deref() else { return Ok(()) };
    let is_classes = matches!(task, Task::Classification { .. });
    if is_classes && inner.iter().any(|dim| *dim != Dim::Fixed(1)) {
        let dims: Vec<String> = dims.iter().flatten().map(Dim::to_string).collect();
        bail!("the model ends in shape [{}], expected one row of scores an example", dims.join(","))
    }
    match last {
        Dim::Fixed(1) if is_classes && wanted == 2 => {
            let last = model.graph.nodes.last().map(|node| node.op_type.as_str());
            if last == Some("Softmax") {
                bail!("a softmax over one number is always 1: use sigmoid, or 2 outputs");
            }
            Ok(())
        }
        Dim::Fixed(found) if *found != wanted => {
            bail!("the model ends in {found} numbers, but the data has {wanted} {what}")
        }
        _ => Ok(()),
    }
}

/// The loss where none is asked for: a model with one number for two classes answers yes or no.
pub(crate) fn fitting_loss(
    (model, task): (&Model, &Task),
    recipe: &Recipe,
    options: &mut Options,
) -> anyhow::Result<()> {
    let is_yes_or_no = matches!(output_dims(model)?.as_deref(), Some([.., Dim::Fixed(1)]));
    if recipe.loss.is_none() && is_yes_or_no && matches!(task, Task::Classification { .. }) {
        options.loss = LossKind::BinaryCrossEntropy;
    }
    Ok(())
}

/// Dimensions of the first output, if the model states them.
fn output_dims(model: &Model) -> anyhow::Result<Option<Vec<Dim>>> {
    let outputs = &model.signature()?.outputs;
    Ok(outputs.first().and_then(|output| output.dims.clone()))
}
