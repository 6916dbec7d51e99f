//! Normalizations.

use modelyard_graph::ElementType;

use super::{Operator, operator};
use crate::EvaluateError;
use crate::emitter::node;
use crate::pytorch::convert::{Call, Extent, Refusal, Tensor};
use crate::pytorch::evaluate::{Eval, Outcome, Value, one};
use crate::pytorch::graph::Size;
use crate::reference::normalize::{self, Affine, Statistics};
use crate::reference::reduce::{self, Over};
use crate::reference::{Array, elementwise};

const BATCH: &str = "input weight bias running_mean running_var training momentum eps";
const BATCH_EVAL: &str = "input weight bias running_mean running_var momentum eps";
const INSTANCE: &str =
    "input weight bias running_mean running_var use_input_stats momentum eps cudnn_enabled";
const LAYER: &str = "input normalized_shape weight bias eps";
const GROUP: &str = "input num_groups weight bias eps";
const NATIVE_GROUP: &str = "input weight bias N C HxW group eps";

pub(super) const OPERATORS: &[Operator] = &[
    operator("aten.batch_norm.default", BATCH, convert_batch, evaluate_batch),
    operator("aten.native_batch_norm.default", BATCH, convert_batch, evaluate_batch),
    operator("aten._native_batch_norm_legit.default", BATCH, convert_batch, evaluate_batch),
    operator(
        "aten._native_batch_norm_legit_no_training.default",
        BATCH_EVAL,
        convert_batch,
        evaluate_batch,
    ),
    operator("aten._batch_norm_no_update.default", BATCH_EVAL, convert_batch, evaluate_batch),
    operator("aten.instance_norm.default", INSTANCE, convert_instance, evaluate_instance),
    operator("aten.layer_norm.default", LAYER, convert_layer, evaluate_layer),
    operator("aten.native_layer_norm.default", LAYER, convert_layer, evaluate_layer),
    operator("aten.group_norm.default", GROUP, convert_group, evaluate_group),
    operator("aten.native_group_norm.default", NATIVE_GROUP, convert_group, evaluate_group),
    operator(
        "aten.rms_norm.default",
        "input normalized_shape weight eps",
        convert_rms,
        evaluate_rms,
    ),
    operator(
        "aten._fused_rms_norm.default",
        "input normalized_shape weight eps",
        convert_rms,
        evaluate_rms,
    ),
];

/// What is added to variances where the schema's default is meant.
const EPSILON: f64 = 1e-5;

/// Whether a batch normalization uses the statistics of its input, as in training.
const IN_TRAINING: &str = "statistics of the batch, as in training";
const CALL_EVAL: &str = "call `model.eval()` before the export";

fn convert_batch(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let input = call.tensor("input")?;
    let eps = call.float_or("eps", EPSILON)?;
    let channels = input.sizes.get(1).cloned().unwrap_or(Size::Unknown);
    if call.bool_or("training", false)? || !call.has("running_mean") {
        return convert_batch_statistics(call, &input, eps);
    }
    let (mean, variance) = (call.tensor("running_mean")?, call.tensor("running_var")?);
    let channels = match (channels.known(), mean.sizes.first().and_then(Size::known)) {
        (Some(channels), _) | (None, Some(channels)) => channels,
        _ => return Err(Refusal::new("an unknown number of channels", "")),
    };
    let scale = channel_vector(call, "weight", channels, 1.0, mean.element_type)?;
    let bias = channel_vector(call, "bias", channels, 0.0, mean.element_type)?;
    let inputs = [input.name.as_str(), &scale, &bias, &mean.name, &variance.name];
    let normal = node("BatchNormalization", &inputs).with("epsilon", eps as f32);
    let result = call.to.emit_node(normal);
    call.give(0, result);
    Ok(())
}

