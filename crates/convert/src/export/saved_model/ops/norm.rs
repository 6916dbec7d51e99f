//! Normalizations.

use modelyard_graph::{CHANNELS_LAST, ElementType};

use super::image::Image;
use crate::export::saved_model::call::{Call, Written};
use crate::export::saved_model::constant;
use crate::export::saved_model::op::Op;
use crate::export::saved_model::value::{Refusal, Tensor, Value};
use crate::export::saved_model::writer::Writer;

type Formed = Result<Tensor, Refusal>;

/// Mean and variance along axes, which stay with one element.
fn moments(writer: &mut Writer, x: &Tensor, axes: &[usize]) -> Result<(Tensor, Tensor), Refusal> {
    let mean = writer.reduce("Mean", x, (axes, true))?;
    let off = writer.binary("Sub", x, &mean);
    let squares = writer.unary("Square", &off);
    Ok((mean, writer.reduce("Mean", &squares, (axes, true))?))
}

/// `(x - mean) / sqrt(variance + epsilon)`, and what it was divided by, inverted.
fn normalized(
    writer: &mut Writer,
    x: &Tensor,
    (mean, variance): (&Tensor, &Tensor),
    epsilon: f64,
) -> Result<(Tensor, Tensor), Refusal> {
    let off = writer.binary("Sub", x, mean);
    let sum = writer.with_number("AddV2", variance, epsilon)?;
    let root = writer.unary("Rsqrt", &sum);
    Ok((writer.binary("Mul", &off, &root), root))
}

/// A list of one number a channel, so that it is broadcast along the axis of channels.
fn along(writer: &mut Writer, value: &Value, (axis, rank): (usize, usize)) -> Formed {
    let mut sizes = vec![1; rank];
    if let Some(size) = sizes.get_mut(axis) {
        *size = -1;
    }
    if axis + 1 == rank {
        return writer.tensor(value);
    }
    match (value.constant(), value.size(0)) {
        (Some(list), Some(size)) => {
            let dims: Vec<usize> = sizes.iter().map(|&one| if one == 1 { 1 } else { size }).collect();
            writer.constant(&constant::reshaped(list, &dims))
        }
        _ => {
            let list = writer.tensor(value)?;
            writer.reshape(&list, &sizes)
        }
    }
}

/// Where the channels of the first input are.
fn channels_axis(call: &Call<'_>) -> Result<(usize, usize), Refusal> {
    let rank = call.value(0)?.rank()?;
    Ok(if call.node.domain == CHANNELS_LAST { (rank - 1, rank) } else { (1, rank) })
}

pub(super) fn batch(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let (axis, rank) = channels_axis(call)?;
    let epsilon = call.float("epsilon", 1e-5);
    if call.flag("training_mode") {
        return Err(Refusal::new("training_mode", "export the model for inference"));
    }
    let lists: Vec<&Value> = (1..5).map(|index| call.value(index)).collect::<Result<_, _>>()?;
    let all_float = lists.iter().all(|list| list.element_type == ElementType::Float32);
    if rank == 4 && axis == 3 && x.element_type == ElementType::Float32 && all_float {
        let mut op = Op::new("FusedBatchNormV3").input(&x);
        for list in &lists {
            op = op.input(&writer.tensor(list)?);
        }
        let op = op.kind("T", ElementType::Float32).kind("U", ElementType::Float32);
        let op = op.float("epsilon", epsilon as f32).bool("is_training", false);
        let op = op.text("data_format", "NHWC");
        let found = writer.add_many(op, &[ElementType::Float32; 6]);
        return Ok(found.into_iter().take(1).collect());
    }
    let place = (axis, rank);
    let (mean, variance) = (along(writer, lists[2], place)?, along(writer, lists[3], place)?);
    let (found, _) = normalized(writer, &x, (&mean, &variance), epsilon)?;
    let (scale, bias) = (along(writer, lists[0], place)?, along(writer, lists[1], place)?);
    let scaled = writer.binary("Mul", &found, &scale);
    Ok(vec![writer.binary("AddV2", &scaled, &bias)])
}

pub(super) fn instance(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let (axis, rank) = channels_axis(call)?;
    let axes: Vec<usize> = (1..rank).filter(|&each| each != axis).collect();
    let (mean, variance) = moments(writer, &x, &axes)?;
    let epsilon = call.float("epsilon", 1e-5);
    let (found, _) = normalized(writer, &x, (&mean, &variance), epsilon)?;
    let scale = along(writer, call.value(1)?, (axis, rank))?;
    let bias = along(writer, call.value(2)?, (axis, rank))?;
    let scaled = writer.binary("Mul", &found, &scale);
    Ok(vec![writer.binary("AddV2", &scaled, &bias)])
}

/// Normalization of groups of channels.
pub(super) fn group(writer: &mut Writer, call: &Call<'_>) -> Written {
    let image = Image::of(writer, call)?;
    let channels = image.channels("groups of channels")? as i64;
    let groups = call.int("num_groups", 1);
    if groups < 1 || channels % groups != 0 {
        return Err(Refusal::new(format!("{groups} groups of {channels} channels"), "damaged"));
    }
    let rank = image.rank;
    let shape = writer.shape(&image.tensor);
    let outer = writer.part(&shape, 0, -1)?;
    let pair = writer.longs("groups", &[groups, channels / groups])?;
    let grouped = writer.concat(&[outer, pair], 0)?;
    let apart = writer.reshape_to(&image.tensor, &grouped);
    let axes: Vec<usize> = (1..rank - 1).chain([rank]).collect();
    let (mean, variance) = moments(writer, &apart, &axes)?;
    let epsilon = call.float("epsilon", 1e-5);
    let (mut found, _) = normalized(writer, &apart, (&mean, &variance), epsilon)?;
    // Before operator set 21, scale and bias are those of groups.
    let (scale, bias) = (call.tensor(writer, 1)?, call.tensor(writer, 2)?);
    let by_group = call.value(1)?.size(0) == Some(groups as usize) && groups != channels;
    if by_group {
        let (scale, bias) = (writer.expand_dims(&scale, 1)?, writer.expand_dims(&bias, 1)?);
        let scaled = writer.binary("Mul", &found, &scale);
        found = writer.binary("AddV2", &scaled, &bias);
    }
    found = writer.reshape_to(&found, &shape);
    if !by_group {
        let scaled = writer.binary("Mul", &found, &scale);
        found = writer.binary("AddV2", &scaled, &bias);
    }
    Ok(vec![image.back(writer, &found)?])
}

