//! Examples of a data set as inputs of a model.

use anyhow::bail;
use modelyard_graph::Model;
use modelyard_tensor::Tensor;
use modelyard_train::data::{Batch, Batches, Examples, Order, Part, Targets};

use crate::commands::finetune::picture_options;
use crate::data::DataSet;
use crate::data::args::DataArgs;
use crate::data::binding::{Binding, Rows};
use crate::data::split;
use crate::exit::{Exit, ExitWith};
use crate::observe::progress::Progress;

/// The data at a place, if one is given, with pictures as the model takes them.
pub(crate) fn read(
    place: Option<&DataArgs>,
    model: &Model,
    progress: &Progress,
) -> anyhow::Result<Option<DataSet>> {
    let Some(place) = place else { return Ok(None) };
    let options = picture_options(place.options(), model);
    Ok(Some(progress.spin("reading the data", || place.open(&options))?))
}

/// Some examples of a data set, always the same ones for the same seed, in the form that one model
/// takes.
pub(crate) struct Sample<'a> {
    examples: Part<'a>,
    binding: Binding,
    batch: usize,
}

/// One batch.
pub(crate) struct Inputs {
    /// The model's inputs, in the order of its signature.
    pub(crate) tensors: Vec<Tensor>,
    /// What should be answered.
    pub(crate) targets: Targets,
    /// Examples in it.
    pub(crate) count: usize,
    /// Examples that the model sees: more, where it takes a fixed number and the last was repeated.
    pub(crate) rows: usize,
}

impl<'a> Sample<'a> {
    /// At most `most` of these examples, all classes in their shares, as `model` takes them.
    pub(crate) fn new(
        data: &DataSet,
        examples: &'a dyn Examples,
        model: &Model,
        (most, batch, seed): (usize, usize, u64),
    ) -> anyhow::Result<Sample<'a>> {
        let signature = model.signature().map_err(|error| anyhow::Error::new(error.clone()));
        let signature = signature.exit_with(Exit::Model)?;
        let binding = Binding::new(&data.inputs, &signature.inputs).exit_with(Exit::Usage)?;
        if examples.is_empty() {
            bail!("the data holds no examples");
        }
        let numbers = if examples.len() <= most {
            (0..examples.len()).collect()
        } else {
            let classes = data.classes.as_deref().filter(|classes| classes.len() == examples.len());
            let share = most as f64 / examples.len() as f64;
            split::split(examples.len(), classes, share, seed).1
        };
        let batch = match binding.rows() {
            Rows::Free => batch,
            Rows::Fixed(rows) => rows,
            Rows::Single => 1,
        };
        Ok(Sample { examples: Part { of: examples, numbers }, binding, batch })
    }

    /// The first few of them.
    pub(crate) fn few(&self, most: usize) -> Sample<'a> {
        let numbers = self.examples.numbers.iter().copied().take(most).collect();
        Sample {
            examples: Part { of: self.examples.of, numbers },
            binding: self.binding.clone(),
            batch: self.batch,
        }
    }

    /// The same in batches of at most `most`, where the model takes any number.
    pub(crate) fn in_batches_of(&self, most: usize) -> Sample<'a> {
        let batch = match self.binding.rows() {
            Rows::Free => self.batch.min(most.max(1)),
            Rows::Fixed(_) | Rows::Single => self.batch,
        };
        Sample { batch, ..self.few(self.len()) }
    }

    /// How many examples there are.
    pub(crate) fn len(&self) -> usize {
        self.examples.len()
    }

    /// How many batches there are.
    pub(crate) fn batches(&self) -> usize {
        self.len().div_ceil(self.batch)
    }

    /// The first batch.
    pub(crate) fn first(&self) -> anyhow::Result<Inputs> {
        let numbers: Vec<usize> = (0..self.batch.min(self.len())).collect();
        self.inputs(self.examples.load(&numbers)?)
    }

    fn inputs(&self, batch: Batch) -> anyhow::Result<Inputs> {
        let tensors = self.binding.tensors(&batch).exit_with(Exit::Usage)?;
        let count = batch.len();
        let rows = match self.binding.rows() {
            Rows::Free => count,
            Rows::Fixed(rows) => rows,
            Rows::Single => 1,
        };
        Ok(Inputs { tensors, targets: batch.targets, count, rows })
    }

    /// Calls `act` with each batch in turn, while the next one is being read.
    pub(crate) fn each(
        &self,
        mut act: impl FnMut(&Inputs) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        std::thread::scope(|scope| {
            for batch in Batches::start(scope, &self.examples, Order::Sequential, (self.batch, 0)) {
                act(&self.inputs(batch?)?)?;
            }
            Ok(())
        })
    }
}