/// Without saved statistics: over all axes but the channels'.
fn convert_batch_statistics(
    call: &mut Call<'_, '_>,
    input: &Tensor,
    eps: f64,
) -> Result<(), Refusal> {
    if call.has("running_mean") {
        return Err(Refusal::new(IN_TRAINING, CALL_EVAL));
    }
    let kind = input.element_type;
    let axes: Vec<i64> = (0..input.rank() as i64).filter(|&axis| axis != 1).collect();
    let axes = call.to.ints(&axes);
    let mean = call.to.emit("ReduceMean", &[&input.name, &axes]);
    let centred = call.to.emit("Sub", &[&input.name, &mean]);
    let squares = call.to.emit("Mul", &[&centred, &centred]);
    let variance = call.to.emit("ReduceMean", &[&squares, &axes]);
    let eps = call.to.float(eps, kind);
    let shifted = call.to.emit("Add", &[&variance, &eps]);
    let deviation = call.to.emit("Sqrt", &[&shifted]);
    let normal = call.to.emit("Div", &[&centred, &deviation]);
    let result = affine_channels(call, normal, input.rank())?;
    call.give(0, result);
    Ok(())
}

/// Weight and bias, one a channel, applied to what is normalized.
fn affine_channels(
    call: &mut Call<'_, '_>,
    normal: String,
    rank: usize,
) -> Result<String, Refusal> {
    let axes: Vec<i64> = (1..rank.saturating_sub(1) as i64).collect();
    let mut result = normal;
    for (name, op_type) in [("weight", "Mul"), ("bias", "Add")] {
        if let Some(list) = call.optional(name)? {
            let list = call.to.unsqueeze(&list.name, &axes);
            result = call.to.emit(op_type, &[&result, &list]);
        }
    }
    Ok(result)
}

/// A weight with one element a channel, or one number for all of them.
fn channel_vector(
    call: &mut Call<'_, '_>,
    name: &str,
    channels: i64,
    default: f64,
    element_type: ElementType,
) -> Result<String, Refusal> {
    match call.optional(name)? {
        Some(list) => Ok(list.name),
        None => call.to.repeated(default, channels, element_type),
    }
}

fn evaluate_batch(eval: &mut Eval<'_, '_>) -> Outcome {
    let input = eval.tensor("input")?;
    let epsilon = eval.float_or("eps", EPSILON)?;
    let (weight, bias) = (eval.optional("weight")?, eval.optional("bias")?);
    let affine = Affine { scale: weight.as_deref(), bias: bias.as_deref() };
    if eval.bool_or("training", false)? || !eval.has("running_mean") {
        let axes: Vec<i64> = (0..input.rank() as i64).filter(|&axis| axis != 1).collect();
        let mean = reduce::mean(&input, Over::axes(&axes))?;
        let variance = reduce::variance(&input, 0.0, Over::axes(&axes))?;
        let statistics = Statistics { mean: &mean, variance: &variance, epsilon };
        return one(normalize::batch_norm(&input, 1, statistics, affine));
    }
    let (mean, variance) = (eval.tensor("running_mean")?, eval.tensor("running_var")?);
    let statistics = Statistics { mean: &mean, variance: &variance, epsilon };
    one(normalize::batch_norm(&input, 1, statistics, affine))
}

fn convert_instance(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let input = call.tensor("input")?;
    let eps = call.float_or("eps", EPSILON)?;
    if !call.bool_or("use_input_stats", true)? {
        return convert_batch(call);
    }
    let Some(channels) = input.sizes.get(1).and_then(Size::known) else {
        return Err(Refusal::new("an unknown number of channels", "export it with a fixed number"));
    };
    let scale = channel_vector(call, "weight", channels, 1.0, input.element_type)?;
    let bias = channel_vector(call, "bias", channels, 0.0, input.element_type)?;
    let normal = node("InstanceNormalization", &[&input.name, &scale, &bias]);
    let result = call.to.emit_node(normal.with("epsilon", eps as f32));
    call.give(0, result);
    Ok(())
}

