//! Pad, Resize and Upsample. Interpolation counts two FLOPs for each neighbour of an element;
//! padding and the nearest neighbour count none.

use super::fact::{Answer, Op, Rule, axes};

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "Pad" => pad,
        "Resize" => resize,
        "Upsample" => {
            |op| scaled(op, op.node.floats("scales").map(wide).or_else(|| values(op, 1))?)
        }
        _ => return None,
    })
}

fn wide(scales: &[f32]) -> Vec<f64> {
    scales.iter().map(|&scale| scale.into()).collect()
}

/// The elements of an input that states something.
fn values(op: &Op<'_>, index: usize) -> Option<Vec<f64>> {
    op.values(index).filter(|values| !values.is_empty()).map(<[f64]>::to_vec)
}

fn pad(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let pads = match op.node.ints("paddings") {
        Some(pads) => pads.to_vec(),
        None => op.list("pads", 1)??,
    };
    let along = match op.has(3) {
        true => axes(&op.integers(3)?, input.dims.len())?,
        false => (0..input.dims.len()).collect(),
    };
    if pads.len() != along.len() * 2 {
        return None;
    }
    let mut dims = input.dims.clone();
    for (index, &axis) in along.iter().enumerate() {
        let size = i64::try_from(dims[axis]).ok()?;
        let padded = size.checked_add(pads[index])?.checked_add(pads[index + along.len()])?;
        dims[axis] = usize::try_from(padded).ok()?;
    }
    Some(Answer::one(input.with_dims(&dims)))
}

fn resize(op: &Op<'_>) -> Option<Answer> {
    // Before opset 11, the scales came second and nothing after them.
    let scales = if op.opset < 11 { 1 } else { 2 };
    let policy = op.node.string("keep_aspect_ratio_policy").unwrap_or("stretch");
    if policy != "stretch" {
        return None;
    }
    let rank = op.dims(0)?.len();
    let along = match op.node.ints("axes") {
        Some(list) => axes(list, rank)?,
        None => (0..rank).collect(),
    };
    if let Some(sizes) = values(op, 3) {
        if sizes.len() != along.len() {
            return None;
        }
        let mut dims = op.dims(0)?.to_vec();
        for (&axis, size) in along.iter().zip(sizes) {
            dims[axis] = size as usize;
        }
        return Some(interpolated(op, &dims));
    }
    let stated = values(op, scales)?;
    if stated.len() != along.len() {
        return None;
    }
    let mut all = vec![1.0; rank];
    for (&axis, scale) in along.iter().zip(stated) {
        all[axis] = scale;
    }
    scaled(op, all)
}

fn scaled(op: &Op<'_>, scales: Vec<f64>) -> Option<Answer> {
    let dims = op.dims(0)?;
    let sizes: Vec<usize> = dims
        .iter()
        .zip(&scales)
        .map(|(&dim, scale)| (dim as f64 * scale).floor() as usize)
        .collect();
    (scales.len() == dims.len()).then(|| interpolated(op, &sizes))
}

fn interpolated(op: &Op<'_>, dims: &[usize]) -> Answer {
    let (output, old) = match op.input(0) {
        Some(input) => (input.with_dims(dims), input.dims.as_slice()),
        None => return Answer { outputs: Vec::new(), flops: 0 },
    };
    let stretched = old.iter().zip(dims).filter(|(old, new)| old != new).count() as u32;
    let neighbours = match op.node.string("mode").unwrap_or("nearest") {
        "nearest" => 0,
        "cubic" => 4u64.saturating_pow(stretched),
        _ => 2u64.saturating_pow(stretched),
    };
    let flops = output.elements().saturating_mul(neighbours.saturating_mul(2));
    Answer::one(output).flops(flops)
}
