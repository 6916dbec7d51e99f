//! `BatchNorm` with the statistics of the training. `fix_gamma`, which is true unless said, means a
//! scale of 1 whatever is stored.

use super::super::site::Site;
use super::convolution::{first, last};
use super::{Info, Op, Operator, Problem, at, info};
use crate::EvaluateError;
use crate::emitter::node;
use crate::reference::{Array, normalize};

pub(super) const OPERATOR: Operator = Operator {
    names: &["BatchNorm", "BatchNorm_v1", "_contrib_SyncBatchNorm", "CuDNNBatchNorm"],
    infer,
    convert,
    evaluate,
};

fn epsilon(op: &Op<'_>) -> Result<f64, Problem> {
    op.attributes.float_or("eps", 1e-3)
}

fn fixes_gamma(op: &Op<'_>) -> Result<bool, Problem> {
    op.attributes.flag_or("fix_gamma", true)
}

fn infer(op: &Op<'_>, inputs: &[Info]) -> Result<Vec<Info>, Problem> {
    let input = info(inputs, 0)?;
    let channel = input.axis(op.attributes.int_or("axis", 1)?)?;
    let channels = input.dims[channel];
    for index in 1..5 {
        let found = info(inputs, index)?;
        if found.dims != [channels] {
            let found = &found.dims;
            let message = format!("parameters {found:?} for {channels} channels");
            return Err(Problem::shape(message));
        }
    }
    let statistics = Info::new(info(inputs, 3)?.kind, &[channels]);
    Ok(vec![input.clone(), statistics.clone(), statistics])
}

fn convert(site: &mut Site<'_>) -> Result<Vec<String>, Problem> {
    let rank = site.rank()?;
    let axis = super::super::infer::axis_of(site.op.attributes.int_or("axis", 1)?, rank)?;
    let epsilon = epsilon(&site.op)? as f32;
    let mut x = site.input(0)?;
    let gamma = match fixes_gamma(&site.op)? {
        true => {
            let channels = site.size(1, 0)?;
            let kind = site.known(1)?.kind;
            site.numbers("ones", kind, &[channels], &vec![1.0; channels])
        }
        false => site.input(1)?,
    };
    let (beta, mean, variance) = (site.input(2)?, site.input(3)?, site.input(4)?);
    if axis != 1 && axis + 1 != rank {
        let way_out = "move the channels to the second or last axis";
        return Err(Problem::refused(format!("axis {axis} of {rank}"), way_out));
    }
    let moved = axis != 1;
    if moved {
        x = site.transpose(&x, &first(rank));
    }
    let inputs = [x, gamma, beta, mean.clone(), variance.clone()];
    let mut found = site.add(node("BatchNormalization", &inputs).with("epsilon", epsilon));
    if moved {
        found = site.transpose(&found, &last(rank));
    }
    Ok(vec![found, mean, variance])
}

fn evaluate(op: &Op<'_>, inputs: &[&Array]) -> Result<Vec<Array>, EvaluateError> {
    let (x, gamma) = (at(inputs, 0)?, at(inputs, 1)?);
    let scale = (!fixes_gamma(op)?).then_some(gamma);
    let (mean, variance) = (at(inputs, 3)?, at(inputs, 4)?);
    let statistics = normalize::Statistics { mean, variance, epsilon: epsilon(op)? };
    let affine = normalize::Affine { scale, bias: Some(at(inputs, 2)?) };
    let axis = op.attributes.int_or("axis", 1)?;
    let found = normalize::batch_norm(x, axis, statistics, affine)?;
    Ok(vec![found, mean.clone(), variance.clone()])
}