fn evaluate_instance(eval: &mut Eval<'_, '_>) -> Outcome {
    if !eval.bool_or("use_input_stats", true)? {
        return evaluate_batch(eval);
    }
    let input = eval.tensor("input")?;
    let epsilon = eval.float_or("eps", EPSILON)?;
    let (weight, bias) = (eval.optional("weight")?, eval.optional("bias")?);
    let affine = Affine { scale: weight.as_deref(), bias: bias.as_deref() };
    let channels = input.dims().get(1).copied().unwrap_or(1);
    one(normalize::group_norm(&input, channels, epsilon, affine))
}

/// The first of the axes that are normalized.
fn first_axis(rank: usize, normalized: usize) -> Option<usize> {
    rank.checked_sub(normalized).filter(|_| normalized > 0)
}

fn convert_layer(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let input = call.tensor("input")?;
    let normalized = call.extents("normalized_shape")?;
    let axis = first_axis(input.rank(), normalized.len());
    let axis = axis.ok_or_else(|| Refusal::new("more axes than the input has", ""))?;
    let eps = call.float_or("eps", EPSILON)?;
    let weight = match call.optional("weight")? {
        Some(weight) => weight.name,
        None => call.to.filled(
            &normalized,
            crate::pytorch::convert::Scalar::Float(1.0),
            input.element_type,
        ),
    };
    let mut inputs = vec![input.name, weight];
    inputs.extend(call.optional("bias")?.map(|bias| bias.name));
    let normal = node("LayerNormalization", &inputs);
    let normal = normal.with("axis", axis as i64).with("epsilon", eps as f32);
    if call.operator() == "layer_norm" || !(call.wants(1) || call.wants(2)) {
        let result = call.to.emit_node(normal);
        call.give(0, result);
        return Ok(());
    }
    // What the native one gives beside: the mean and the inverse of the deviation.
    let results = call.to.emitter.add_many(normal, 3);
    for (index, result) in results.into_iter().enumerate() {
        call.give(index, result);
    }
    Ok(())
}

fn evaluate_layer(eval: &mut Eval<'_, '_>) -> Outcome {
    let input = eval.tensor("input")?;
    let normalized = eval.dims("normalized_shape")?;
    let axis = first_axis(input.rank(), normalized.len())
        .ok_or_else(|| EvaluateError::new("more axes are normalized than there are"))?;
    let epsilon = eval.float_or("eps", EPSILON)?;
    let (weight, bias) = (eval.optional("weight")?, eval.optional("bias")?);
    let affine = Affine { scale: weight.as_deref(), bias: bias.as_deref() };
    let normal = normalize::layer_norm(&input, axis as i64, epsilon, affine)?;
    if eval.operator() == "layer_norm" || eval.outputs() < 2 {
        return one(Ok(normal));
    }
    let axes: Vec<i64> = (axis as i64..input.rank() as i64).collect();
    let mean = reduce::mean(&input, Over::kept(&axes))?;
    let variance = reduce::variance(&input, 0.0, Over::kept(&axes))?;
    let inverse = elementwise::map(&variance, |value| (value + epsilon).sqrt().recip())?;
    Ok(vec![normal.into(), mean.into(), inverse.into()])
}

/// Each group as one channel of an instance normalization.
fn convert_group(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let input = call.tensor("input")?;
    let groups = match call.operator() {
        "group_norm" => call.int("num_groups")?,
        _ => call.int("group")?,
    };
    let eps = call.float_or("eps", EPSILON)?;
    let shape = call.to.ints(&[0, groups, -1]);
    let grouped = call.to.emit("Reshape", &[&input.name, &shape]);
    let scale = call.to.repeated(1.0, groups, input.element_type)?;
    let bias = call.to.repeated(0.0, groups, input.element_type)?;
    let normal = node("InstanceNormalization", &[&grouped, &scale, &bias]);
    let normal = call.to.emit_node(normal.with("epsilon", eps as f32));
    let sizes: Vec<Extent> = call.to.sizes(&input);
    let flat = Tensor {
        name: normal,
        element_type: input.element_type,
        sizes: vec![
            input.sizes.first().cloned().unwrap_or(Size::Unknown),
            groups.into(),
            Size::Unknown,
        ],
    };
    let back = call.to.reshape(&flat, &input.sizes, Some(&sizes));
    let result = affine_channels(call, back, input.rank())?;
    call.give(0, result);
    Ok(())
}

