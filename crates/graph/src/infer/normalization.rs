//! Normalizations and softmax. The output has the shape of the first input. FLOPs for each
//! element: 2 where mean and variance are known before (scale and shift), otherwise 5 (mean,
//! variance, difference, scale, shift; softmax: maximum, difference, power, sum, quotient).

use super::fact::{Answer, Fact, Op, Rule};

pub(super) fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "BatchNormalization" => |op| alike(op, 2, false),
        "GroupNormalization"
        | "Hardmax"
        | "InstanceNormalization"
        | "LRN"
        | "LogSoftmax"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "RMSNormalization"
        | "Softmax"
        | "com.microsoft.GroupNorm" => |op| alike(op, 5, false),
        "LayerNormalization" | "SimplifiedLayerNormalization" => |op| alike(op, 5, true),
        "com.microsoft.SkipLayerNormalization"
        | "com.microsoft.SkipSimplifiedLayerNormalization" => skip_layer_normalization,
        _ => return None,
    })
}

fn alike(op: &Op<'_>, flops_each: u64, statistics: bool) -> Option<Answer> {
    let input = op.input(0)?;
    let flops = input.elements().saturating_mul(flops_each);
    let mut outputs = vec![input.with_dims(&input.dims)];
    if statistics {
        // Mean and inverse deviation, with the normalized dimensions reduced to 1.
        let axis = op.axis("axis", -1, input.dims.len())?;
        let mut dims = input.dims.clone();
        dims[axis..].fill(1);
        outputs.extend([input.with_dims(&dims), input.with_dims(&dims)]);
    }
    Some(Answer::many(outputs).flops(flops))
}

/// Adds first, then normalizes; the fourth output is the sum.
fn skip_layer_normalization(op: &Op<'_>) -> Option<Answer> {
    let input = op.input(0)?;
    let same: Fact = input.with_dims(&input.dims);
    let outputs = vec![Some(same.clone()), None, None, Some(same)];
    Some(Answer { outputs, flops: input.elements().saturating_mul(6) })
}
