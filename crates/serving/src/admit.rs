//! Checks a request against the signature before it costs anything.

use bytes::Bytes;
use modelyard_tensor::{DataType, TensorSpec, strings};
use smallvec::SmallVec;

use crate::cost::size_class;
use crate::request::{Input, RequestOptions};
use crate::{InferError, Version};

/// Every dimension but the outermost of every input: requests batch when these agree.
pub(crate) type ShapeKey = SmallVec<[usize; 8]>;

/// A request that agrees with the signature.
pub(crate) struct Admitted {
    pub(crate) inputs: SmallVec<[Input; 2]>,
    /// Positions in the signature's outputs; never empty.
    pub(crate) outputs: SmallVec<[usize; 4]>,
    pub(crate) options: RequestOptions,
    /// Rows for a model that takes batches, else 1.
    pub(crate) rows: usize,
    /// Bytes of all inputs.
    pub(crate) bytes: usize,
    /// Size class, for the cost model.
    pub(crate) class: usize,
}

impl Admitted {
    /// The bucket that this request batches in.
    pub(crate) fn shape_key(&self) -> ShapeKey {
        let mut key = ShapeKey::new();
        for input in &self.inputs {
            key.push(input.shape.len());
            key.extend_from_slice(input.shape.get(1..).unwrap_or_default());
        }
        key
    }
}

/// Checks names, datatypes, shapes and lengths.
pub(crate) fn check(
    version: &Version,
    inputs: SmallVec<[Input; 2]>,
    mut outputs: SmallVec<[usize; 4]>,
    options: RequestOptions,
) -> Result<Admitted, InferError> {
    let signature = version.signature();
    if inputs.len() != signature.inputs.len() {
        let (expected, found) = (signature.inputs.len(), inputs.len());
        return Err(InferError::invalid(format!(
            "model '{}' takes {expected} inputs, but {found} were given",
            version.model()
        )));
    }
    for (spec, input) in signature.inputs.iter().zip(&inputs) {
        check_input(version.model(), spec, input)?;
    }
    if outputs.is_empty() {
        outputs.extend(0..signature.outputs.len());
    }
    if let Some(unknown) = outputs.iter().find(|&&output| output >= signature.outputs.len()) {
        let message = format!("model '{}' has no output number {unknown}", version.model());
        return Err(InferError::invalid(message));
    }
    let bytes = inputs.iter().map(|input| input.data.len()).sum::<usize>();
    let rows = rows(version, &inputs)?;
    let class = size_class(bytes / rows.max(1));
    Ok(Admitted { inputs, outputs, options, rows, bytes, class })
}

fn check_input(model: &str, spec: &TensorSpec, input: &Input) -> Result<(), InferError> {
    if input.data_type != spec.data_type {
        return Err(InferError::invalid(format!(
            "input '{}' of model '{model}' expects datatype {}, but {} was given",
            spec.name, spec.data_type, input.data_type
        )));
    }
    if !spec.accepts(&input.shape) {
        return Err(InferError::invalid(format!(
            "input '{}' of model '{model}' expects shape {}, but {} was given",
            spec.name,
            spec.shape_text(),
            input.shape
        )));
    }
    let too_large = || {
        let (name, shape) = (&spec.name, &input.shape);
        InferError::invalid(format!("shape {shape} of input '{name}' is too large"))
    };
    let elements = input.shape.elements().ok_or_else(too_large)?;
    if spec.data_type == DataType::Bytes {
        let data = input.data.clone().into_bytes();
        return strings::check(&data, elements)
            .map_err(|error| InferError::invalid(format!("input '{}': {error}", spec.name)));
    }
    let expected = input.shape.byte_len(spec.data_type).ok_or_else(too_large)?;
    if expected != input.data.len() {
        return Err(InferError::invalid(format!(
            "input '{}' has {} bytes of data, but {} of shape {} takes {expected}",
            spec.name,
            input.data.len(),
            spec.data_type,
            input.shape
        )));
    }
    if spec.data_type == DataType::Bool {
        check_booleans(spec, input)?;
    }
    Ok(())
}

/// Engines take a byte for a truth value only when it is 0 or 1.
fn check_booleans(spec: &TensorSpec, input: &Input) -> Result<(), InferError> {
    // Without an early end, so that many bytes are looked at in one step.
    let all = |chunk: &Bytes| chunk.iter().fold(0, |bits, byte| bits | byte);
    if input.data.chunks().iter().fold(0, |bits, chunk| bits | all(chunk)) <= 1 {
        return Ok(());
    }
    let mut bytes = input.data.chunks().iter().flatten().enumerate();
    let (index, byte) = bytes.find(|(_, byte)| **byte > 1).unwrap_or((0, &0));
    Err(InferError::invalid(format!(
        "element {index} of input '{}' is the byte {byte}, expected 0 or 1 for BOOL",
        spec.name
    )))
}

/// Rows of the request: the outermost dimension, which all inputs of a batching model share.
fn rows(version: &Version, inputs: &[Input]) -> Result<usize, InferError> {
    if version.max_batch_size() == 0 {
        return Ok(1);
    }
    let first = |input: &Input| input.shape.first().copied().unwrap_or(1);
    let rows = inputs.first().map_or(1, first);
    if let Some(other) = inputs.iter().position(|input| first(input) != rows) {
        return Err(InferError::invalid(format!(
            "inputs of model '{}' disagree in the batch dimension: '{}' has {rows}, '{}' has {}",
            version.model(),
            version.signature().inputs[0].name,
            version.signature().inputs[other].name,
            first(&inputs[other])
        )));
    }
    if rows == 0 {
        return Err(InferError::invalid(format!(
            "the batch dimension of a request for model '{}' is 0, expected at least 1",
            version.model()
        )));
    }
    match version.config().batching.max_batch_size {
        Some(max) if rows > max => Err(InferError::invalid(format!(
            "the batch dimension of a request for model '{}' is {rows}, but max_batch_size is {max}",
            version.model()
        ))),
        _ => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelyard_tensor::{Dim, Rope};

    /// ONNX Runtime computes with whatever byte it is given.
    #[test]
    fn a_boolean_is_0_or_1() {
        let spec =
            TensorSpec { name: "x".into(), data_type: DataType::Bool, dims: Some(vec![Dim::Free]) };
        let check = |pieces: &[&'static [u8]]| {
            let mut data = Rope::default();
            pieces.iter().for_each(|piece| data.push(Bytes::from_static(piece)));
            let shape = [data.len()].into();
            check_input("m", &spec, &Input { data_type: DataType::Bool, shape, data })
        };
        assert!(check(&[&[0, 1], &[1]]).is_ok());
        let error = check(&[&[0, 1], &[1, 2, 255]]).unwrap_err().message;
        assert_eq!(error, "element 3 of input 'x' is the byte 2, expected 0 or 1 for BOOL");
    }
}