fn evaluate_group(eval: &mut Eval<'_, '_>) -> Outcome {
    let input = eval.tensor("input")?;
    let groups = match eval.operator() {
        "group_norm" => eval.int("num_groups")?,
        _ => eval.int("group")?,
    };
    let epsilon = eval.float_or("eps", EPSILON)?;
    let (weight, bias) = (eval.optional("weight")?, eval.optional("bias")?);
    let affine = Affine { scale: weight.as_deref(), bias: bias.as_deref() };
    let groups = usize::try_from(groups).unwrap_or(0);
    one(normalize::group_norm(&input, groups, epsilon, affine))
}

/// Smallest step above 1 of a type: what `rms_norm` adds where it is not told.
fn step(element_type: ElementType) -> f64 {
    match element_type {
        ElementType::Float16 => f64::from(half::f16::EPSILON),
        ElementType::Bfloat16 => f64::from(half::bf16::EPSILON),
        ElementType::Float64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}

fn convert_rms(call: &mut Call<'_, '_>) -> Result<(), Refusal> {
    let input = call.tensor("input")?;
    let normalized = call.extents("normalized_shape")?.len();
    let axis = first_axis(input.rank(), normalized);
    let axis = axis.ok_or_else(|| Refusal::new("more axes than the input has", ""))?;
    let kind = input.element_type;
    let eps = call.float_or("eps", step(kind))?;
    let axes: Vec<i64> = (axis as i64..input.rank() as i64).collect();
    let axes = call.to.ints(&axes);
    let squares = call.to.emit("Mul", &[&input.name, &input.name]);
    let mean = call.to.emit("ReduceMean", &[&squares, &axes]);
    let eps = call.to.float(eps, kind);
    let shifted = call.to.emit("Add", &[&mean, &eps]);
    let root = call.to.emit("Sqrt", &[&shifted]);
    let mut result = call.to.emit("Div", &[&input.name, &root]);
    if let Some(weight) = call.optional("weight")? {
        result = call.to.emit("Mul", &[&result, &weight.name]);
    }
    call.give(0, result);
    if call.wants(1) {
        let inverse = call.to.emit("Reciprocal", &[&root]);
        call.give(1, inverse);
    }
    Ok(())
}

fn evaluate_rms(eval: &mut Eval<'_, '_>) -> Outcome {
    let input = eval.tensor("input")?;
    let normalized = eval.dims("normalized_shape")?;
    let axis = first_axis(input.rank(), normalized.len())
        .ok_or_else(|| EvaluateError::new("more axes are normalized than there are"))?;
    let epsilon = eval.float_or("eps", step(input.element_type()))?;
    let weight = eval.optional("weight")?;
    let affine = Affine { scale: weight.as_deref(), bias: None };
    let normal = normalize::rms_norm(&input, axis as i64, epsilon, affine)?;
    if eval.outputs() < 2 {
        return one(Ok(normal));
    }
    let axes: Vec<i64> = (axis as i64..input.rank() as i64).collect();
    let squares = elementwise::mul(&input, &input)?;
    let mean = reduce::mean(&squares, Over::kept(&axes))?;
    let inverse: Array = elementwise::map(&mean, |value| (value + epsilon).sqrt().recip())?;
    Ok(vec![Value::from(normal), inverse.into()])
}
