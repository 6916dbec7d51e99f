//! `GroupNorm` and `InstanceNorm`.

use super::super::site::Site;
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, normalize};

pub(super) const INSTANCE: Operator = Operator {
    names: &["InstanceNorm"],
    infer: infer_instance,
    convert: convert_instance,
    evaluate: |op, inputs| {
        let channels = at(inputs, 0)?.dims().get(1).copied().unwrap_or(1);
        evaluate(inputs, channels, op.attributes.float_or("eps", 1e-3)?)
    },
};

pub(super) const GROUP: Operator = Operator {
    names: &["GroupNorm"],
    infer: infer_group,
    convert: convert_group,
    evaluate: |op, inputs| {
        let groups = op.attributes.count_or("num_groups", 1)?;
        evaluate(inputs, groups, op.attributes.float_or("eps", 1e-5)?)
    },
};

fn infer_instance(_: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let channels = input.dims.get(1).copied();
    for index in [1, 2] {
        if input.rank() < 3 || info(inputs, index)?.dims.first().copied() != channels {
            return Err(Problem::shape("an input that is no image with these channels"));
        }
    }
    Ok(vec![input.clone()])
}

fn convert_instance(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let epsilon = site.op.attributes.float_or("eps", 1e-3)? as f32;
    let inputs = site.all_inputs()?;
    Ok(vec![site.add(node("InstanceNormalization", &inputs).with("epsilon", epsilon))])
}

fn infer_group(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let groups = op.attributes.count_or("num_groups", 1)?;
    let channels = input.dims.get(1).copied().unwrap_or(0);
    if input.rank() < 3 || groups == 0 || channels % groups != 0 {
        return Err(Problem::shape(format!("{channels} channels in {groups} groups")));
    }
    for index in [1, 2] {
        let found = &info(inputs, index)?.dims;
        // One number a group until version 1.9, one a channel since.
        if *found != [channels] && *found != [groups] {
            return Err(Problem::shape(format!("parameters {found:?} for {groups} groups")));
        }
    }
    Ok(vec![input.clone()])
}

/// Groups side by side as if they were channels, whose images are normalized.
fn convert_group(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let groups = site.op.attributes.count_or("num_groups", 1)?;
    let epsilon = site.op.attributes.float_or("eps", 1e-5)? as f32;
    let (rank, kind) = (site.rank()?, site.kind()?);
    let channels = site.size(0, 1)? as i64;
    let (x, gamma, beta) = (site.input(0)?, site.input(1)?, site.input(2)?);
    let sizes = site.sizes_of(0)?;
    let grouped = site.reshape(&x, &[0, groups as i64, -1]);
    let by_group = site.size(1, 0)? == groups;
    let (scale, shift) = match by_group {
        true => (gamma.clone(), beta.clone()),
        false => (
            site.numbers("ones", kind, &[groups], &vec![1.0; groups]),
            site.numbers("zeros", kind, &[groups], &vec![0.0; groups]),
        ),
    };
    let inputs = [grouped, scale, shift];
    let norm = site.add(node("InstanceNormalization", &inputs).with("epsilon", epsilon));
    let back = site.list(&sizes);
    let norm = site.op("Reshape", &[&norm, &back]);
    if by_group {
        return Ok(vec![norm]);
    }
    let mut dims = vec![channels];
    dims.resize(rank - 1, 1);
    let (gamma, beta) = (site.reshape(&gamma, &dims), site.reshape(&beta, &dims));
    let scaled = site.op("Mul", &[&norm, &gamma]);
    Ok(vec![site.op("Add", &[&scaled, &beta])])
}

/// Each group by itself, then each channel scaled and moved.
fn evaluate(inputs: &[&Array], groups: usize, epsilon: f64) -> Result<Vec<Array>, EvaluateError> {
    let x = at(inputs, 0)?;
    let channels = x.dims().get(1).copied().unwrap_or(1);
    // Numbers of groups are those of all their channels.
    let spread = |index: usize| -> Result<Array, EvaluateError> {
        let list = at(inputs, index)?;
        let times = channels / list.len().max(1);
        let places = (0..channels).map(|channel| (channel / times.max(1)) as i64).collect();
        crate::reference::index::gather(list, &Array::ints(&[channels], places)?, 0)
    };
    let (scale, bias) = (spread(1)?, spread(2)?);
    let affine = normalize::Affine { scale: Some(&scale), bias: Some(&bias) };
    Ok(vec![normalize::group_norm(x, groups, epsilon, affine)?])
}
