//! Requests of `/predict`.

use bytes::Bytes;
use half::{bf16, f16};
use modelyard_serving::{Input, Version};
use modelyard_tensor::{DataType, TensorSpec};
use smallvec::SmallVec;

use super::shape::{self, Form};
use crate::Limits;
use crate::http::Refusal;
use crate::json::{Array, Bounds, Scanner, array};
use crate::wording::names;

/// Decodes a request for `version`.
pub(super) fn decode(
    version: &Version,
    text: &[u8],
    limits: &Limits,
) -> Result<(SmallVec<[Input; 2]>, Form), Refusal> {
    let specs = &version.signature().inputs;
    let mut found: SmallVec<[(usize, Input, Form); 2]> = SmallVec::new();
    let mut scanner = Scanner::new(text, limits.json_depth);
    scanner.object::<Refusal>(|scanner, key| {
        let Some((position, instances)) = position(specs, key) else {
            return Ok(scanner.skip()?);
        };
        let spec = &specs[position];
        if found.iter().any(|(other, ..)| *other == position) {
            return Err(Refusal::invalid(format!("input '{}' is given twice", spec.name)));
        }
        let array = elements(scanner, spec, limits)?;
        let (input, form) = input(version, spec, array, instances)?;
        found.push((position, input, form));
        Ok(())
    })?;
    scanner.end()?;
    if found.len() < specs.len() {
        return Err(missing(version, &found));
    }
    found.sort_unstable_by_key(|(position, ..)| *position);
    let form = found.first().map_or(Form::Batch, |(_, _, form)| *form);
    if found.iter().any(|(_, _, other)| *other != form) {
        return Err(Refusal::invalid("some inputs are one example, others a list of examples"));
    }
    Ok((found.into_iter().map(|(_, input, _)| input).collect(), form))
}

/// The input that a member means, and whether it is certainly a list of examples.
fn position(specs: &[TensorSpec], key: &str) -> Option<(usize, bool)> {
    let named = specs.iter().position(|spec| spec.name == key);
    match (named, key) {
        (Some(position), _) => Some((position, false)),
        (None, "image") if specs.len() == 1 => Some((0, false)),
        (None, "instances") if specs.len() == 1 => Some((0, true)),
        _ => None,
    }
}

/// Elements as the model takes them. Halves have no JSON form in the protocol; here they are
/// rounded from floats.
fn elements(
    scanner: &mut Scanner<'_>,
    spec: &TensorSpec,
    limits: &Limits,
) -> Result<Array, Refusal> {
    let sizes = spec.dims.iter().flatten().map(|dim| usize::try_from(dim.wire()).unwrap_or(1));
    let expected = sizes.fold(1, usize::saturating_mul);
    let bounds = Bounds { expected, most: limits.tensor_elements };
    let halves = |scanner: &mut Scanner<'_>, half: fn(f32) -> [u8; 2]| {
        let floats = array(scanner, DataType::Fp32, bounds)?;
        let (values, _) = floats.data.as_chunks::<4>();
        let data: Vec<[u8; 2]> =
            values.iter().map(|bytes| half(f32::from_le_bytes(*bytes))).collect();
        Ok(Array { data: Bytes::from(data.into_flattened()), nesting: floats.nesting })
    };
    match spec.data_type {
        DataType::Fp16 => halves(scanner, |value| f16::from_f32(value).to_le_bytes()),
        DataType::Bf16 => halves(scanner, |value| bf16::from_f32(value).to_le_bytes()),
        data_type => Ok(array(scanner, data_type, bounds)?),
    }
}

fn input(
    version: &Version,
    spec: &TensorSpec,
    array: Array,
    instances: bool,
) -> Result<(Input, Form), Refusal> {
    let batches = version.max_batch_size() > 0;
    let fitting = match instances {
        true => shape::of_instances(spec, batches, &array.nesting),
        false => shape::of_array(spec, batches, &array.nesting),
    };
    let (shape, form) = fitting.ok_or_else(|| {
        Refusal::invalid(format!(
            "input '{}' of model '{}' expects {} of shape {}, with or without the first \
             dimension, nested or flat, but {} was given",
            spec.name,
            version.model(),
            spec.data_type,
            spec.shape_text(),
            array.nesting
        ))
    })?;
    Ok((Input { data_type: spec.data_type, shape, data: array.data.into() }, form))
}

fn missing(version: &Version, found: &[(usize, Input, Form)]) -> Refusal {
    let specs = &version.signature().inputs;
    let absent = |position: &usize| !found.iter().any(|(other, ..)| other == position);
    let position = (0..specs.len()).find(absent).unwrap_or_default();
    let or = if specs.len() == 1 { " (or 'image' or 'instances')" } else { "" };
    Refusal::invalid(format!(
        "expected an object with member '{}'{or}: model '{}' takes {}",
        specs[position].name,
        version.model(),
        names(specs)
    ))
}
