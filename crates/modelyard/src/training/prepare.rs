//! Examples of a data set as inputs of a model, some set apart for validation.

use anyhow::bail;
use modelyard_graph::Model;
use modelyard_train::Normalization;
use modelyard_train::data::{Batch, DataError, Examples, Part};

use super::recipe::Recipe;
use crate::data::binding::{Binding, Rows};
use crate::data::{self, DataSet, Task, split};
use crate::exit::{Exit, ExitWith};
use crate::source::labels;

/// Numbers of the examples to learn from, and of those set apart.
pub(crate) struct Sets {
    training: Vec<usize>,
    validation: Vec<usize>,
}

impl Sets {
    /// Sets examples apart as the recipe says.
    pub(crate) fn of(data: &DataSet, recipe: &Recipe) -> anyhow::Result<Sets> {
        let share = recipe.validation().exit_with(Exit::Usage)?;
        let classes = data.classes.as_deref();
        let (training, validation) = split::split(data.train.len(), classes, share, recipe.seed());
        Ok(Sets { training, validation })
    }

    /// The examples to learn from.
    pub(crate) fn training<'a>(&self, examples: &'a dyn Examples) -> Part<'a> {
        Part { of: examples, numbers: self.training.clone() }
    }

    /// The examples set apart, if any.
    pub(crate) fn validation<'a>(&self, examples: &'a dyn Examples) -> Option<Part<'a>> {
        let numbers = self.validation.clone();
        (!numbers.is_empty()).then_some(Part { of: examples, numbers })
    }
}

/// How the data goes into a model that trains on batches of this size.
pub(crate) fn bind(data: &DataSet, model: &Model, batch: usize) -> anyhow::Result<Binding> {
    let signature = model.signature()?;
    let binding = Binding::new(&data.inputs, &signature.inputs)?;
    match binding.rows() {
        Rows::Free => Ok(binding),
        Rows::Fixed(1) if batch == 1 => Ok(binding),
        Rows::Single => bail!(
            "the model takes one example without a batch dimension: export it with a free one to \
             train it"
        ),
        Rows::Fixed(1) => bail!(
            "the model takes one example at a time: train it with --batch 1, or export it with a \
             free batch dimension"
        ),
        Rows::Fixed(rows) => bail!(
            "the model takes exactly {rows} examples at a time: export it with a free batch \
             dimension to train it"
        ),
    }
}

/// Refuses a model whose classes are named otherwise, or stand in another order, than those of the
/// data: it would unlearn what it knows.
pub(crate) fn check_labels(model: &Model, task: &Task) -> anyhow::Result<()> {
    let (Task::Classification { labels }, Some(own)) = (task, labels::of_metadata(&model.metadata))
    else {
        return Ok(());
    };
    match own == *labels {
        true => Ok(()),
        false => bail!(
            "the classes of the model are {}, those of the data {}: name and order them alike, or \
             give the model a new head",
            own.join(", "),
            labels.join(", ")
        ),
    }
}

/// Examples whose inputs are named and shaped as a model takes them.
pub(crate) struct Bound<'a> {
    of: &'a dyn Examples,
    binding: &'a Binding,
}

impl<'a> Bound<'a> {
    /// These examples as this binding makes them inputs.
    pub(crate) fn new(of: &'a dyn Examples, binding: &'a Binding) -> Bound<'a> {
        Bound { of, binding }
    }
}

impl Examples for Bound<'_> {
    fn len(&self) -> usize {
        self.of.len()
    }

    fn load(&self, numbers: &[usize]) -> Result<Batch, DataError> {
        let batch = self.of.load(numbers)?;
        let inputs =
            self.binding.arrays(&batch).map_err(|error| DataError(format!("{error:#}")))?;
        Ok(Batch { inputs, targets: batch.targets })
    }
}

/// Mean and deviation of one input over these examples, in the shape of an example in the model:
/// by feature or channel, which `axis` of an example counts.
pub(crate) fn normalization(
    examples: &dyn Examples,
    (input, axis): (&str, usize),
    shape: &[usize],
) -> anyhow::Result<Normalization> {
    let measured = data::normalization::Normalization::measure(examples, input, axis)?;
    let channels = measured.mean.len().max(1);
    let (mut mean, mut deviation) = (measured.mean, measured.deviation);
    if let [flat] = *shape
        && flat != channels
    {
        // A picture that is flattened: each channel's numbers once for every pixel.
        let repeated = |values: &[f32]| -> Vec<f32> {
            let times = flat / channels;
            values.iter().flat_map(|&value| std::iter::repeat_n(value, times)).collect()
        };
        (mean, deviation) = (repeated(&mean), repeated(&deviation));
    }
    let mut dims = vec![1; shape.len()];
    if let Some(counted) = dims.get_mut(axis) {
        *counted = mean.len();
    }
    Ok(Normalization { shape: dims, mean, deviation })
}
