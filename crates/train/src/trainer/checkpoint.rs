//! A run as bytes, to go on exactly where it stood.
//!
//! The format is safetensors: all weights, what the optimizer remembers, and the best weights of
//! early stopping as tensors; progress and options as JSON in the metadata. Numbers keep every
//! bit, so a run that was cut off and resumed ends with the same weights as one that was not.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Options, Progress, Trainer};
use crate::array::{Array, Data};
use crate::optimizer::Curve;
use crate::program::Weights;

/// Why bytes are no checkpoint of a run.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// They are no checkpoint at all.
    #[error("not a checkpoint of modelyard: {0}")]
    Malformed(String),
    /// They belong to another run.
    #[error("the checkpoint is of another run: {what} was {found} there, it is {expected} here")]
    Other {
        /// What differs.
        what: String,
        /// In the checkpoint.
        found: String,
        /// In this run.
        expected: String,
    },
}

/// What is in the metadata.
#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    options: Options,
    progress: Progress,
    steps: u64,
    /// What the caller wants to be the same: data, layers.
    run: String,
}

/// Version of this format.
const VERSION: u32 = 1;

/// No run gets so far: sums of steps cannot overflow below it.
const STEPS_MAX: u64 = 1 << 60;

/// Name of the header in the metadata.
const HEADER: &str = "modelyard.training";

impl Trainer {
    /// The run as bytes. `run` describes what else decides the result (the data, the model):
    /// [`Trainer::restore`] wants the same.
    pub fn checkpoint(&self, run: &str) -> Result<Vec<u8>, CheckpointError> {
        let header = Header {
            version: VERSION,
            options: self.options.clone(),
            progress: self.progress.clone(),
            steps: self.optimizer.steps(),
            run: run.to_owned(),
        };
        let malformed =
            |error: &dyn std::fmt::Display| CheckpointError::Malformed(error.to_string());
        let header = serde_json::to_string(&header).map_err(|error| malformed(&error))?;
        let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        add_weights(&mut tensors, "weight", &self.weights);
        if let Some(best) = &self.best {
            add_weights(&mut tensors, "best", best);
        }
        for (weight, memory) in self.optimizer.memory().iter().enumerate() {
            for (number, values) in memory.iter().enumerate() {
                let name = format!("memory/{weight}/{number}");
                tensors.push((name, vec![values.len()], bytes(values)));
            }
        }
        let views: Vec<(&str, TensorView<'_>)> = tensors
            .iter()
            .map(|(name, shape, data)| {
                TensorView::new(Dtype::F32, shape.clone(), data).map(|view| (name.as_str(), view))
            })
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(&error))?;
        let metadata = HashMap::from([(HEADER.to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| malformed(&error))
    }

    /// Goes on where a checkpoint of the same run stood. Changes nothing on an error.
    pub fn restore(&mut self, checkpoint: &[u8], run: &str) -> Result<(), CheckpointError> {
        let malformed =
            |error: &dyn std::fmt::Display| CheckpointError::Malformed(error.to_string());
        let tensors = SafeTensors::deserialize(checkpoint).map_err(|error| malformed(&error))?;
        let (_, metadata) =
            SafeTensors::read_metadata(checkpoint).map_err(|error| malformed(&error))?;
        let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
        let header = header.ok_or_else(|| malformed(&"it has no header"))?;
        let header: Header = serde_json::from_str(header).map_err(|error| malformed(&error))?;
        self.compare(&header, run)?;
        if header.progress.step != header.steps || header.steps > STEPS_MAX {
            return Err(malformed(&format!("it stands at step {}", header.progress.step)));
        }

        let mut weights = self.weights.clone();
        read_weights(&tensors, "weight", &mut weights)?;
        let mut best = None;
        if header.progress.best.is_some() {
            let mut kept = self.weights.clone();
            read_weights(&tensors, "best", &mut kept)?;
            best = Some(kept);
        }
        let mut memory = self.optimizer.memory().to_vec();
        for (weight, memory) in memory.iter_mut().enumerate() {
            for (number, values) in memory.iter_mut().enumerate() {
                *values = floats(&tensors, &format!("memory/{weight}/{number}"), values.len())?;
            }
        }
        self.weights = weights;
        self.best = best;
        self.optimizer.restore(header.steps, memory);
        self.progress = header.progress;
        Ok(())
    }

    /// Refuses a checkpoint of a run with other settings, and names the first that differs.
    fn compare(&self, header: &Header, run: &str) -> Result<(), CheckpointError> {
        let other = |what: &str, found: String, expected: String| {
            Err(CheckpointError::Other { what: what.to_owned(), found, expected })
        };
        if header.version != VERSION {
            return other("its version", header.version.to_string(), VERSION.to_string());
        }
        let fields = |options: &Options| serde_json::to_value(options).unwrap_or_default();
        let (found, expected) = (fields(&header.options), fields(&self.options));
        let differs = |key: &&String| found.get(key.as_str()) != expected.get(key.as_str());
        // Other numbers of epochs are welcome where they change no step that is done.
        let ignored = if self.options.schedule.curve == Curve::Cosine { "" } else { "epochs" };
        let keys = expected.as_object().into_iter().flat_map(|object| object.keys());
        // Settings before the model: a seed decides its first weights too.
        match keys.filter(|key| *key != ignored).find(differs) {
            Some(key) => other(key, text(found.get(key)), text(expected.get(key))),
            None if header.run != run => {
                other("the model or data", header.run.clone(), run.to_owned())
            }
            None => Ok(()),
        }
    }
}

fn text(value: Option<&serde_json::Value>) -> String {
    value.map_or_else(|| "missing".into(), serde_json::Value::to_string)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Adds all floats of `weights` under names that begin with `prefix`.
fn add_weights(tensors: &mut Vec<(String, Vec<usize>, Vec<u8>)>, prefix: &str, weights: &Weights) {
    for (number, name) in weights.names().iter().enumerate() {
        if let Data::Floats(values) = weights.array(number).data() {
            let shape = weights.array(number).shape().to_vec();
            tensors.push((format!("{prefix}/{name}"), shape, bytes(values)));
        }
    }
}

fn read_weights(
    tensors: &SafeTensors<'_>,
    prefix: &str,
    weights: &mut Weights,
) -> Result<(), CheckpointError> {
    for number in 0..weights.names().len() {
        let array = weights.array(number);
        if matches!(array.data(), Data::Floats(_)) {
            let name = format!("{prefix}/{}", weights.names()[number]);
            let values = floats(tensors, &name, array.len())?;
            let shape = array.shape().clone();
            weights.set(number, Array::floats(shape, values));
        }
    }
    Ok(())
}

fn floats(tensors: &SafeTensors<'_>, name: &str, len: usize) -> Result<Vec<f32>, CheckpointError> {
    let malformed = |text: String| CheckpointError::Malformed(text);
    let tensor = tensors.tensor(name).map_err(|error| malformed(format!("'{name}': {error}")))?;
    let (items, rest) = tensor.data().as_chunks();
    if tensor.dtype() != Dtype::F32 || !rest.is_empty() || items.len() != len {
        let found = tensor.data().len();
        return Err(malformed(format!("'{name}': expected {len} floats, found {found} bytes")));
    }
    Ok(items.iter().map(|&item| f32::from_le_bytes(item)).collect())
}