pub(super) fn layer(writer: &mut Writer, call: &Call<'_>) -> Written {
    let given = call.tensor(writer, 0)?;
    let axes: Vec<usize> = (call.axis("axis", -1)?..call.value(0)?.rank()?).collect();
    // Statistics have 32 bits, whatever the value has.
    let kind = given.element_type;
    let is_half = matches!(kind, ElementType::Float16 | ElementType::Bfloat16);
    let x = if is_half { writer.cast(&given, ElementType::Float32) } else { given };
    let (mean, variance) = moments(writer, &x, &axes)?;
    let epsilon = call.float("epsilon", 1e-5);
    let (found, root) = normalized(writer, &x, (&mean, &variance), epsilon)?;
    let found = writer.cast(&found, kind);
    let scale = call.tensor(writer, 1)?;
    let mut found = writer.binary("Mul", &found, &scale);
    if let Some(bias) = call.optional_tensor(writer, 2)? {
        found = writer.binary("AddV2", &found, &bias);
    }
    Ok(vec![found, mean, root])
}

pub(super) fn root_mean_square(writer: &mut Writer, call: &Call<'_>) -> Written {
    let given = call.tensor(writer, 0)?;
    let axes: Vec<usize> = (call.axis("axis", -1)?..call.value(0)?.rank()?).collect();
    let kind = given.element_type;
    let is_half = matches!(kind, ElementType::Float16 | ElementType::Bfloat16);
    let x = if is_half { writer.cast(&given, ElementType::Float32) } else { given };
    let squares = writer.unary("Square", &x);
    let mean = writer.reduce("Mean", &squares, (&axes, true))?;
    let sum = writer.with_number("AddV2", &mean, call.float("epsilon", 1e-5))?;
    let root = writer.unary("Rsqrt", &sum);
    let found = writer.binary("Mul", &x, &root);
    let found = writer.cast(&found, kind);
    let scale = call.tensor(writer, 1)?;
    Ok(vec![writer.binary("Mul", &found, &scale)])
}

pub(super) fn lp(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let axis = call.axis("axis", -1)?;
    let length = match call.int("p", 2) {
        1 => {
            let sizes = writer.unary("Abs", &x);
            writer.reduce("Sum", &sizes, (&[axis], true))?
        }
        _ => {
            let squares = writer.unary("Square", &x);
            let sum = writer.reduce("Sum", &squares, (&[axis], true))?;
            writer.unary("Sqrt", &sum)
        }
    };
    Ok(vec![writer.binary("RealDiv", &x, &length)])
}

pub(super) fn mean_variance(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let value = call.value(0)?;
    let list = call.node.ints("axes").unwrap_or(&[0, 2, 3]);
    let axes: Vec<usize> = list.iter().map(|&axis| value.axis(axis)).collect::<Result<_, _>>()?;
    let (mean, variance) = moments(writer, &x, &axes)?;
    let off = writer.binary("Sub", &x, &mean);
    let root = writer.unary("Sqrt", &variance);
    let root = writer.with_number("AddV2", &root, 1e-9)?;
    Ok(vec![writer.binary("RealDiv", &off, &root)])
}

/// By the squares of neighbouring channels.
pub(super) fn local_response(writer: &mut Writer, call: &Call<'_>) -> Written {
    let image = Image::of(writer, call)?;
    let size = call.int("size", 1);
    if size % 2 == 0 || size < 1 {
        let reason = format!("{size} channels, which have no middle");
        return Err(Refusal::new(reason, "use an odd number of channels"));
    }
    let mut x = image.tensor.clone();
    // TensorFlow has it for images of two dimensions of space alone; those do not matter here.
    let shape = writer.shape(&x);
    if image.rank != 4 {
        let channels = image.channels("neighbouring channels")? as i64;
        x = writer.reshape(&x, &[-1, 1, 1, channels])?;
    }
    let op = Op::new("LRN").input(&x).kind("T", x.element_type);
    let op = op.int("depth_radius", (size - 1) / 2).float("bias", call.float("bias", 1.0) as f32);
    // ONNX takes the mean of the squares, TensorFlow their sum.
    let op = op.float("alpha", (call.float("alpha", 1e-4) / size as f64) as f32);
    let op = op.float("beta", call.float("beta", 0.75) as f32);
    let mut found = writer.add(op, x.element_type);
    if image.rank != 4 {
        found = writer.reshape_to(&found, &shape);
    }
    Ok(vec![image.back(writer, &found)?])
}

/// The mean or the largest of all of space.
pub(super) fn global_pool(writer: &mut Writer, call: &Call<'_>) -> Written {
    let x = call.tensor(writer, 0)?;
    let (axis, rank) = channels_axis(call)?;
    let axes: Vec<usize> = (1..rank).filter(|&each| each != axis).collect();
    let op = if call.node.op_type == "GlobalMaxPool" { "Max" } else { "Mean" };
    Ok(vec![writer.reduce(op, &x, (&axes, true))?])
}
