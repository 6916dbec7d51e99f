//! Requests of `/predict`.

use bytes::Bytes;
use half::{bf16, f16};
use modelyard_serving::{Input, Version};
use modelyard_tensor::{DataType, Shape, TensorSpec};
use smallvec::SmallVec;

use super::rows;
use super::shape::{self, Form};
use crate::Limits;
use crate::http::Refusal;
use crate::json::{Array, Bounds, Scanner, array};
use crate::wording::names;

/// An input: its position in the signature, and whether it is a list of examples.
pub(super) type Given = (usize, Input, Form);

/// Decodes a request for `version`.
pub(super) fn decode(
    version: &Version,
    text: &[u8],
    limits: &Limits,
) -> Result<(SmallVec<[Input; 2]>, Form), Refusal> {
    let specs = &version.signature().inputs;
    let mut found: SmallVec<[Given; 2]> = SmallVec::new();
    let mut scanner = Scanner::new(text, limits.json_depth);
    scanner.object::<Refusal>(|scanner, key| {
        let named = specs.iter().position(|spec| spec.name == key);
        if named.is_none() && key == "instances" && rows::are_next(scanner) {
            if !found.is_empty() {
                let message = "inputs are given twice: beside instances and in them";
                return Err(Refusal::invalid(message));
            }
            found = rows::take(version, scanner, limits)?;
            return Ok(());
        }
        let Some((position, instances)) = position(specs, named, key) else {
            return Ok(scanner.skip()?);
        };
        let spec = &specs[position];
        if found.iter().any(|(other, ..)| *other == position) {
            return Err(Refusal::invalid(format!("input '{}' is given twice", spec.name)));
        }
        let (expected, most) = (expected_elements(spec), limits.tensor_elements);
        let array = elements(scanner, spec, Bounds { expected, most })?;
        let (input, form) = input(version, spec, &array.nesting, array.data, instances)?;
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
fn position(specs: &[TensorSpec], named: Option<usize>, key: &str) -> Option<(usize, bool)> {
    match (named, key) {
        (Some(position), _) => Some((position, false)),
        (None, "image") if specs.len() == 1 => Some((0, false)),
        (None, "instances") if specs.len() == 1 => Some((0, true)),
        _ => None,
    }
}

/// Elements that one example has, or the model's fixed batch of them.
pub(super) fn expected_elements(spec: &TensorSpec) -> usize {
    let sizes = spec.dims.iter().flatten().map(|dim| usize::try_from(dim.wire()).unwrap_or(1));
    sizes.fold(1, usize::saturating_mul)
}

/// Elements as the model takes them. Halves have no JSON form in the protocol; here they are
/// rounded from floats.
pub(super) fn elements(
    scanner: &mut Scanner<'_>,
    spec: &TensorSpec,
    bounds: Bounds,
) -> Result<Array, Refusal> {
    let mut take = |data_type| {
        array(scanner, data_type, bounds)
            .map_err(|error| Refusal::of_input(Some(&spec.name), error))
    };
    match spec.data_type {
        DataType::Fp16 => halves(spec, &take(DataType::Fp32)?, |value| {
            let half = f16::from_f32(value);
            (half.to_le_bytes(), half.is_infinite())
        }),
        DataType::Bf16 => halves(spec, &take(DataType::Fp32)?, |value| {
            let half = bf16::from_f32(value);
            (half.to_le_bytes(), half.is_infinite())
        }),
        data_type => take(data_type),
    }
}

/// Rounds floats; `round` also says whether the half is infinite, which only the infinities are
/// to become.
fn halves(
    spec: &TensorSpec,
    floats: &Array,
    round: impl Fn(f32) -> ([u8; 2], bool),
) -> Result<Array, Refusal> {
    let (values, _) = floats.data.as_chunks::<4>();
    let mut data = Vec::with_capacity(values.len());
    for (index, bytes) in values.iter().enumerate() {
        let value = f32::from_le_bytes(*bytes);
        let (half, infinite) = round(value);
        if infinite && value.is_finite() {
            return Err(Refusal::invalid(format!(
                "input '{}': element {index}, {value}, is out of the range of {}",
                spec.name, spec.data_type
            )));
        }
        data.push(half);
    }
    Ok(Array { data: Bytes::from(data.into_flattened()), nesting: floats.nesting.clone() })
}

/// The input that elements nested like this are.
pub(super) fn input(
    version: &Version,
    spec: &TensorSpec,
    nesting: &Shape,
    data: Bytes,
    instances: bool,
) -> Result<(Input, Form), Refusal> {
    let batches = version.max_batch_size() > 0;
    let fitting = match instances {
        true => shape::of_instances(spec, batches, nesting),
        false => shape::of_array(spec, batches, nesting),
    };
    let (shape, form) = fitting.ok_or_else(|| {
        Refusal::invalid(format!(
            "input '{}' of model '{}' expects {} of shape {}, with or without the first \
             dimension, nested or flat, but {nesting} was given",
            spec.name,
            version.model(),
            spec.data_type,
            spec.shape_text()
        ))
    })?;
    Ok((Input { data_type: spec.data_type, shape, data: data.into() }, form))
}

fn missing(version: &Version, found: &[Given]) -> Refusal {
    let specs = &version.signature().inputs;
    let absent = |position: &usize| !found.iter().any(|(other, ..)| other == position);
    let position = (0..specs.len()).find(absent).unwrap_or_default();
    let or = match specs.as_slice() {
        [only] if only.name == "image" => " (or 'instances')",
        [only] if only.name == "instances" => " (or 'image')",
        [_] => " (or 'image' or 'instances')",
        _ => " (or 'instances', a list of such objects)",
    };
    Refusal::invalid(format!(
        "expected an object with member '{}'{or}: model '{}' takes {}",
        specs[position].name,
        version.model(),
        names(specs)
    ))
}
